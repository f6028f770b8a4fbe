//! Modules made in memory, as Go would publish them, and their hashes by code of our own.

use super::zip::Zip;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::read::DeflateDecoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;

/// One version of one module, with everything that an upstream has of it.
#[derive(Clone)]
pub struct Module {
    pub path: String,
    pub version: String,
    gomod: Option<String>,
    files: Vec<(String, Bytes)>,
    info: Option<Bytes>,
    zip: Option<Bytes>,
}

impl Module {
    /// A module with a go.mod and one package at its root.
    pub fn new(path: &str, version: &str) -> Module {
        let package = path
            .rsplit('/')
            .find(|e| !e.starts_with('v') || e.parse::<u8>().is_ok())
            .unwrap_or("m")
            .replace(|c: char| !c.is_ascii_alphanumeric(), "")
            .to_lowercase();
        let source = format!("package {package}\n\nconst Version = \"{path}@{version}\"\n");
        Module {
            path: path.to_owned(),
            version: version.to_owned(),
            gomod: Some(format!("module {path}\n\ngo 1.20\n")),
            files: vec![("m.go".to_owned(), Bytes::from(source))],
            info: None,
            zip: None,
        }
    }

    pub fn gomod(mut self, text: &str) -> Module {
        self.gomod = Some(text.to_owned());
        self
    }

    /// Appends `text` to the go.mod that `new` wrote.
    pub fn gomod_more(mut self, text: &str) -> Module {
        self.gomod.as_mut().expect("a go.mod").push_str(text);
        self
    }

    pub fn requires(self, path: &str, version: &str) -> Module {
        self.gomod_more(&format!("\nrequire {path} {version}\n"))
    }

    pub fn no_gomod(mut self) -> Module {
        self.gomod = None;
        self
    }

    pub fn file(mut self, name: &str, content: impl Into<Bytes>) -> Module {
        self.files.retain(|(n, _)| n != name);
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// The exact `.info`, in place of the usual one.
    pub fn info(mut self, text: &str) -> Module {
        self.info = Some(Bytes::copy_from_slice(text.as_bytes()));
        self
    }

    /// The exact zip, in place of the one built from the files.
    pub fn zip(mut self, zip: impl Into<Bytes>) -> Module {
        self.zip = Some(zip.into());
        self
    }

    pub fn info_bytes(&self) -> Bytes {
        self.info.clone().unwrap_or_else(|| {
            Bytes::from(format!(
                "{{\"Version\":\"{}\",\"Time\":\"2024-03-01T04:59:59Z\"}}",
                self.version
            ))
        })
    }

    pub fn mod_bytes(&self) -> Bytes {
        match &self.gomod {
            Some(text) => Bytes::copy_from_slice(text.as_bytes()),
            None => Bytes::from(format!("module {}\n", self.path)),
        }
    }

    pub fn zip_bytes(&self) -> Bytes {
        if let Some(zip) = &self.zip {
            return zip.clone();
        }
        let prefix = format!("{}@{}/", self.path, self.version);
        let mut zip = Zip::new();
        if self.gomod.is_some() {
            zip = zip.file(format!("{prefix}go.mod"), self.mod_bytes());
        }
        for (name, content) in &self.files {
            zip = zip.file(format!("{prefix}{name}"), content.clone());
        }
        zip.build()
    }

    pub fn h1(&self) -> String {
        zip_h1(&self.zip_bytes())
    }

    pub fn mod_h1(&self) -> String {
        mod_h1(&self.mod_bytes())
    }

    /// `/<escaped path>/@v/<escaped version>.<kind>`
    pub fn url(&self, kind: &str) -> String {
        format!(
            "/{}/@v/{}.{kind}",
            escape(&self.path),
            escape(&self.version)
        )
    }

    pub fn list_url(&self) -> String {
        format!("/{}/@v/list", escape(&self.path))
    }

    pub fn latest_url(&self) -> String {
        format!("/{}/@latest", escape(&self.path))
    }
}

/// `X` becomes `!x`.
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The hash of named contents, as go.sum spells it.
pub fn h1(mut entries: Vec<(String, [u8; 32])>) -> String {
    entries.sort();
    let mut lines = String::new();
    for (name, digest) in entries {
        let _ = writeln!(lines, "{}  {name}", hex(&digest));
    }
    format!("h1:{}", STANDARD.encode(sha256(lines.as_bytes())))
}

pub fn mod_h1(gomod: &[u8]) -> String {
    h1(vec![("go.mod".to_owned(), sha256(gomod))])
}

/// The h1 of a well-formed zip, read through its central directory.
pub fn zip_h1(zip: &[u8]) -> String {
    h1(read_zip(zip)
        .into_iter()
        .map(|(name, content)| (name, sha256(&content)))
        .collect())
}

/// Names and contents of a well-formed zip without comment.
pub fn read_zip(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.len() - 22;
    assert_eq!(&zip[end..end + 4], b"PK\x05\x06", "an end record");
    let mut at = u32_at(end + 16);
    let mut out = Vec::new();
    for _ in 0..u16_at(end + 10) {
        assert_eq!(&zip[at..at + 4], b"PK\x01\x02", "a central header");
        let (method, packed) = (u16_at(at + 10), u32_at(at + 20));
        let (name_len, local) = (u16_at(at + 28), u32_at(at + 42));
        let name = String::from_utf8(zip[at + 46..at + 46 + name_len].to_vec()).unwrap();
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let data = &zip[start..start + packed];
        let content = if method == 8 {
            let mut content = Vec::new();
            DeflateDecoder::new(data).read_to_end(&mut content).unwrap();
            content
        } else {
            data.to_vec()
        };
        out.push((name, content));
        at += 46 + name_len + u16_at(at + 30) + u16_at(at + 32);
    }
    out
}
