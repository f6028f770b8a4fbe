//! `[tls]`: https on `server.listen`.

use std::path::PathBuf;

use super::codec::{choice, flag, list, optional, path};
use super::reader::Reader;
use super::section::section;

/// What clients may show of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for a certificate.
    Off,
    /// They may show one.
    Optional,
    /// They must.
    Required,
}

section! {
    /// https on server.listen, and on listeners with tls = true, without another server in front.
    /// These files are looked at every two seconds, through links, and taken up when they have
    /// changed and fit together; until then the last ones that did are used. admin.listen stays as it
    /// is, with http.
    pub struct Tls = "tls" {
        /// The certificate (PEM): the server's own, then those between it and the authority. With it
        /// server.listen speaks https only; needs key_file. Empty: http.
        cert_file: Option<PathBuf> = "" => optional(path().readable());

        /// The private key of that certificate (PEM, not encrypted).
        key_file: Option<PathBuf> = "" => optional(path().readable());

        /// Files of the authorities (PEM) whose certificates clients may show.
        client_ca_files: Vec<PathBuf> = [] => list(path().readable(), &[',']);

        /// Whether clients show a certificate: "optional" verifies one if it is shown, "required"
        /// gives no connection to those that show none. Both need client_ca_files.
        client_auth: ClientAuth = "off" => choice(&[
            ("off", ClientAuth::Off),
            ("optional", ClientAuth::Optional),
            ("required", ClientAuth::Required),
        ]);

        /// Offer HTTP/2. Without it the go command has two connections that it keeps, and makes a new
        /// one for whatever else it asks at the same time.
        http2: bool = true => flag();
    }
}

impl Tls {
    /// Reports what does not go together.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        let asks = self.client_auth != ClientAuth::Off;
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => reader.conflict(
                "tls.cert_file",
                "needs its private key; set tls.key_file too",
            ),
            (None, Some(_)) => reader.conflict(
                "tls.key_file",
                "needs its certificate; set tls.cert_file too",
            ),
            (None, None) if asks => reader.conflict(
                "tls.client_auth",
                "needs TLS; set tls.cert_file and tls.key_file too",
            ),
            _ => {}
        }
        match self.client_ca_files.is_empty() {
            true if asks => reader.conflict(
                "tls.client_auth",
                "needs to know whose certificates are good; set tls.client_ca_files too",
            ),
            false if !asks => reader.conflict(
                "tls.client_ca_files",
                "is of no use while clients are not asked; set tls.client_auth to \"optional\" or \"required\" too",
            ),
            _ => {}
        }
    }
}
