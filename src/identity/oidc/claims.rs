//! What an operator wants of the claims of a token, and what is made of them.

use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::policy::Wildcard;

/// Longer names are nobody's. Characters.
const LONGEST: usize = 256;

/// A claim that must be there, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// The claim's name, or a JSON pointer (RFC 6901) to what is further inside.
    pub claim: String,
    /// One of these; a `*` stands for anything.
    pub values: Vec<Wildcard>,
}

impl ClaimRule {
    /// Whether a token's claims are as it says. Of a list, one element has to be.
    pub fn holds(&self, claims: &Map<String, Value>) -> bool {
        let found = texts(claims, &self.claim);
        found
            .iter()
            .any(|text| self.values.iter().any(|value| value.matches(&[text])))
    }
}

/// A text with claims in braces, `{project_path}@{ref}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(String),
}

/// Why a text is no template; the end of a sentence that begins with it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "has a brace without its other half; write it as \"{{sub}}\" or \"{{project_path}}@{{ref}}\""
)]
pub struct BadTemplate;

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if before.contains('}') {
                return Err(BadTemplate);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (claim, after) = after.split_once('}').ok_or(BadTemplate)?;
            if claim.is_empty() || claim.contains('{') {
                return Err(BadTemplate);
            }
            parts.push(Part::Claim(claim.to_owned()));
            rest = after;
        }
        let text = text.to_owned();
        Ok(Template { text, parts })
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// The text with the claims in it; several if it is nothing but a claim that is a list. None where a claim is missing,
    /// is no text, or is nothing that can stand in a rule and in a log.
    pub fn fill(&self, claims: &Map<String, Value>) -> Vec<String> {
        if let [Part::Claim(claim)] = &self.parts[..] {
            return texts(claims, claim);
        }
        let filled = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Claim(claim) => match &texts(claims, claim)[..] {
                [one] => Some(one.clone()),
                _ => None,
            },
        });
        filled.collect::<Option<String>>().into_iter().collect()
    }
}

/// A claim as texts: of a list, its elements.
fn texts(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    let found = match claim.strip_prefix('/') {
        None => claims.get(claim),
        Some(pointer) => {
            let (first, rest) = match pointer.split_once('/') {
                Some((first, rest)) => (first, format!("/{rest}")),
                None => (pointer, String::new()),
            };
            let first = first.replace("~1", "/").replace("~0", "~");
            claims.get(&first).and_then(|value| value.pointer(&rest))
        }
    };
    match found {
        Some(Value::Array(elements)) => elements.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => return None,
    };
    let fine =
        !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    fine.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Map<String, Value> {
        let claims = json!({
            "sub": "repo:acme/app:ref:refs/heads/main",
            "ref": "refs/heads/main",
            "run": 7,
            "protected": true,
            "groups": ["dev", "ops", "", "bad\nname", 3],
            "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "build"}},
            "a/b": {"c": "deep"},
            "nothing": null,
        });
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn claims_are_held_against_rules() {
        for (claim, values, holds) in [
            ("ref", &["refs/heads/main"][..], true),
            ("ref", &["refs/tags/*", "refs/heads/*"], true),
            ("ref", &["refs/heads"], false),
            ("run", &["7"], true),
            ("protected", &["true"], true),
            ("groups", &["ops"], true),
            ("groups", &["qa"], false),
            ("missing", &["*"], false),
            ("nothing", &["*"], false),
            ("kubernetes.io", &["*"], false),
            ("/kubernetes.io/namespace", &["ci"], true),
            ("/kubernetes.io/serviceaccount/name", &["build"], true),
            ("/kubernetes.io/missing", &["*"], false),
            ("/a~1b/c", &["deep"], true),
            ("/ref", &["refs/heads/main"], true),
        ] {
            let rule = ClaimRule {
                claim: claim.to_owned(),
                values: values.iter().map(|value| Wildcard::new(value)).collect(),
            };
            assert_eq!(rule.holds(&claims()), holds, "{claim} {values:?}");
        }
    }

    #[test]
    fn templates_are_filled() {
        for (template, filled) in [
            ("{sub}", &["repo:acme/app:ref:refs/heads/main"][..]),
            ("run-{run}@{ref}", &["run-7@refs/heads/main"]),
            ("ci", &["ci"]),
            ("{groups}", &["dev", "ops", "3"]),
            ("x-{groups}", &[]),
            ("{missing}", &[]),
            ("x-{missing}", &[]),
            ("", &[""]),
        ] {
            let parsed: Template = template.parse().unwrap();
            assert_eq!(parsed.fill(&claims()), filled, "{template}");
            assert_eq!(parsed.to_string(), template);
        }
        for bad in ["{", "}", "a}b", "{a", "{}", "{a{b}}", "{a}}"] {
            assert_eq!(bad.parse::<Template>(), Err(BadTemplate), "{bad}");
        }
    }
}
