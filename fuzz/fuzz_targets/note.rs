//! Signed notes, as they come from a checksum database and are kept: no panic; what the key has signed opens, nothing else
//! does, and a head is the one that was signed.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use larder::sumdb::{Head, Record, VerifierKey, open_note};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "localhost.localdev/sumdb";

struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

/// A key as the reference writes it: name, hash of name and key, key.
fn signer() -> Option<Signer> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok()?;
    let key = [&[1], pair.public_key().as_ref()].concat();
    let named = [NAME.as_bytes(), b"\n", &key].concat();
    let hash = u32::from_be_bytes(*digest(&SHA256, &named).as_ref().first_chunk()?);
    let key = VerifierKey::parse(&format!("{NAME}+{hash:08x}+{}", STANDARD.encode(key))).ok()?;
    Some(Signer { pair, key })
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| signer().expect("the key is a constant"));

impl Signer {
    fn line(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [&self.key.hash()[..], signature.as_ref()].concat();
        format!("\u{2014} {NAME} {}\n", STANDARD.encode(bytes))
    }
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Tree {
        size: u64,
        root: [u8; 32],
        more: &'a str,
    },
    Other(&'a str),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: Text<'a>,
    /// Signatures of others, before ours and behind it.
    before: Vec<Other<'a>>,
    behind: Vec<Other<'a>>,
    /// The lines of a look-up above the note.
    record: Option<(u64, &'a str)>,
    damage: Option<(u16, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Other<'a> {
    Named {
        name: &'a str,
        bytes: &'a [u8],
    },
    /// In our name, by another key.
    Ours {
        hash: [u8; 4],
        bytes: &'a [u8],
    },
    Line(&'a str),
}

impl<'a> Input<'a> {
    fn of_text(text: &'a str) -> Self {
        Input {
            text: Text::Other(text),
            before: Vec::new(),
            behind: Vec::new(),
            record: None,
            damage: None,
        }
    }
}

impl Other<'_> {
    fn line(&self) -> String {
        match self {
            Other::Named { name, bytes } => format!("\u{2014} {name} {}\n", STANDARD.encode(bytes)),
            Other::Ours { hash, bytes } => {
                let bytes = [&hash[..], bytes].concat();
                format!("\u{2014} {NAME} {}\n", STANDARD.encode(bytes))
            }
            Other::Line(line) => format!("{line}\n"),
        }
    }
}

fn clean(text: &str) -> bool {
    !text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

fuzz_target!(|input: &[u8]| {
    // A text as it is, or what a note is made of.
    let input = match std::str::from_utf8(input) {
        Ok(text) if text.starts_with("go.sum database tree\n") => Ok(Input::of_text(text)),
        _ => Input::arbitrary_take_rest(Unstructured::new(input)),
    };
    let Ok(input) = input else {
        return;
    };
    check(&input);
});

fn check(input: &Input<'_>) {
    let key = &SIGNER.key;
    let text = match &input.text {
        Text::Tree { size, root, more } => {
            format!(
                "go.sum database tree\n{size}\n{}\n{more}",
                STANDARD.encode(root)
            )
        }
        Text::Other(text) => (*text).to_owned(),
    };
    let text = if text.ends_with('\n') {
        text
    } else {
        text + "\n"
    };
    let lines = |others: &[Other<'_>]| -> String { others.iter().map(Other::line).collect() };
    let ours = SIGNER.line(&text);
    let alone = format!("{text}\n{ours}");
    assert_eq!(open_note(alone.as_bytes(), key).is_ok(), clean(&text));
    let head = Head::open(alone.into(), key);
    if let (Text::Tree { size, root, more }, Ok(head)) = (&input.text, &head) {
        assert!(clean(more));
        assert_eq!((head.size, head.root), (*size, *root));
    }
    if let Text::Tree { size, more, .. } = &input.text {
        assert_eq!(head.is_ok(), *size <= i64::MAX as u64 && clean(more));
    }
    let mut note = format!(
        "{text}\n{}{ours}{}",
        lines(&input.before),
        lines(&input.behind)
    )
    .into_bytes();
    if let Some((at, flip)) = input.damage {
        let at = usize::from(at) % note.len();
        note[at] ^= flip;
    }
    // Whatever stands around it: what opens is what was signed.
    match open_note(&note, key) {
        Ok(opened) => assert_eq!(opened, text),
        Err(_) => assert!(Head::open(Bytes::copy_from_slice(&note), key).is_err()),
    }
    if let Some((id, record)) = input.record {
        let body = Bytes::from([format!("{id}\n{record}\n").as_bytes(), &note].concat());
        if let Ok(parsed) = Record::parse(&body) {
            assert_eq!(parsed.id, id);
            let parts = [
                format!("{id}\n").as_bytes(),
                &parsed.text,
                b"\n",
                &parsed.note,
            ]
            .concat();
            assert_eq!(parts, body);
        }
    }
}
