//! What people are told to do about an error, by its cause: the one place where texts for clients name commands, settings
//! and what goes on all the same.

use std::time::Duration;

use crate::engine::{
    Cause, Class, EngineError, Failure, KnownSum, LINES, Lacking, SinkError, SourceError,
    SumdbError,
};

const AGAIN: &str = "What is kept here goes on being served. Try again in a moment.";
const LOOK_AT_IT: &str = "What is kept here goes on being served. Try again; if it stays so, look at that upstream's state.";
const OURS: &str = "This is a fault of the Larder server, not of your build; its log says more. Try again, and tell its operator.";
const NEXT_PROXY: &str = "The go command then asks the next proxy, or the database itself.";
const TAKE_OUT: &str = "Larder's operator must take it out of the chain of upstreams (--upstream).";

/// What clients are told of an error, a line each.
pub struct Words {
    pub happened: Vec<String>,
    /// What to do, or what goes on all the same.
    pub hint: Vec<String>,
}

impl Words {
    /// For this error.
    pub fn of(error: &EngineError) -> Self {
        let mut hint = error.told();
        hint.extend(advice(error));
        hint.retain(|line| !line.is_empty());
        Words {
            happened: error.happened(),
            hint,
        }
    }

    /// As a text.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let all = self.happened.iter().chain(&self.hint);
        all.take(LINES).map(String::as_str)
    }
}

/// An error as clients get it, a line each: what happened, then what to do.
pub fn lines(error: &EngineError) -> Vec<String> {
    let words = Words::of(error);
    words.lines().map(str::to_owned).collect()
}

/// How a client shows who it is.
const HOW_TO_SHOW: &str = "Put the token as the password for this host into .netrc (over https), or into GOPROXY=https://anything:TOKEN@host; larder's operator makes one with: larder token new NAME";

fn advice(error: &EngineError) -> Vec<String> {
    let line = |text: &str| vec![text.to_owned()];
    match error.cause() {
        Cause::RefusedByRoute { .. } => {
            line("Larder's operator has decided so; ask them whether the module may be used.")
        }
        Cause::Unlisted { pattern, .. } => vec![format!(
            "Clients leave it out, too: add {pattern:?} to GONOSUMDB (or to GOPRIVATE if the module is private)."
        )],
        Cause::Unauthorized {
            lacking: Lacking::Grant(_),
            ..
        } => line("Larder's operator says which modules it is for ([[access.rules]], or the token's own --read)."),
        Cause::Unauthorized { lacking, .. } => {
            let mut lines = vec![HOW_TO_SHOW.to_owned()];
            if !matches!(lacking, Lacking::Identity | Lacking::Exempt) {
                lines.push(
                    "To serve private modules to everyone who reaches the port: [private] open = true".to_owned(),
                );
            }
            lines
        }
        Cause::UnknownCaller => line(HOW_TO_SHOW),
        Cause::CallerUndecided(_) => line(
            "It is asked again in some seconds. Meanwhile one of larder's own tokens will do: larder token new NAME",
        ),
        Cause::NoSuchDatabase | Cause::DatabaseNotServed { .. } => line(NEXT_PROXY),
        Cause::Loop => line(
            "An upstream in larder's chain leads back to it; its operator must take that out (--upstream).",
        ),
        Cause::TooManyFetches => line(AGAIN),
        Cause::OverLimit { limit, .. } => vec![
            AGAIN.to_owned(),
            format!(
                "Clients take turns, and this would have waited for longer than limits.queue; larder's operator can raise {limit}, or name this client in limits.exempt."
            ),
        ],
        Cause::Upstream {
            upstream, source, ..
        } => of_upstream(&upstream.host, source).into_iter().collect(),
        Cause::BadZip { .. } => line(
            "It was not kept and will be asked for again. If it stays so, that upstream serves a broken or forged file.",
        ),
        Cause::Mismatch { known, .. } => match known {
            KnownSum::Recorded { .. } => vec![
                "It was not kept. It may have been replaced at its origin, or altered on the way; do not work around this.".to_owned(),
                "Ask the module's authors and whoever runs that upstream. An honest answer is taken as soon as it comes.".to_owned(),
            ],
            KnownSum::FirstSeen { version, .. } => vec![
                "It was not kept. Somebody has replaced the version, or is altering it on the way.".to_owned(),
                format!("If the change is right, larder's operator accepts it with: larder first-seen accept {version}"),
            ],
        },
        Cause::UnknownToDatabase { module, .. } => vec![
            format!("If {module} is private, larder's operator names it in --private or sumdb.exclude, and clients in GOPRIVATE or GONOSUMDB."),
            "A version tagged only now may be known in a few minutes.".to_owned(),
        ],
        Cause::Unverifiable {
            database, source, ..
        } => {
            let mut lines = of_database(database, source);
            lines.push("Larder is set to serve nothing that it could not verify (sumdb.on_unavailable = \"refuse\").".to_owned());
            lines
        }
        Cause::Database {
            database, source, ..
        } => of_database(database, source),
        Cause::DerivedTooSlowly(_) | Cause::ChainUnknown => line("Try again in a moment."),
        Cause::StillAbsent { stale, why, .. } => vec![format!(
            "That was the answer {} ago. Larder cannot ask again now: {why}",
            about(stale.age)
        )],
        Cause::HadFromThere { source } => {
            let mut lines = advice(source);
            lines.push("Larder has had the module from there: what is kept goes on being served.".to_owned());
            lines
        }
        _ if error.class() == Class::Internal => line(OURS),
        _ => Vec::new(),
    }
}

fn of_upstream(host: &str, error: &SourceError) -> Option<String> {
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { .. } | SourceError::Paused(_) => return Some(AGAIN.to_owned()),
        SourceError::Busy => {
            return Some("It is slow at the moment. Try again in a moment.".to_owned());
        }
    };
    let advice = match failure {
        Failure::Absent { .. } | Failure::TooLarge(_) => return None,
        Failure::Refused { .. } => "Ask whoever runs that upstream whether the module may be used.",
        Failure::Login(_) => {
            return Some(format!(
                "Larder's operator sets them as [[credentials]] host = \"{host}\" in its configuration, or in netrc."
            ));
        }
        Failure::Limited { .. } | Failure::Crowded => AGAIN,
        Failure::Loop => TAKE_OUT,
        Failure::Sink(SinkError::Store(_)) => OURS,
        _ => LOOK_AT_IT,
    };
    Some(advice.to_owned())
}

fn of_database(database: &str, error: &SumdbError) -> Vec<String> {
    let line = |text: &str| vec![text.to_owned()];
    match error {
        SumdbError::Unknown { .. } | SumdbError::Refused(_) | SumdbError::Overloaded => Vec::new(),
        SumdbError::Timeout(_) | SumdbError::Unavailable { .. } | SumdbError::Fault(_) => {
            line(AGAIN)
        }
        SumdbError::Forged(_) | SumdbError::Inconsistent(_) => line(
            "Nothing of it was kept. Whoever is between larder and the database may be altering its answers; larder's log says more.",
        ),
        SumdbError::Fork(_) | SumdbError::Alarmed(_) => vec![
            "What is kept here goes on being served.".to_owned(),
            format!(
                "Larder's operator looks into it (`larder sumdb status`) and ends the alarm with: larder sumdb acknowledge {database}"
            ),
        ],
        SumdbError::Store(_) => line(OURS),
        SumdbError::Loop(_) => line(TAKE_OUT),
    }
}

/// A time span, for people.
fn about(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_comes_first_and_eight_lines_are_all() {
        let error = EngineError::from(Cause::DerivedTooSlowly("m@latest".into()));
        assert_eq!(
            lines(&error),
            [
                "m@latest: what it is derived from did not come in time",
                "Try again in a moment."
            ]
        );
        let fault = EngineError::from(Cause::NoSuchPath("x".into())).as_fault();
        assert_eq!(lines(&fault)[0], "x");
        assert!(lines(&fault)[1].starts_with("Larder has had the module"));
        assert_eq!(lines(&EngineError::ours("broken")), ["broken", OURS]);
        let stale = crate::engine::Stale {
            age: Duration::from_secs(7200),
            over: Duration::from_secs(60),
        };
        let words = (0..12).map(|number| format!("line {number}")).collect();
        let many = EngineError::from(Cause::StillAbsent {
            words,
            gone: false,
            from: None,
            stale,
            why: "it is down".into(),
        });
        assert_eq!(lines(&many).len(), LINES);
        assert_eq!(
            advice(&many),
            ["That was the answer 2 h ago. Larder cannot ask again now: it is down"]
        );
    }
}
