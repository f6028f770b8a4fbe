//! Which servers are believed to be who they say: by the certificates of the system, of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, and those that the operator adds, put together as Go puts them together (crypto/x509 on Linux).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

/// Where systems have all certificates in one file; the first that is there counts.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where they have a file for each; all of them count.
const SYSTEM_DIRECTORIES: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// Larger files are no certificates.
const LONGEST: u64 = 16 << 20;
/// Files looked at in one directory, at the most.
const FILES: usize = 10_000;

/// The certificates that are trusted.
#[derive(Clone, Default)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    known: HashSet<[u8; 32]>,
    /// Where they come from, and how many of each place are in no earlier one.
    places: Vec<(String, usize)>,
    /// What could not be read.
    problems: Vec<String>,
}

impl Trust {
    /// Reads all of them: the file that `SSL_CERT_FILE` names or else the system's, the directories of `SSL_CERT_DIR` or
    /// else the system's, and `extra` files. What of the system cannot be read is noted; an extra file must be right.
    pub fn load(
        environment: impl Fn(&str) -> Option<String>,
        extra: &[PathBuf],
    ) -> Result<Self, String> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut trust = Trust::default();
        match set("SSL_CERT_FILE") {
            Some(file) => trust.add_file(Path::new(&file), "SSL_CERT_FILE "),
            None => {
                let system = SYSTEM_FILES.iter().map(Path::new);
                if let Some(file) = system.into_iter().find(|file| file.exists()) {
                    trust.add_file(file, "");
                }
            }
        }
        match set("SSL_CERT_DIR") {
            Some(list) => {
                for directory in list.split(':').filter(|it| !it.is_empty()) {
                    trust.add_directory(Path::new(directory), "SSL_CERT_DIR ");
                }
            }
            None => {
                for directory in SYSTEM_DIRECTORIES.iter().map(Path::new) {
                    if directory.exists() {
                        trust.add_directory(directory, "");
                    }
                }
            }
        }
        for file in extra {
            let shown = file.display();
            let pem = read(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let found = found.map_err(|error| format!("{shown} cannot be read: {error}"))?;
            if found.is_empty() {
                return Err(format!("{shown} holds no certificate (PEM is expected)"));
            }
            let new = trust.add(found);
            trust
                .places
                .push((format!("upstream.ca_files {shown}"), new));
        }
        Ok(trust)
    }

    fn add_file(&mut self, file: &Path, named: &str) {
        match read(file) {
            Ok(pem) => {
                // As Go does: what is not a certificate is passed over.
                let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                let found: Vec<_> = found.collect();
                let new = self.add(found);
                self.places
                    .push((format!("{named}{}", file.display()), new));
            }
            Err(error) => self
                .problems
                .push(format!("{named}{} cannot be read: {error}", file.display())),
        }
    }

    fn add_directory(&mut self, directory: &Path, named: &str) {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let shown = directory.display();
                let problem = format!("{named}{shown} cannot be read: {error}");
                return self.problems.push(problem);
            }
        };
        let mut new = 0;
        for entry in entries.filter_map(Result::ok).take(FILES) {
            let path = entry.path();
            // Names by hash lead to a file beside them.
            let is_alias = std::fs::read_link(&path)
                .is_ok_and(|target| target.parent() == Some(Path::new("")));
            if is_alias {
                continue;
            }
            if let Ok(pem) = read(&path) {
                let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                let found: Vec<_> = found.collect();
                new += self.add(found);
            }
        }
        let shown = directory.display();
        self.places.push((format!("{named}{shown}"), new));
    }

    /// Says how many were not known.
    fn add(&mut self, found: Vec<CertificateDer<'static>>) -> usize {
        let before = self.certificates.len();
        for certificate in found {
            if self.known.insert(digest(&certificate)) {
                self.certificates.push(certificate);
            }
        }
        self.certificates.len() - before
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there is none: then no https can be spoken.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Where they come from, and how many more than those before.
    pub fn places(&self) -> &[(String, usize)] {
        &self.places
    }

    /// What could not be read.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All of them in one file's text, for programs that take one file.
    pub fn pem(&self) -> String {
        let mut text = String::new();
        for certificate in &self.certificates {
            let encoded = STANDARD.encode(certificate);
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in encoded.as_bytes().chunks(64) {
                // Base64 is ASCII; and writing to a String does not fail.
                let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        text
    }

    /// The TLS side of a client that trusts these, with its own certificate and key (PEM) if it has one.
    pub fn tls(&self, identity: Option<&[u8]>, http2: bool) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier::new(self, Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let bad = |error: &dyn std::fmt::Display| {
                    format!("the client certificate cannot be read: {error}")
                };
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
                let chain = chain.map_err(|error| bad(&error))?;
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| bad(&error))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| bad(&error))?
            }
        };
        config.alpn_protocols = match http2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        Ok(config)
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    let file = std::fs::File::open(file)?;
    // A named pipe or a device would never end.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

fn digest(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Verifies as webpki does, but takes a server's own certificate as itself if it is among the trusted ones, as Go does:
/// a self-signed one need not be an authority's, nor an end entity's.
#[derive(Debug)]
struct Verifier {
    /// None if nothing is trusted.
    inner: Option<Arc<WebPkiServerVerifier>>,
    known: HashSet<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

/// Why a certificate is not believed, in words for whoever can change it.
#[derive(Debug, thiserror::Error)]
enum Untrusted {
    #[error(
        "its certificate is signed by nobody who is trusted here: larder's operator adds the authority's certificate with upstream.ca_files, or SSL_CERT_FILE"
    )]
    Unknown,
    #[error(
        "its certificate is an authority's own and is not trusted as a server's: larder's operator adds it with upstream.ca_files, or SSL_CERT_FILE"
    )]
    Authority,
    #[error(
        "no root certificates were found on this machine: larder's operator installs the system's, or sets upstream.ca_files or SSL_CERT_FILE"
    )]
    NoRoots,
}

impl From<Untrusted> for Error {
    fn from(why: Untrusted) -> Self {
        Error::Other(OtherError(Arc::new(why)))
    }
}

impl Verifier {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trust.certificates.iter().cloned());
        // It refuses to be built without roots only.
        let inner = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .ok();
        Verifier {
            inner,
            known: trust.known.clone(),
            provider,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            return Err(Untrusted::NoRoots.into());
        };
        let verdict =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(why)) = &verdict else {
            return verdict;
        };
        // webpki looks at the time first: what it says of these has been found valid now.
        let untrusted = match why {
            CertificateError::UnknownIssuer => Untrusted::Unknown,
            CertificateError::Other(other) if is_authority(other) => Untrusted::Authority,
            _ => return verdict,
        };
        if !self.known.contains(&digest(end_entity)) {
            return Err(untrusted.into());
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether webpki says that an authority's certificate is used as a server's. It has no variant for that here.
fn is_authority(other: &OtherError) -> bool {
    format!("{:?}", other.0) == "CaUsedAsEndEntity"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Valid until 2125, of `mirror.test`: what `openssl req -x509` makes, an authority's.
    const SELF_SIGNED: &str = include_str!("trust/self-signed.pem");
    /// Of `mirror.test`, signed by the authority.
    const LEAF: &str = include_str!("trust/leaf.pem");
    const AUTHORITY: &str = include_str!("trust/authority.pem");

    fn verdict(trusted: &[&str], served: &str, name: &str) -> Result<(), String> {
        // In 2027.
        verdict_at(1_800_000_000, trusted, served, name)
    }

    fn verdict_at(seconds: u64, trusted: &[&str], served: &str, name: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        std::fs::write(&file, trusted.concat()).unwrap();
        let nothing = folder.path().to_str().unwrap().to_owned() + "/none";
        let environment = |name: &str| match name {
            "SSL_CERT_FILE" => Some(file.to_str().unwrap().to_owned()),
            "SSL_CERT_DIR" => Some(nothing.clone()),
            _ => None,
        };
        let trust = Trust::load(environment, &[]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let served = CertificateDer::from_pem_slice(served.as_bytes()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Verifier::new(&trust, provider)
            .verify_server_cert(&served, &[], &name, &[], now)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_that_is_trusted_itself() {
        for own in [SELF_SIGNED, LEAF] {
            assert_eq!(verdict(&[own], own, "mirror.test"), Ok(()));
            let other_name = verdict(&[own], own, "other.test").unwrap_err();
            assert!(other_name.contains("not valid for name"), "{other_name}");
        }
        let unknown = verdict(&[SELF_SIGNED], LEAF, "mirror.test").unwrap_err();
        assert!(unknown.contains("upstream.ca_files"), "{unknown}");
        let authority = verdict(&[LEAF], SELF_SIGNED, "mirror.test").unwrap_err();
        assert!(authority.contains("upstream.ca_files"), "{authority}");
        // In 2200.
        for own in [SELF_SIGNED, LEAF] {
            let expired = verdict_at(7_258_118_400, &[own], own, "mirror.test").unwrap_err();
            assert!(expired.contains("expired"), "{expired}");
        }
        assert_eq!(verdict(&[AUTHORITY], LEAF, "mirror.test"), Ok(()));
        let none = verdict(&[], LEAF, "mirror.test").unwrap_err();
        assert!(none.contains("no root certificates"), "{none}");
    }

    #[test]
    fn files_and_directories_as_go_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("file.pem", SELF_SIGNED),
            ("a/one.pem", LEAF),
            ("b/two", AUTHORITY),
        ] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        }
        std::fs::write(at("a/README"), "nothing of the kind").unwrap();
        std::os::unix::fs::symlink("one.pem", at("a/0123abcd.0")).unwrap();
        std::os::unix::fs::symlink(at("file.pem"), at("b/elsewhere.pem")).unwrap();
        let path = |name: &str| at(name).to_str().unwrap().to_owned();
        let directories = format!("{}:{}:{}", path("a"), path("b"), path("missing"));
        let load = |file: Option<String>, directories: Option<String>, extra: &[PathBuf]| {
            Trust::load(
                |name| match name {
                    "SSL_CERT_FILE" => file.clone(),
                    "SSL_CERT_DIR" => directories.clone(),
                    _ => None,
                },
                extra,
            )
        };
        let all = load(Some(path("file.pem")), Some(directories), &[]).unwrap();
        assert_eq!(all.len(), 3, "{:?}", all.places());
        assert_eq!(all.problems().len(), 1, "{:?}", all.problems());
        assert_eq!(all.pem().matches("BEGIN CERTIFICATE").count(), 3);
        // One of the two variables takes nothing away from what the other one is for.
        let system = load(None, None, &[]).unwrap().len();
        let with_file = load(Some(path("file.pem")), None, &[]).unwrap();
        if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
            assert_eq!(with_file.len(), system + 1);
        }
        let extra = load(Some(path("file.pem")), Some(path("a")), &[at("b/two")]);
        assert_eq!(extra.unwrap().len(), 3);
        let wrong = load(None, None, &[at("a/README")]).map(|_| ()).unwrap_err();
        assert!(wrong.contains("no certificate"), "{wrong}");
        assert!(load(None, None, &[at("missing")]).is_err());
    }
}
