//! Switches, numbers, texts and choices.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use super::{Codec, Context, Raw, quote};

/// `true` or `false`.
#[derive(Debug)]
pub(in crate::config) struct Flag;

/// A switch. In the environment `1`, `yes` and `on` (and their opposites) do as well.
pub(in crate::config) fn flag() -> Flag {
    Flag
}

impl Codec for Flag {
    type Value = bool;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<bool, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Word(word) => match word.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(format!("{} is neither true nor false", raw.quoted())),
            },
            other => Err(format!(
                "{} is not a switch; write true or false (no quotes)",
                other.quoted()
            )),
        }
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number between two bounds, both allowed.
#[derive(Debug)]
pub(in crate::config) struct Count<T> {
    least: T,
    most: T,
}

/// A whole number from `least` to `most`.
pub(in crate::config) fn count<T>(least: T, most: T) -> Count<T> {
    Count { least, most }
}

impl<T: TryFrom<i128> + PartialOrd + Display> Codec for Count<T> {
    type Value = T;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<T, String> {
        let number = match raw {
            Raw::Integer(number) => *number,
            Raw::Word(word) => Some(word.trim().parse::<i128>().map_err(|_| {
                format!(
                    "{} is not a whole number; allowed is {}",
                    raw.quoted(),
                    self.allowed()
                )
            })?),
            other => {
                return Err(format!(
                    "{} is not a whole number (without quotes); allowed is {}",
                    other.quoted(),
                    self.allowed()
                ));
            }
        };
        number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| (&self.least..=&self.most).contains(&number))
            .ok_or_else(|| format!("{} is not allowed; write {}", raw.quoted(), self.allowed()))
    }

    fn write(&self, value: &T) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        format!("{} to {}", self.least, self.most)
    }
}

/// A text that a function checks and puts into its final form.
#[derive(Debug)]
pub(in crate::config) struct Checked {
    check: fn(&str) -> Result<String, String>,
}

/// A text; surrounding white space is dropped. `check` gives its final form or the end of the
/// sentence `"<the text>" …`.
pub(in crate::config) fn text(check: fn(&str) -> Result<String, String>) -> Checked {
    Checked { check }
}

impl Codec for Checked {
    type Value = String;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<String, String> {
        let text = raw.as_text("a text in quotes")?.trim();
        if text.chars().any(char::is_control) {
            return Err(format!("{} contains control characters", raw.quoted()));
        }
        (self.check)(text).map_err(|reason| format!("{} {reason}", raw.quoted()))
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// A text that reads as a `T`.
pub(in crate::config) struct Parsed<T>(PhantomData<fn() -> T>);

/// A text that reads as a `T`, whose error is the end of the sentence `"<the text>" …`; surrounding white space is dropped.
pub(in crate::config) fn parsed<T>() -> Parsed<T> {
    Parsed(PhantomData)
}

impl<T: FromStr<Err: Display> + Display> Codec for Parsed<T> {
    type Value = T;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<T, String> {
        let text = raw.as_text("a text in quotes")?.trim();
        if text.chars().any(char::is_control) {
            return Err(format!("{} contains control characters", raw.quoted()));
        }
        let value = text.parse::<T>();
        value.map_err(|error| format!("{} {error}", raw.quoted()))
    }

    fn write(&self, value: &T) -> String {
        quote(&value.to_string())
    }
}

/// One of a few words.
#[derive(Debug)]
pub(in crate::config) struct Choice<T: 'static> {
    words: &'static [(&'static str, T)],
}

/// One of a few words, each standing for a value.
pub(in crate::config) fn choice<T>(words: &'static [(&'static str, T)]) -> Choice<T> {
    Choice { words }
}

impl<T: Copy + PartialEq> Codec for Choice<T> {
    type Value = T;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<T, String> {
        let word = raw.as_text("a text in quotes")?.trim();
        self.words
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                format!(
                    "{} is not known here; write {}",
                    raw.quoted(),
                    self.allowed()
                )
            })
    }

    fn write(&self, value: &T) -> String {
        let word = self.words.iter().find(|(_, known)| known == value);
        quote(word.map_or("", |(name, _)| name))
    }

    fn allowed(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|(name, _)| quote(name)).collect();
        words.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn switches() {
        assert_eq!(from_toml(&flag(), "true"), Ok(true));
        for (word, value) in [
            ("TRUE", true),
            ("1", true),
            ("on", true),
            ("no", false),
            ("0", false),
        ] {
            assert_eq!(from_word(&flag(), word), Ok(value));
        }
        assert_eq!(
            from_toml(&flag(), "\"true\""),
            Err("\"true\" is not a switch; write true or false (no quotes)".into())
        );
        assert_eq!(
            from_word(&flag(), "maybe"),
            Err("\"maybe\" is neither true nor false".into())
        );
    }

    #[test]
    fn numbers() {
        let codec = count::<u32>(1, 10);
        assert_eq!(from_toml(&codec, "3"), Ok(3));
        assert_eq!(from_word(&codec, " 10 "), Ok(10));
        for toml in ["0", "11", "-1", "99999999999999999999", "1_000_000_000_000"] {
            assert!(
                from_toml(&codec, toml).is_err_and(|e| e.ends_with("write 1 to 10")),
                "{toml}"
            );
        }
        assert_eq!(
            from_toml(&codec, "\"3\""),
            Err("\"3\" is not a whole number (without quotes); allowed is 1 to 10".into())
        );
        assert_eq!(
            from_word(&codec, "many"),
            Err("\"many\" is not a whole number; allowed is 1 to 10".into())
        );
        assert!(from_toml(&codec, "1.5").is_err());
    }

    #[test]
    fn choices() {
        let codec = choice(&[("text", 1), ("json", 2)]);
        assert_eq!(from_toml(&codec, "\"json\""), Ok(2));
        assert_eq!(from_word(&codec, "Text"), Ok(1));
        assert_eq!(
            from_toml(&codec, "\"xml\""),
            Err(r#""xml" is not known here; write "text" or "json""#.into())
        );
        assert_eq!(there_and_back(&codec, &2), 2);
    }

    #[test]
    fn texts() {
        let codec = text(|text| match text {
            "bad" => Err("is bad".into()),
            good => Ok(good.to_uppercase()),
        });
        assert_eq!(from_toml(&codec, "\" fine \""), Ok("FINE".into()));
        assert_eq!(from_toml(&codec, "\"bad\""), Err("\"bad\" is bad".into()));
        assert_eq!(
            from_toml(&codec, "\"a\\u0000b\"").map_err(|e| e.contains("control")),
            Err(true)
        );
        assert_eq!(
            from_toml(&codec, "7"),
            Err("7 is not a text in quotes".into())
        );
        assert_eq!(
            from_toml(&codec, "[\"a\"]"),
            Err("this is a list; expected a text in quotes".into())
        );
    }
}
