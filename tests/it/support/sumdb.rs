//! A checksum database of our own, small enough for one tile, for clients that insist on one: `go` does for
//! toolchains, whatever GOSUMDB says.

use super::modules::{escape, sha256};
use super::{FakeUpstream, Module};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use std::sync::Arc;

const NAME: &str = "localhost.localdev/sumdb";

/// Serves the database's endpoints from `upstream`, and returns the value for GOSUMDB that leads there.
pub fn serve(upstream: &FakeUpstream, modules: &[Module]) -> String {
    let key = key();
    let records: Vec<String> = modules.iter().map(record).collect();
    assert!(records.len() < 256, "one partial tile is all there is");
    let leaves: Vec<[u8; 32]> = records.iter().map(|r| leaf(r.as_bytes())).collect();
    let tree = format!(
        "go.sum database tree\n{}\n{}\n",
        leaves.len(),
        STANDARD.encode(root(&leaves))
    );
    let head = key.sign(&tree);
    let text = "text/plain; charset=UTF-8";
    upstream.put("/latest", text, head.clone());
    for (id, (module, record)) in modules.iter().zip(&records).enumerate() {
        let (path, version) = (escape(&module.path), escape(&module.version));
        let body = format!("{id}\n{record}\n{head}");
        upstream.put(&format!("/lookup/{path}@{version}"), text, body);
    }
    let tile = format!("/tile/8/0/000.p/{}", leaves.len());
    upstream.put(&tile, "application/octet-stream", leaves.concat());
    format!("{} {}", key.verifier(), upstream.url())
}

/// The lines of go.sum for one version.
fn record(module: &Module) -> String {
    let (path, version) = (&module.path, &module.version);
    format!(
        "{path} {version} {}\n{path} {version}/go.mod {}\n",
        module.h1(),
        module.mod_h1()
    )
}

fn leaf(record: &[u8]) -> [u8; 32] {
    sha256(&[&[0], record].concat())
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(b""),
        [only] => *only,
        _ => {
            let left = leaves.len().next_power_of_two() / 2;
            let (a, b) = (root(&leaves[..left]), root(&leaves[left..]));
            sha256(&[&[1][..], &a, &b].concat())
        }
    }
}

struct Key {
    signing: Arc<dyn SigningKey>,
    public: Vec<u8>,
    hash: [u8; 4],
}

fn key() -> Key {
    // PKCS #8's frame for an Ed25519 seed, and a seed.
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend_from_slice(&[42; 32]);
    let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).expect("an Ed25519 key");
    let spki = signing.public_key().expect("its public half");
    let mut public = vec![1];
    public.extend_from_slice(&spki[spki.len() - 32..]);
    let digest = sha256(&[NAME.as_bytes(), b"\n", &public].concat());
    Key {
        signing,
        public,
        hash: digest[..4].try_into().unwrap(),
    }
}

impl Key {
    fn verifier(&self) -> String {
        let hash = u32::from_be_bytes(self.hash);
        format!("{NAME}+{hash:08x}+{}", STANDARD.encode(&self.public))
    }

    /// The text as a signed note.
    fn sign(&self, text: &str) -> String {
        let signer = self
            .signing
            .choose_scheme(&[SignatureScheme::ED25519])
            .unwrap();
        let signature = signer.sign(text.as_bytes()).unwrap();
        let line = STANDARD.encode([&self.hash[..], &signature].concat());
        format!("{text}\n\u{2014} {NAME} {line}\n")
    }
}
