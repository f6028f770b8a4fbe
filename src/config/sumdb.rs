//! `[sumdb]`: the checksum databases that modules are verified with.

use super::codec::{Codec, Context, Raw, choice, list, quote, text};
use super::section::section;

/// What becomes of a module while its checksum database cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// It is served, marked `Larder-Verified: none`, and verified as soon as possible.
    ServeUnverified,
    /// It is refused.
    Refuse,
}

/// What becomes of a public module that its checksum database does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is refused, as the `go` command would without an entry in go.sum.
    Refuse,
    /// The checksum seen first is pinned, and whatever differs later is refused.
    Pin,
}

section! {
    /// The checksum databases that modules are verified with.
    pub struct Sumdb = "sumdb" {
        /// The databases, each as in GOSUMDB; ["off"] for none. The checksum database is not built
        /// into this version yet, so "off" is all that is allowed.
        databases: Vec<String> = ["off"] => databases(), twin "--sumdb" "LARDER_SUMDB";

        /// While a database cannot be reached: "serve-unverified" serves new modules, marked
        /// "Larder-Verified: none", and verifies them later; "refuse" does not serve them.
        on_unavailable: OnUnavailable = "serve-unverified" => choice(&[
            ("serve-unverified", OnUnavailable::ServeUnverified),
            ("refuse", OnUnavailable::Refuse),
        ]);

        /// When a database does not know a public version: "refuse" does not serve it; "pin" serves
        /// it and holds it to the checksum seen first.
        on_unknown: OnUnknown = "refuse" => choice(&[
            ("refuse", OnUnknown::Refuse),
            ("pin", OnUnknown::Pin),
        ]);
    }
}

const OFF: &str = "off";

/// A list of databases in which `off` stands for none.
#[derive(Debug)]
struct Databases;

fn databases() -> Databases {
    Databases
}

impl Codec for Databases {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Vec<String>, String> {
        let one = text(|name| match name {
            OFF => Ok(name.into()),
            _ => Err(
                "asks for a checksum database, which is not built into this version yet; \
                      write \"off\""
                    .into(),
            ),
        });
        let mut names = match raw {
            // A single name without brackets is plain enough.
            Raw::Text(name) => list(one, &[';', '\n']).read(&Raw::Word(name.clone()), context)?,
            _ => list(one, &[';', '\n']).read(raw, context)?,
        };
        names.retain(|name| name != OFF);
        Ok(names)
    }

    fn write(&self, value: &Vec<String>) -> String {
        let names: Vec<String> = value.iter().map(|name| quote(name)).collect();
        if names.is_empty() {
            format!("[{}]", quote(OFF))
        } else {
            format!("[{}]", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::testing::*;
    use super::*;

    #[test]
    fn off_is_all_there_is() {
        for toml in ["[]", "[\"off\"]", "\"off\"", "\"\"", "[\"off\", \"off\"]"] {
            assert_eq!(from_toml(&databases(), toml), Ok(vec![]), "{toml}");
        }
        for word in ["off", "off;off", "off\noff", ""] {
            assert_eq!(from_word(&databases(), word), Ok(vec![]), "{word}");
        }
        for toml in [
            "\"sum.golang.org\"",
            "[\"sum.golang.org\"]",
            "[\"off\", \"sum.golang.org\"]",
        ] {
            assert_eq!(
                from_toml(&databases(), toml),
                Err("\"sum.golang.org\" asks for a checksum database, which is not built into this \
                     version yet; write \"off\""
                    .into())
            );
        }
        assert_eq!(databases().write(&vec![]), "[\"off\"]");
    }
}
