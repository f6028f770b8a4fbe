//! How one value is read and written: from the file (where it has a type), from the environment
//! and the command line (where it is a word), into the type the program works with, and back.

mod address;
mod claims;
mod duration;
mod grammar;
mod list;
mod network;
mod path;
mod patterns;
mod scalar;
mod size;

use std::path::Path;

pub(super) use super::raw::{Environment, Raw, quote};

pub(super) use address::{api_url, base_path, host_port, issuer, listen, public_url};
pub(super) use claims::claims;
pub(super) use duration::duration;
pub use grammar::Written;
pub(super) use grammar::{Grammar, grammar};
pub(super) use list::list;
pub use network::FrontServer;
pub(super) use network::front_server;
pub(super) use path::{file_mode, home, path, readable, socket_path};
pub(super) use patterns::{pattern_list, patterns};
pub(super) use scalar::{Checked, choice, count, flag, parsed, text};
pub(super) use size::size;

/// What a codec may look at besides the value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// The process's environment, for values worked out from it.
    pub env: &'a Environment,
    /// The directory of the file the value stands in, which its relative paths start from.
    pub base: Option<&'a Path>,
}

/// Reads and writes the values of a key.
pub(super) trait Codec {
    /// The type the program works with.
    type Value;

    /// Reads a value. The error is the end of a sentence that began with the key's name: what is
    /// wrong, and what to write instead.
    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String>;

    /// The value in TOML; reading that gives the same value.
    fn write(&self, value: &Self::Value) -> String;

    /// The value as it is shown, in TOML: as [`Codec::write`] has it, or in the operator's own words
    /// where several mean the same (`75s` and `1m15s`).
    fn show(&self, _raw: &Raw, value: &Self::Value) -> String {
        self.write(value)
    }

    /// What is allowed, for the comments in the default file; empty when that goes without saying.
    fn allowed(&self) -> String {
        String::new()
    }

    /// What a value that nobody wrote was worked out from.
    fn derived(&self, _context: Context<'_>) -> Option<&'static str> {
        None
    }
}

/// Reads what `inner` reads, and an empty text as "not set".
#[derive(Debug)]
pub(super) struct Optional<C>(C);

/// A key that may be left empty.
pub(super) fn optional<C: Codec>(inner: C) -> Optional<C> {
    Optional(inner)
}

impl<C: Codec> Codec for Optional<C> {
    type Value = Option<C::Value>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String> {
        match raw {
            Raw::Word(text) | Raw::Text(text) if text.trim().is_empty() => Ok(None),
            _ => self.0.read(raw, context).map(Some),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(|| quote(""), |value| self.0.write(value))
    }

    fn show(&self, raw: &Raw, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(|| quote(""), |value| self.0.show(raw, value))
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }
}

/// Reads what `inner` reads, and the word "off" as "not at all".
#[derive(Debug)]
pub(super) struct OrOff<C>(C);

/// What can be turned off.
pub(super) fn or_off<C: Codec>(inner: C) -> OrOff<C> {
    OrOff(inner)
}

impl<C: Codec> Codec for OrOff<C> {
    type Value = Option<C::Value>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String> {
        match raw {
            Raw::Word(text) | Raw::Text(text) if text.trim() == OFF => Ok(None),
            _ => match self.0.read(raw, context) {
                Ok(value) => Ok(Some(value)),
                Err(why) => Err(format!("{why}; or {}", quote(OFF))),
            },
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(|| quote(OFF), |value| self.0.write(value))
    }

    fn show(&self, raw: &Raw, value: &Self::Value) -> String {
        value
            .as_ref()
            .map_or_else(|| quote(OFF), |value| self.0.show(raw, value))
    }

    fn allowed(&self) -> String {
        format!("{}, or {}", self.0.allowed(), quote(OFF))
    }
}

const OFF: &str = "off";

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Reads a TOML value with a codec, in an empty environment.
    pub(in crate::config) fn from_toml<C: Codec>(
        codec: &C,
        toml: &str,
    ) -> Result<C::Value, String> {
        let value = toml::de::DeValue::parse(toml).expect("a TOML value");
        let raw = crate::config::raw::raw(value.get_ref());
        codec.read(
            &raw,
            Context {
                env: &Environment::new(),
                base: None,
            },
        )
    }

    /// Reads a word, as from the environment.
    pub(in crate::config) fn from_word<C: Codec>(
        codec: &C,
        word: &str,
    ) -> Result<C::Value, String> {
        let raw = Raw::Word(word.into());
        codec.read(
            &raw,
            Context {
                env: &Environment::new(),
                base: None,
            },
        )
    }

    /// Writes a value and reads it again.
    pub(in crate::config) fn there_and_back<C: Codec>(codec: &C, value: &C::Value) -> C::Value {
        let written = codec.write(value);
        from_toml(codec, &written).unwrap_or_else(|error| panic!("{written}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_optional_value_may_be_empty() {
        let codec = optional(duration());
        assert_eq!(from_toml(&codec, "\"\""), Ok(None));
        assert_eq!(from_word(&codec, " "), Ok(None));
        assert_eq!(
            from_toml(&codec, "\"1s\""),
            Ok(Some(std::time::Duration::from_secs(1)))
        );
        assert!(from_toml(&codec, "\"x\"").is_err());
        assert_eq!(codec.write(&None), "\"\"");
    }

    #[test]
    fn a_quoted_value_is_short_and_has_no_credentials() {
        assert_eq!(Raw::Text("a\nb\u{1b}".into()).quoted(), r#""a\nb\u{1b}""#);
        assert_eq!(
            Raw::Word("https://me:pw@h".into()).quoted(),
            "\"https://***@h\""
        );
        assert!(Raw::Text("x".repeat(1000)).quoted().len() < 100);
    }

    proptest! {
        #[test]
        fn any_text_survives_quoting(text in any::<String>()) {
            let quoted = quote(&text);
            let value = toml::de::DeValue::parse(&quoted).map(|v| v.into_inner());
            prop_assert_eq!(value.ok().and_then(|v| v.as_str().map(str::to_owned)), Some(text));
        }
    }
}
