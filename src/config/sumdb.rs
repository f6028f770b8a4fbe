//! `[sumdb]`: the checksum databases that modules are verified with.

use std::time::Duration;

use super::codec::{
    Codec, Context, Raw, Written, choice, duration, grammar, list, patterns, quote, text,
};
use super::section::section;
use crate::gomod::Patterns;
use crate::sumdb::DatabaseSpec;

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
    /// It is held to the checksum seen first: whatever differs later is refused.
    FirstSeen,
}

section! {
    /// The checksum databases that modules are verified with.
    pub struct Sumdb = "sumdb" {
        /// The databases, each as in GOSUMDB: "name", "name+hash+key", or either with a URL after it,
        /// which then is the only place asked; ["off"] for none. Without a URL a database is reached
        /// through the upstreams that serve it, else at https://name. The first one that knows a
        /// version decides. All of them are served to clients below /sumdb/.
        databases: Vec<Written<DatabaseSpec>> = ["sum.golang.org"] => databases(), twin "--sumdb" "LARDER_SUMDB";

        /// Public modules that no database is asked about, written as GONOSUMDB. They are held to the
        /// checksum seen first, as private modules are.
        exclude: Patterns = "" => patterns();

        /// While a database cannot be reached: "serve-unverified" serves new modules, marked
        /// "Larder-Verified: none", and verifies them later; "refuse" does not serve them.
        on_unavailable: OnUnavailable = "serve-unverified" => choice(&[
            ("serve-unverified", OnUnavailable::ServeUnverified),
            ("refuse", OnUnavailable::Refuse),
        ]);

        /// When a database does not know a public version: "refuse" does not serve it; "first-seen"
        /// serves it and holds it to the checksum seen first.
        on_unknown: OnUnknown = "refuse" => choice(&[
            ("refuse", OnUnknown::Refuse),
            ("first-seen", OnUnknown::FirstSeen),
        ]);

        /// How long a file waits for its database, from the beginning of its fetch; then
        /// on_unavailable decides.
        patience: Duration = "40s"
            => duration().between(Duration::ZERO, Duration::from_secs(600));

        /// How long a look-up may take. Databases fetch new versions when they are first asked for.
        lookup_timeout: Duration = "75s"
            => duration().between(Duration::from_millis(1), Duration::from_secs(600));

        /// How often databases are asked again about what was served unverified.
        settle_every: Duration = "15s"
            => duration().between(Duration::from_millis(10), Duration::from_secs(3600));
    }
}

const OFF: &str = "off";

/// A list of databases, none of them twice, in which `off` stands for none.
#[derive(Debug)]
struct Databases;

fn databases() -> Databases {
    Databases
}

impl Codec for Databases {
    type Value = Vec<Written<DatabaseSpec>>;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<Self::Value, String> {
        let one = text(|name| Ok(name.trim().into()));
        let separators = &[';', ',', '\n'];
        let mut names = match raw {
            // A single name without brackets is plain enough.
            Raw::Text(name) => list(one, separators).read(&Raw::Word(name.clone()), context)?,
            _ => list(one, separators).read(raw, context)?,
        };
        names.retain(|name| name != OFF);
        let spec = grammar(|text| {
            DatabaseSpec::parse(text).map_err(|error| format!("{error}, as in GOSUMDB"))
        });
        let mut databases: Self::Value = Vec::new();
        for name in names {
            let read = spec.read(&Raw::Word(name), context)?;
            let name = read.value.name();
            if databases.iter().any(|known| known.value.name() == name) {
                return Err(format!("{name} is named twice"));
            }
            databases.push(read);
        }
        Ok(databases)
    }

    fn write(&self, value: &Self::Value) -> String {
        let names: Vec<String> = value.iter().map(|it| quote(&it.text)).collect();
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

    /// The key of the example in `sumdb/note`'s documentation.
    const OTHER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn names(read: Result<Vec<Written<DatabaseSpec>>, String>) -> Result<Vec<String>, String> {
        Ok(read?.into_iter().map(|it| it.text).collect())
    }

    #[test]
    fn one_or_several_or_none() {
        let read = |toml| names(from_toml(&databases(), toml));
        for toml in ["[]", "[\"off\"]", "\"off\"", "\"\"", "[\"off\", \"off\"]"] {
            assert_eq!(read(toml), Ok(vec![]), "{toml}");
        }
        for word in ["off", "off;off", "off\noff", ""] {
            assert_eq!(names(from_word(&databases(), word)), Ok(vec![]), "{word}");
        }
        let one = Ok(vec!["sum.golang.org".to_owned()]);
        for toml in [
            "\"sum.golang.org\"",
            "[\"sum.golang.org\"]",
            "[\"off\", \"sum.golang.org\"]",
        ] {
            assert_eq!(read(toml), one);
        }
        let two = format!("sum.golang.org; {OTHER} https://x.example:1/y");
        let written = vec![
            "sum.golang.org".to_owned(),
            format!("{OTHER} https://x.example:1/y"),
        ];
        assert_eq!(names(from_word(&databases(), &two)), Ok(written));
        for (wrong, why) in [
            (
                "sum.example.com",
                "the key of \"sum.example.com\" is not known; write it as name+hash+key, as in GOSUMDB",
            ),
            (
                "sum.golang.org;sum.golang.org",
                "sum.golang.org is named twice",
            ),
        ] {
            assert_eq!(names(from_word(&databases(), wrong)), Err(why.to_owned()));
        }
        assert_eq!(databases().write(&vec![]), "[\"off\"]");
    }
}
