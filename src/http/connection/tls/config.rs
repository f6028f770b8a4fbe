//! What a server shows its clients, and what it asks of them: from PEM to what handshakes are made by.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use thiserror::Error as ThisError;

use super::certificate::{self, ValidityPeriod};

/// What clients may show of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for a certificate.
    Off,
    /// They may have one.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// The files, in PEM.
pub struct TlsFiles {
    /// The server's own certificate, then those between it and its authority.
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    /// Whose certificates clients may have, a file each.
    pub client_authorities: Vec<Vec<u8>>,
}

/// Why they cannot be used; the end of a sentence that begins with the name of the file.
#[derive(Debug, ThisError, PartialEq, Eq)]
pub enum TlsError {
    #[error("{0}")]
    Certificate(String),
    #[error("{0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("is not the key of the certificate in")]
    Mismatch,
    /// Of the authorities' files, that at this place.
    #[error("{1}")]
    Authority(usize, String),
    /// Nothing that a file is to blame for.
    #[error("{0}")]
    Internal(String),
}

/// What handshakes are made by.
pub struct TlsConfig {
    pub(super) server: Arc<ServerConfig>,
    /// When the server's own certificate is valid, if it says so in a way that is understood.
    pub validity: Option<ValidityPeriod>,
}

impl TlsConfig {
    /// Checks the files and what they have to do with each other. Whether the certificate is valid now is for the caller.
    pub fn new(
        files: &TlsFiles,
        clients: ClientCertificates,
        http2: bool,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let chain = certificates(&files.certificate).map_err(TlsError::Certificate)?;
        let key = key(&files.key).map_err(TlsError::Key)?;
        let validity = chain.first().and_then(|own| certificate::validity(own));
        let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
            Error::InvalidCertificate(why) => {
                TlsError::Certificate(format!("holds a certificate that cannot be used: {why}"))
            }
            error => TlsError::Key(format!("holds a key that cannot be used: {error}")),
        })?;
        let internal = |error: &dyn std::fmt::Display| TlsError::Internal(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| internal(&error))?;
        let builder = match clients {
            ClientCertificates::Off => builder.with_no_client_auth(),
            ClientCertificates::Optional | ClientCertificates::Required => {
                let roots = Arc::new(authorities(&files.client_authorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match clients {
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let verifier = verifier.build().map_err(|error| internal(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        server.alpn_protocols = match http2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        // New with every change: a ticket stands for a certificate that was verified by the authorities of its time.
        server.ticketer = Ticketer::new().map_err(|error| internal(&error))?;
        Ok(TlsConfig {
            server: Arc::new(server),
            validity,
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = pem.windows(9).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match (encrypted, error) {
        (true, _) => "holds an encrypted key, and nobody is there to be asked for its password; write it without one".to_owned(),
        (false, rustls::pki_types::pem::Error::NoItemsFound) => {
            "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned()
        }
        (false, error) => format!("is not PEM: {error}"),
    })
}

fn authorities(files: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (at, pem) in files.iter().enumerate() {
        let bad = |why: String| TlsError::Authority(at, why);
        for certificate in certificates(pem).map_err(bad)? {
            roots.add(certificate).map_err(|error| {
                bad(format!("holds a certificate that cannot be used: {error}"))
            })?;
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/it/support/tls/server.pem");
    const KEY: &[u8] = include_bytes!("../../../../tests/it/support/tls/server.key");
    const OTHER_KEY: &[u8] = include_bytes!("../../../../tests/it/support/tls/hosts.key");

    fn made(certificate: &[u8], key: &[u8], authorities: &[&[u8]]) -> Result<TlsConfig, TlsError> {
        let files = TlsFiles {
            certificate: certificate.to_vec(),
            key: key.to_vec(),
            client_authorities: authorities.iter().map(|it| it.to_vec()).collect(),
        };
        TlsConfig::new(&files, ClientCertificates::Required, true)
    }

    #[test]
    fn a_pair_that_fits_is_taken() {
        let made = made(CERTIFICATE, KEY, &[CERTIFICATE]).ok().unwrap();
        let validity = made.validity.unwrap();
        assert!(validity.from < validity.until);
    }

    #[test]
    fn what_is_wrong_is_told_of_the_file_that_is() {
        let wrong = |certificate: &[u8], key: &[u8], authorities: &[&[u8]]| {
            made(certificate, key, authorities).err().unwrap()
        };
        assert_eq!(
            wrong(CERTIFICATE, OTHER_KEY, &[CERTIFICATE]),
            TlsError::Mismatch
        );
        for not_pem in [&b""[..], b"x", KEY] {
            assert!(matches!(
                wrong(not_pem, KEY, &[CERTIFICATE]),
                TlsError::Certificate(_)
            ));
        }
        let half = &CERTIFICATE[..CERTIFICATE.len() / 2];
        assert!(matches!(
            wrong(half, KEY, &[CERTIFICATE]),
            TlsError::Certificate(_)
        ));
        for not_key in [
            &b""[..],
            CERTIFICATE,
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(matches!(
                wrong(CERTIFICATE, not_key, &[CERTIFICATE]),
                TlsError::Key(_)
            ));
        }
        let encrypted =
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let TlsError::Key(why) = wrong(CERTIFICATE, encrypted, &[CERTIFICATE]) else {
            panic!("the key is at fault");
        };
        assert!(why.contains("encrypted"), "{why}");
        assert!(matches!(
            wrong(CERTIFICATE, KEY, &[CERTIFICATE, KEY]),
            TlsError::Authority(1, _)
        ));
    }
}
