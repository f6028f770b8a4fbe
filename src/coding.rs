//! Content-Encoding as it is found in the wild. Nobody is asked for any coding, so of what an answer says of itself only
//! gzip is believed, and that only if its bytes agree. Object stores repeat whatever a file was stored with
//! (`aws-chunked`, `utf-8`, `none`) over bytes that are not coded at all; what really is coded in another way fails the
//! checks of what was asked for.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use thiserror::Error;

/// What a gzip stream begins with.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How many bytes one of deflate's becomes at most (zlib's own figure).
const HIGHEST_RATIO: u64 = 1032;

/// Why a body could not be decoded.
#[derive(Debug, Error)]
pub enum CodingError {
    /// It becomes more than may be.
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
    #[error("bad gzip: {0}")]
    Damaged(std::io::Error),
}

/// Whether an answer says, in any of its lines and lists, that it is gzipped.
pub fn says_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|line| {
        let line = String::from_utf8_lossy(line.as_bytes());
        line.split(',').map(str::trim).any(|coding| {
            coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
        })
    })
}

/// Whether a body that is said to be gzipped may be.
pub fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&GZIP)
}

/// Undoes gzip, up to `max` bytes.
pub fn gunzip(body: &[u8], max: u64) -> Result<Vec<u8>, CodingError> {
    // Room for all of it at once: a buffer that doubles is there twice while it is copied. What is not written to costs
    // nothing.
    let most = (body.len() as u64).saturating_mul(HIGHEST_RATIO).min(max) + 1;
    let mut out = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
    let mut decoder = MultiGzDecoder::new(body).take(max + 1);
    decoder
        .read_to_end(&mut out)
        .map_err(CodingError::Damaged)?;
    if out.len() as u64 > max {
        return Err(CodingError::TooLarge(max));
    }
    out.shrink_to_fit();
    Ok(out)
}

/// As much of a gzipped text as can be had, up to `max` bytes: of a page the beginning says enough.
pub fn beginning(body: &[u8], max: u64) -> Vec<u8> {
    let mut out = Vec::new();
    // What comes before damage, or before the end of what was read, is kept in `out`.
    let _ = MultiGzDecoder::new(body).take(max).read_to_end(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_gzip_is_believed() {
        let says = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, line.parse().unwrap());
            }
            says_gzip(&headers)
        };
        for gzip in [
            &["gzip"][..],
            &["X-GZip"],
            &["gzip, identity"],
            &["aws-chunked,gzip"],
            &["", "gzip"],
            &["identity", " gzip "],
        ] {
            assert!(says(gzip), "{gzip:?}");
        }
        for nothing in [
            &[][..],
            &[""],
            &["identity"],
            &["aws-chunked"],
            &["utf-8", "binary"],
            &["none"],
            &["gzipped"],
            &["br"],
        ] {
            assert!(!says(nothing), "{nothing:?}");
        }
    }

    #[test]
    fn decoding_is_bounded() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b'x'; 1000]).unwrap();
        let coded = encoder.finish().unwrap();
        assert!(is_gzip(&coded) && !is_gzip(b"PK"));
        assert_eq!(gunzip(&coded, 1000).unwrap(), [b'x'; 1000]);
        assert!(matches!(
            gunzip(&coded, 999),
            Err(CodingError::TooLarge(999))
        ));
        let cut = &coded[..coded.len() - 4];
        assert!(matches!(gunzip(cut, 1000), Err(CodingError::Damaged(_))));
        assert_eq!(beginning(cut, 10), [b'x'; 10]);
    }
}
