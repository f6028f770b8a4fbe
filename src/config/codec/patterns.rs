//! Lists of patterns of module paths, written as GOPRIVATE.

use super::{Codec, Context, Raw, quote};
use crate::config::secret::mask_user_info;
use crate::gomod::Patterns;

/// What a list looks like.
const EXAMPLE: &str = r#""git.example.com/*,example.com/team""#;

/// A list of patterns.
#[derive(Debug)]
pub(in crate::config) struct PatternList {
    needed: bool,
}

/// A list of patterns, perhaps none, each of which can match something. Its form is the one that Go reads as we do.
pub(in crate::config) fn patterns() -> PatternList {
    PatternList { needed: false }
}

impl PatternList {
    /// At least one pattern.
    pub(in crate::config) fn needed(self) -> Self {
        PatternList { needed: true }
    }
}

impl Codec for PatternList {
    type Value = Patterns;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<Patterns, String> {
        let text = raw.as_text("a text in quotes")?.trim();
        let is_none = text.split(',').all(|it| matches!(it.trim(), "" | "none"));
        if self.needed && is_none {
            return Err(format!(
                "{} matches nothing; write it as {EXAMPLE}",
                raw.quoted()
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{} contains control characters", raw.quoted()));
        }
        let faults = Patterns::faults(text);
        if faults.is_empty() {
            return Ok(if is_none {
                Patterns::default()
            } else {
                Patterns::parse(&Patterns::tidy(text))
            });
        }
        let mut message = String::new();
        for fault in &faults {
            match message.chars().last() {
                None => {}
                Some('?') => message.push_str(" And "),
                Some(_) => message.push_str("; and "),
            }
            message.push_str(&fault.to_string());
        }
        Err(mask_user_info(&message))
    }

    fn write(&self, value: &Patterns) -> String {
        quote(&value.to_string())
    }
}

/// The same as a list of texts.
#[derive(Debug)]
pub(in crate::config) struct PatternWords;

/// A list of patterns, one a text; or one text with commas, as everywhere else.
pub(in crate::config) fn pattern_list() -> PatternWords {
    PatternWords
}

impl Codec for PatternWords {
    type Value = Patterns;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Patterns, String> {
        let Raw::List(elements) = raw else {
            return patterns().read(raw, context);
        };
        let words: Result<Vec<&str>, String> = elements
            .iter()
            .map(|element| element.as_text("a text in quotes"))
            .collect();
        patterns().read(&Raw::Text(words?.join(",")), context)
    }

    fn write(&self, value: &Patterns) -> String {
        let words: Vec<String> = value.iter().map(quote).collect();
        format!("[{}]", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn lists_of_patterns() {
        for (word, expected) in [
            ("", ""),
            ("none", ""),
            (
                " a.example.com, b.example.com/x ",
                "a.example.com,b.example.com/x",
            ),
        ] {
            assert_eq!(from_word(&patterns(), word), Ok(Patterns::parse(expected)));
        }
        assert_eq!(
            from_word(&patterns(), "https://git.example.com/*,b["),
            Err("\"https://git.example.com/*\" has a scheme, and module paths have none; did you mean \"git.example.com/*\"? \
                 And \"b[\" is malformed: a bracket is not closed, or a backslash has nothing behind it"
                .into())
        );
        for nothing in ["", " , ", "none"] {
            let error = from_word(&patterns().needed(), nothing).expect_err(nothing);
            assert!(error.contains("matches nothing; write it as"), "{error}");
        }
        assert!(from_toml(&patterns(), "[\"a.example.com\"]").is_err());
        assert!(from_toml(&patterns(), "\"a.example.com\\u0000\"").is_err());
    }
}
