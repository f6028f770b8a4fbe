//! What a token must say, claim by claim: `{ repository_owner = "acme", ref = ["refs/heads/*"] }`.

use super::{Codec, Context, Raw, quote};
use crate::identity::ClaimRule;
use crate::policy::Wildcard;

/// What is wrong with everything else.
const WANTED: &str =
    "write it as { repository_owner = \"acme\", ref = [\"refs/heads/*\", \"refs/tags/*\"] }";

#[derive(Debug)]
pub(in crate::config) struct Claims;

/// A table of claims, each with a text or several.
pub(in crate::config) fn claims() -> Claims {
    Claims
}

impl Codec for Claims {
    type Value = Vec<ClaimRule>;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<Vec<ClaimRule>, String> {
        let Raw::Table(keys) = raw else {
            return Err(format!("{} is no table; {WANTED}", raw.quoted()));
        };
        let rules = keys.iter().map(|(claim, value)| {
            let values = match value {
                Raw::List(values) => values.iter().map(one).collect(),
                value => one(value).map(|value| vec![value]),
            };
            let values = values.map_err(|why| format!("{claim}: {why}"))?;
            if values.is_empty() {
                return Err(format!(
                    "{claim}: an empty list is true of no token; {WANTED}"
                ));
            }
            Ok(ClaimRule {
                claim: claim.clone(),
                values,
            })
        });
        rules.collect()
    }

    fn write(&self, rules: &Vec<ClaimRule>) -> String {
        let rules = rules.iter().map(|rule| {
            let values = rule.values.iter().map(|value| quote(&value.to_string()));
            let values: Vec<String> = values.collect();
            format!("{} = [{}]", quote(&rule.claim), values.join(", "))
        });
        let rules: Vec<String> = rules.collect();
        format!("{{ {} }}", rules.join(", "))
    }
}

/// Switches and numbers may be written as such.
fn one(raw: &Raw) -> Result<Wildcard, String> {
    match raw {
        Raw::Text(text) | Raw::Word(text) if !text.is_empty() => Ok(Wildcard::new(text)),
        Raw::Boolean(value) => Ok(Wildcard::new(&value.to_string())),
        Raw::Integer(Some(number)) => Ok(Wildcard::new(&number.to_string())),
        other => Err(format!(
            "{} is no value of a claim; {WANTED}",
            other.quoted()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn tables_of_claims() {
        let read = from_toml(&claims(), "{ a = \"x\", \"/b/c\" = [\"y*\", true, 7] }").unwrap();
        let written: Vec<_> = read
            .iter()
            .map(|rule| (rule.claim.as_str(), rule.values.len()))
            .collect();
        assert_eq!(written, [("/b/c", 3), ("a", 1)]);
        assert_eq!(there_and_back(&claims(), &read), read);
        for (toml, why) in [
            ("\"a=b\"", "is no table"),
            ("{ a = [] }", "a: an empty list"),
            ("{ a = { b = 1 } }", "a: a table is no value"),
            ("{ a = \"\" }", "a: \"\" is no value"),
            ("{ a = 1.5 }", "is no value"),
        ] {
            let error = from_toml(&claims(), toml).unwrap_err();
            assert!(error.contains(why), "{toml}: {error}");
        }
    }
}
