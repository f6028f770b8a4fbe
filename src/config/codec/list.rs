//! Several values of one kind.

use super::{Codec, Context, Raw};

/// A list, each of whose elements another codec reads.
#[derive(Debug)]
pub(in crate::config) struct List<C> {
    element: C,
    separators: &'static [char],
}

/// A TOML array; in the environment, words between one of `separators`. Empty elements are left out.
pub(in crate::config) fn list<C: Codec>(element: C, separators: &'static [char]) -> List<C> {
    List {
        element,
        separators,
    }
}

impl<C: Codec> List<C> {
    fn words<'a>(
        &self,
        words: impl Iterator<Item = &'a str>,
        context: Context<'_>,
    ) -> Result<Vec<C::Value>, String> {
        words
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| self.element.read(&Raw::Word(word.into()), context))
            .collect()
    }
}

impl<C: Codec> Codec for List<C> {
    type Value = Vec<C::Value>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String> {
        match raw {
            Raw::Word(word) => self.words(word.split(self.separators), context),
            Raw::Words(words) => self.words(words.iter().map(String::as_str), context),
            Raw::List(elements) => elements
                .iter()
                .filter(|element| !matches!(element, Raw::Text(text) if text.trim().is_empty()))
                .map(|element| self.element.read(element, context))
                .collect(),
            other => Err(format!(
                "{} is not a list; write it in brackets, as [\"one\", \"two\"]",
                other.quoted()
            )),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        let elements: Vec<String> = value
            .iter()
            .map(|element| self.element.write(element))
            .collect();
        format!("[{}]", elements.join(", "))
    }

    fn allowed(&self) -> String {
        self.element.allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Environment, duration, text};
    use super::*;

    #[test]
    fn lists_from_everywhere() {
        let codec = list(text(|text| Ok(text.into())), &[';', '\n']);
        let expected: Vec<String> = vec!["a b, c".into(), "d".into()];
        assert_eq!(
            from_toml(&codec, "[\"a b, c\", \"d\", \"\"]"),
            Ok(expected.clone())
        );
        assert_eq!(from_word(&codec, "a b, c; d;"), Ok(expected.clone()));
        assert_eq!(from_word(&codec, "a b, c\nd\n"), Ok(expected.clone()));
        let words = Raw::Words(vec!["a b, c".into(), "d".into()]);
        let context = Context {
            env: &Environment::new(),
            base: None,
        };
        assert_eq!(codec.read(&words, context), Ok(expected.clone()));
        assert_eq!(there_and_back(&codec, &expected), expected);
        assert_eq!(codec.write(&vec![]), "[]");
    }

    #[test]
    fn a_wrong_element_is_told() {
        let codec = list(duration(), &[',']);
        assert!(
            from_toml(&codec, "[\"1s\", \"x\"]")
                .is_err_and(|e| e.starts_with("\"x\" is not a duration"))
        );
        assert!(from_toml(&codec, "\"1s\"").is_err_and(|e| e.contains("is not a list")));
        assert!(from_toml(&codec, "[[\"1s\"]]").is_err());
    }
}
