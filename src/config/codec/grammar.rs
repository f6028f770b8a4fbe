//! Values with a grammar of their own, which their own room reads: chains of upstreams, checksum databases.

use std::fmt;

use super::{Codec, Context, Raw, quote};
use crate::config::secret::mask_user_info;

/// A value, and how it was written. `Display` and `Debug` mask credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Written<T> {
    pub text: String,
    pub value: T,
}

impl<T> fmt::Display for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_user_info(&self.text))
    }
}

impl<T> fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A text with a grammar.
pub(in crate::config) struct Grammar<T> {
    parse: fn(&str) -> Result<T, String>,
}

/// A text that `parse` understands; surrounding white space is dropped. The error of `parse` says what is wrong, and quotes
/// no credentials.
pub(in crate::config) fn grammar<T>(parse: fn(&str) -> Result<T, String>) -> Grammar<T> {
    Grammar { parse }
}

impl<T> Codec for Grammar<T> {
    type Value = Written<T>;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<Written<T>, String> {
        let text = raw.as_text("a text in quotes")?.trim();
        if text.chars().any(char::is_control) {
            return Err(format!("{} contains control characters", raw.quoted()));
        }
        let value = (self.parse)(text)?;
        let text = text.to_owned();
        Ok(Written { text, value })
    }

    fn write(&self, value: &Written<T>) -> String {
        quote(&value.text)
    }
}
