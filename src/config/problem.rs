//! What is wrong with a configuration, and where it was written.

use std::fmt;

use super::origin::ValueSource;

/// What kind of fault a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The configuration file cannot be read.
    Unreadable,
    /// The configuration file is not TOML.
    Syntax,
    /// A section or key that does not exist.
    UnknownKey,
    /// A value of the wrong type, or one that is not allowed.
    BadValue,
    /// Values that are right alone and wrong together.
    Conflict,
}

/// One fault of a configuration. `Display` is the whole sentence:
/// `larder.toml:12: freshness.ttl: "abc" is not a duration; write it as "60s" or "5m"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub source: ValueSource,
    /// The key (`freshness.ttl`); empty when the fault is not that of one key.
    pub key: String,
    /// What kind of fault it is.
    pub cause: ProblemKind,
    /// What is wrong and what is allowed instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.cause) {
            // The file as a whole is at fault: there is no line to name.
            (ValueSource::File { path, .. }, ProblemKind::Unreadable) => {
                write!(f, "{}: ", path.display())?
            }
            (source, _) if source.is_explicit() => write!(f, "{source}: ")?,
            _ => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, never empty. `Display` prints one block per
/// problem. Nothing may start with such a configuration (exit code 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", blocks(.problems))]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Collects problems, in the order in which an operator would look them up.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.source.rank());
        Self { problems }
    }

    /// The problems one by one, those of the file first and in its order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn blocks(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&problem.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: ValueSource, key: &str) -> Problem {
        Problem {
            source,
            key: key.into(),
            cause: ProblemKind::BadValue,
            message: "is wrong".into(),
        }
    }

    #[test]
    fn problems_are_told_in_the_order_of_the_file() {
        let line = |line| ValueSource::File {
            path: "larder.toml".into(),
            line,
        };
        let errors = ConfigErrors::new(vec![
            problem(ValueSource::Default, "store.data_dir"),
            problem(ValueSource::Flag("--listen"), "server.listen"),
            problem(line(30), "log.level"),
            problem(ValueSource::Env("LARDER_LOG__FORMAT".into()), "log.format"),
            problem(line(4), "freshness.ttl"),
        ]);
        assert_eq!(
            errors.to_string(),
            "larder.toml:4: freshness.ttl: is wrong\n\
             larder.toml:30: log.level: is wrong\n\
             LARDER_LOG__FORMAT: log.format: is wrong\n\
             --listen: server.listen: is wrong\n\
             store.data_dir: is wrong"
        );
    }

    #[test]
    fn sources_say_whether_somebody_wrote_them() {
        assert!(!ValueSource::Default.is_explicit());
        assert!(!ValueSource::Derived("HOME").is_explicit());
        assert!(ValueSource::Flag("--upstream").is_explicit());
        assert_eq!(
            ValueSource::Derived("HOME").to_string(),
            "default, from HOME"
        );
    }
}
