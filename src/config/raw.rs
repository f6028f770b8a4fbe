//! What was written, before anybody has looked at what it means.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::secret::mask_user_info;

/// Environment variables by name. Those that are not Unicode do not concern us.
pub type Environment = BTreeMap<String, String>;

/// A value as it was written, before a key's codec has looked at it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From the environment or the command line: its type is what the key makes of it.
    Word(String),
    /// A flag that may be given several times.
    Words(Vec<String>),
    /// A TOML string.
    Text(String),
    /// A TOML integer; `None` when it is beyond every number we know.
    Integer(Option<i128>),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// A TOML table within a table.
    Table(Vec<(String, Raw)>),
    /// A TOML value no key takes, by the name of its type.
    Other(&'static str),
}

impl Raw {
    /// The value as it is quoted in a message: shortened, and without credentials.
    pub(super) fn quoted(&self) -> String {
        const LONGEST: usize = 80;
        match self {
            Self::Word(text) | Self::Text(text) => {
                let masked = mask_user_info(text);
                let mut short: String = masked.chars().take(LONGEST).collect();
                if short.len() < masked.len() {
                    short.push('…');
                }
                format!("{short:?}")
            }
            Self::Integer(Some(number)) => number.to_string(),
            Self::Integer(None) => "this number".into(),
            Self::Boolean(value) => value.to_string(),
            Self::Words(_) | Self::List(_) => "a list".into(),
            Self::Table(_) => "a table".into(),
            Self::Other(kind) => format!("a {kind}"),
        }
    }

    /// The value of a key that takes a text.
    pub(super) fn as_text(&self, what: &str) -> Result<&str, String> {
        match self {
            Self::Word(text) | Self::Text(text) => Ok(text),
            other => Err(other.instead_of(what)),
        }
    }

    /// The text as it was written, in TOML, if it is one.
    pub(super) fn as_written(&self) -> Option<String> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(quote(text.trim())),
            _ => None,
        }
    }

    /// The sentence for a value of the wrong type.
    pub(super) fn instead_of(&self, what: &str) -> String {
        match self {
            Self::Words(_) | Self::List(_) | Self::Table(_) | Self::Other(_) => {
                format!("this is {}; expected {what}", self.quoted())
            }
            _ => format!("{} is not {what}", self.quoted()),
        }
    }
}

/// Arrays of tables as written, by name.
pub(super) type RawArrays = BTreeMap<&'static str, Vec<RawTable>>;

/// A table of an array, as written.
#[derive(Debug)]
pub(super) struct RawTable {
    pub line: usize,
    pub fields: Vec<RawField>,
}

/// A key of such a table.
#[derive(Debug)]
pub(super) struct RawField {
    pub name: String,
    pub line: usize,
    pub raw: Raw,
}

/// A TOML value as our codecs take it.
pub(super) fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.clone().into_owned()),
        DeValue::Integer(number) => {
            Raw::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Array(elements) => Raw::List(
            elements
                .iter()
                .map(|element| raw(element.get_ref()))
                .collect(),
        ),
        DeValue::Float(_) => Raw::Other("number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("date or time"),
        DeValue::Table(keys) => {
            let keys = keys.iter();
            let keys = keys.map(|(key, value)| (key.get_ref().to_string(), raw(value.get_ref())));
            Raw::Table(keys.collect())
        }
    }
}

/// The default of a key. That each of them is TOML is held by a test.
pub(super) fn parse_default(toml: &str) -> Raw {
    DeValue::parse(toml).map_or(Raw::Other("broken default"), |value| raw(value.get_ref()))
}

/// A TOML string of this text.
pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}
