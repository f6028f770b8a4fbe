//! Where values come from.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from. `Display` is what `config show --sources` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// Nobody wrote it.
    Default,
    /// Nobody wrote it, and it was worked out from what is named here (`HOME`, say).
    Derived(&'static str),
    /// A line of the configuration file.
    File {
        /// The file, as it was named to us.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag on the command line, with its dashes.
    Flag(&'static str),
}

impl ValueSource {
    /// Whether somebody wrote the value (in a file, the environment or on the command line).
    pub fn is_explicit(&self) -> bool {
        !matches!(self, Self::Default | Self::Derived(_))
    }

    /// The order in which problems are told: as in the file, then the environment, then flags.
    pub(super) fn rank(&self) -> (u8, usize) {
        match self {
            Self::File { line, .. } => (0, *line),
            Self::Env(_) => (1, 0),
            Self::Flag(_) => (2, 0),
            Self::Default | Self::Derived(_) => (3, 0),
        }
    }
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(from) => write!(f, "default, from {from}"),
            // Sources are shown in comments, which a line end in a file's name would end.
            Self::File { path, line } => {
                write!(
                    f,
                    "{}:{line}",
                    path.display().to_string().replace(char::is_control, "?")
                )
            }
            Self::Env(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A key of the file that does not count, because somebody has said otherwise elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadowed {
    /// `freshness.ttl`.
    pub key: String,
    /// As the file has it, in TOML and without credentials.
    pub in_file: String,
    /// What goes before it.
    pub by: ValueSource,
}

/// A value in effect.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// `freshness.ttl`.
    pub key: String,
    /// As TOML, credentials masked.
    pub toml: String,
    pub source: ValueSource,
}

/// Where every value in effect comes from, in the order of the default file.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    values: Vec<Value>,
}

impl Sources {
    pub(super) fn push(&mut self, value: Value) {
        self.values.push(value);
    }

    /// The source of a key (`freshness.ttl`); nothing if there is no such key.
    pub fn get(&self, key: &str) -> Option<&ValueSource> {
        self.values
            .iter()
            .find(|value| value.key == key)
            .map(|value| &value.source)
    }

    /// Every key with its value in TOML (credentials masked) and its source.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &ValueSource)> {
        self.values
            .iter()
            .map(|value| (value.key.as_str(), value.toml.as_str(), &value.source))
    }
}
