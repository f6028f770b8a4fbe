//! What is read of certificates beyond what verifying needs: when they are valid, and whom they name (RFC 5280). They are
//! either the operator's own or have been verified, so what is not understood is left out.

use std::ops::ControlFlow;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::clock::Timestamp;

/// Longer names are nobody's. Bytes.
const LONGEST: usize = 256;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version, and the extensions, of a certificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of alternative names.
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidityPeriod {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// When this certificate is valid.
pub fn validity(certificate: &[u8]) -> Option<ValidityPeriod> {
    let mut times = Elements(Body::of(certificate)?.validity);
    let mut time = || {
        let (tag, text) = times.next()?;
        moment(tag, text)
    };
    let (from, until) = (time()?, time()?);
    Some(ValidityPeriod { from, until })
}

/// Whom this certificate names: the first URI among its alternative names, else the first name of a machine, else its
/// common name.
pub fn name(certificate: &[u8]) -> Option<String> {
    let body = Body::of(certificate)?;
    let alternative = |kind: u8| {
        let mut names = Elements(body.alternative_names()?);
        names.find_map(|(tag, text)| fine(text).filter(|_| tag == kind))
    };
    let name = alternative(URI).or_else(|| alternative(DNS));
    name.or_else(|| body.common_name()).map(str::to_owned)
}

/// A name that can stand in a rule and in a log.
fn fine(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let fine = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    fine.then_some(text)
}

/// The parts of a certificate that are looked at.
struct Body<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    /// What follows the subject.
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let whole = Elements(certificate).next_of(SEQUENCE)?;
        let mut parts = Elements(Elements(whole).next_of(SEQUENCE)?);
        let serial = match parts.next()? {
            (VERSION, _) => parts.next()?.0,
            (tag, _) => tag,
        };
        if serial != INTEGER {
            return None;
        }
        // How it is signed, and by whom.
        parts.next_of(SEQUENCE)?;
        parts.next_of(SEQUENCE)?;
        Some(Body {
            validity: parts.next_of(SEQUENCE)?,
            subject: parts.next_of(SEQUENCE)?,
            rest: parts.0,
        })
    }

    fn alternative_names(&self) -> Option<&'a [u8]> {
        let found = Elements(self.rest).find(|(tag, _)| *tag == EXTENSIONS)?;
        let extensions = Elements(Elements(found.1).next_of(SEQUENCE)?);
        let value = extensions.filter(|(tag, _)| *tag == SEQUENCE);
        let value = value
            .map(|(_, extension)| Elements(extension))
            .find_map(|mut extension| match extension.next_of(OBJECT)? {
                // Whether it is critical may stand before it.
                ALTERNATIVE_NAMES => extension.find(|(tag, _)| *tag == OCTETS),
                _ => None,
            })?;
        Elements(value.1).next_of(SEQUENCE)
    }

    fn common_name(&self) -> Option<&'a str> {
        let sets = Elements(self.subject).filter(|(tag, _)| *tag == SET);
        let mut pairs = sets.flat_map(|(_, set)| Elements(set));
        pairs.find_map(|(_, pair)| {
            let mut pair = Elements(pair);
            let is_common_name = pair.next_of(OBJECT)? == COMMON_NAME;
            let (tag, text) = pair.next()?;
            let is_text = matches!(tag, UTF8 | PRINTABLE | IA5);
            fine(text).filter(|_| is_common_name && is_text)
        })
    }
}

/// Elements of DER, one after the other: their tags and contents. It ends with what is not understood.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the next one, which is of this kind.
    fn next_of(&mut self, kind: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == kind)
            .map(|(_, content)| content)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // So many bytes tell the length.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

/// A time: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. One before 1970 is 1970.
fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, digits) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = [0i8; 5];
    if digits.len() != 2 * parts.len() {
        return None;
    }
    for (part, digits) in parts.iter_mut().zip(digits.chunks(2)) {
        *part = i8::try_from(number(digits)?).ok()?;
    }
    let [month, day, hour, minute, second] = parts;
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let time = Offset::UTC.to_timestamp(time).ok()?;
    Some(Timestamp(u64::try_from(time.as_millisecond()).unwrap_or(0)))
}

fn number(digits: &[u8]) -> Option<i16> {
    let number = digits.iter().try_fold(0i16, |number, digit| match digit {
        b'0'..=b'9' => ControlFlow::Continue(number * 10 + i16::from(digit - b'0')),
        _ => ControlFlow::Break(()),
    });
    number.continue_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    fn der(pem: &[u8]) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem).unwrap()
    }

    fn client() -> CertificateDer<'static> {
        der(include_bytes!(
            "../../../../tests/it/support/tls/client.pem"
        ))
    }

    #[test]
    fn a_uri_goes_before_a_machine_and_that_before_the_common_name() {
        assert_eq!(
            name(&client()).as_deref(),
            Some("spiffe://example.com/build-7")
        );
        let server = der(include_bytes!(
            "../../../../tests/it/support/tls/server.pem"
        ));
        assert_eq!(name(&server).as_deref(), Some("localhost"));
        let plain = der(include_bytes!(
            "../../../../tests/it/support/tls/expired.pem"
        ));
        assert_eq!(name(&plain).as_deref(), Some("localhost"));
        let authority = der(include_bytes!(
            "../../../../tests/it/support/tls/client-authority.pem"
        ));
        assert_eq!(
            name(&authority).as_deref(),
            Some("Larder test authority for clients")
        );
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let expired = der(include_bytes!(
            "../../../../tests/it/support/tls/expired.pem"
        ));
        let validity_of_it = validity(&expired).unwrap();
        assert_eq!(validity_of_it.from.rfc3339(), "2020-01-01T00:00:00Z");
        assert_eq!(validity_of_it.until.rfc3339(), "2021-02-03T04:05:06Z");
        let until = validity(&client()).unwrap().until.rfc3339();
        assert!(until.starts_with("2126-"), "{until}");
        let shown = |tag, text: &str| moment(tag, text.as_bytes()).map(Timestamp::rfc3339);
        assert_eq!(
            shown(UTC_TIME, "491231235959Z").as_deref(),
            Some("2049-12-31T23:59:59Z")
        );
        assert_eq!(
            shown(UTC_TIME, "500101000000Z").as_deref(),
            Some("1970-01-01T00:00:00Z")
        );
        for wrong in [
            "",
            "Z",
            "4912312359Z",
            "491331235959Z",
            "49123123595xZ",
            "491231235959",
        ] {
            assert_eq!(shown(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_damaged_is_read_without_a_panic(at in 0usize..1000, byte: u8, cut in 0usize..1000) {
            let mut bytes = client().to_vec();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            let _ = (name(&bytes), validity(&bytes));
        }
    }
}
