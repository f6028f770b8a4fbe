//! `[[credentials]]`: what we show to hosts that ask who we are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::codec::{Checked, Codec, Raw, host_port, path, quote, text};
use super::file::{RawField, RawTable};
use super::problem::{Cause, Problem, Source};
use super::reader::Reader;
use super::secret::Secret;
use super::suggest::nearest;

/// The name of the array of tables.
pub(super) const SECTION: &str = "credentials";

/// The keys of a table, with their documentation.
pub(super) const FIELDS: [(&str, &str); 9] = [
    (
        "host",
        "The host, with its port if that is not the usual one.",
    ),
    (
        "path",
        "Only for addresses under this path, \"/team\" for instance.",
    ),
    ("username", "With a password: the user."),
    (
        "password",
        "The password; better kept elsewhere, with one of these two.",
    ),
    ("password_file", "A file that holds it."),
    ("password_env", "An environment variable that holds it."),
    (
        "bearer",
        "Instead of user and password: a token (Authorization: Bearer).",
    ),
    ("bearer_file", "A file that holds it."),
    ("bearer_env", "An environment variable that holds it."),
];

/// Secrets are short; a file beyond this was named by mistake.
const LONGEST: u64 = 64 << 10;

/// Credentials for a host. They are sent over https only, and to no other host or port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `host` or `host:port`, in lower case.
    pub host: String,
    /// Only for addresses under this path: begins with a slash, does not end with one, and is to be
    /// compared by whole elements.
    pub path: Option<String>,
    /// What to send.
    pub auth: Auth,
    /// Where the table stands.
    pub source: Source,
    origin: Origin,
}

/// What to send to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer(Secret),
}

/// How a secret was given, to show that and not the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Inline,
    File(PathBuf),
    Env(String),
}

impl Credential {
    /// The table in TOML, with the secret masked if it stands in the file itself.
    pub(super) fn show(&self, sources: bool) -> String {
        let mut toml = format!("[[{SECTION}]]");
        if sources {
            let _ = write!(toml, "   # {}", self.source);
        }
        let mut line = |name: &str, value: &str| {
            let _ = write!(toml, "\n{name} = {}", quote(value));
        };
        line("host", &self.host);
        if let Some(path) = &self.path {
            line("path", path);
        }
        let (name, secret) = match &self.auth {
            Auth::Basic { username, password } => {
                line("username", username);
                ("password", password)
            }
            Auth::Bearer(token) => ("bearer", token),
        };
        match &self.origin {
            Origin::Inline => line(name, &secret.to_string()),
            Origin::File(path) => line(&format!("{name}_file"), &path.to_string_lossy()),
            Origin::Env(variable) => line(&format!("{name}_env"), variable),
        }
        toml.push('\n');
        toml
    }

    /// The variable that holds the secret, if one does.
    fn variable(&self) -> Option<&str> {
        match &self.origin {
            Origin::Env(name) => Some(name),
            _ => None,
        }
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows. `used` gets the names of
/// variables that hold secrets.
pub(super) fn read(
    file: &Path,
    tables: Vec<RawTable>,
    used: &mut BTreeSet<String>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Credential>> {
    let mut seen = BTreeMap::new();
    let mut credentials = Some(Vec::new());
    for table in tables {
        used.extend(mentioned(&table));
        let mut faults = Faults {
            file,
            line: table.line,
            reader: &mut *reader,
        };
        let Some(credential) = one(table, &mut faults) else {
            credentials = None;
            continue;
        };
        let place = (credential.host.clone(), credential.path.clone());
        if let Some(first) = seen.insert(place, credential.source.clone()) {
            faults.tell(
                "host",
                format!("this host and path have credentials already ({first})"),
            );
            credentials = None;
        }
        used.extend(credential.variable().map(str::to_owned));
        if let Some(all) = &mut credentials {
            all.push(credential);
        }
    }
    credentials
}

/// Variables that a table names, be the rest of it right or wrong.
fn mentioned(table: &RawTable) -> impl Iterator<Item = String> {
    table
        .fields
        .iter()
        .filter(|field| field.name.ends_with("_env"))
        .filter_map(|field| match &field.raw {
            Raw::Text(name) => Some(name.clone()),
            _ => None,
        })
}

/// Tells the faults of one table.
struct Faults<'f, 'a> {
    file: &'f Path,
    line: usize,
    reader: &'f mut Reader<'a>,
}

impl Faults<'_, '_> {
    fn source(&self, line: usize) -> Source {
        Source::File {
            path: self.file.into(),
            line,
        }
    }

    fn tell_at(&mut self, line: usize, field: &str, cause: Cause, message: impl Into<String>) {
        self.reader.problems.push(Problem {
            source: self.source(line),
            key: if field.is_empty() {
                SECTION.into()
            } else {
                format!("{SECTION}.{field}")
            },
            cause,
            message: message.into(),
        });
    }

    fn tell(&mut self, field: &str, message: impl Into<String>) {
        self.tell_at(self.line, field, Cause::Conflict, message);
    }
}

fn one(table: RawTable, faults: &mut Faults<'_, '_>) -> Option<Credential> {
    let before = faults.reader.problems.len();
    let mut fields = BTreeMap::new();
    for field in table.fields {
        if FIELDS.iter().any(|(name, _)| *name == field.name) {
            fields.insert(field.name.clone(), field);
        } else {
            let names = FIELDS.iter().map(|(name, _)| *name);
            let message = match nearest(&field.name, names.clone()) {
                Some(meant) => format!("there is no such key; did you mean {meant}?"),
                None => format!(
                    "there is no such key; there are {}",
                    names.collect::<Vec<_>>().join(", ")
                ),
            };
            faults.tell_at(field.line, &field.name, Cause::UnknownKey, message);
        }
    }

    let host = match fields.remove("host") {
        Some(field) => value(&field, &text(host_port), faults),
        None => {
            faults.tell(
                "host",
                "is missing; it says which host the credentials are for",
            );
            None
        }
    };
    let prefix = fields
        .remove("path")
        .and_then(|field| value(&field, &prefix(), faults));
    let username = fields
        .remove("username")
        .and_then(|field| value(&field, &username(), faults));
    let given: Vec<RawField> = FIELDS
        .iter()
        .filter_map(|(name, _)| fields.remove(*name))
        .collect();
    let (kind, secret) = match given.as_slice() {
        [field] => (kind(&field.name), secret(field, faults)),
        [] => {
            faults.tell(
                "",
                "there is no secret; give one of password, password_file, password_env, \
                             bearer, bearer_file and bearer_env",
            );
            (None, None)
        }
        several => {
            let names: Vec<&str> = several.iter().map(|field| field.name.as_str()).collect();
            faults.tell(
                "",
                format!("{} exclude each other; keep one", names.join(" and ")),
            );
            (None, None)
        }
    };
    match (kind, &username) {
        (Some(Kind::Password), None) if faults.reader.problems.len() == before => {
            faults.tell("username", "is missing; a password goes with a user");
        }
        (Some(Kind::Bearer), Some(_)) => {
            faults.tell("username", "does not go with a bearer token; leave it out");
        }
        _ => {}
    }
    if faults.reader.problems.len() > before {
        return None;
    }
    let (secret, origin) = secret?;
    let auth = match kind? {
        Kind::Password => Auth::Basic {
            username: username?,
            password: secret,
        },
        Kind::Bearer => Auth::Bearer(secret),
    };
    let path = prefix.filter(|path| !path.is_empty());
    Some(Credential {
        host: host?,
        path,
        auth,
        source: faults.source(faults.line),
        origin,
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Password,
    Bearer,
}

fn kind(field: &str) -> Option<Kind> {
    match field.split('_').next() {
        Some("password") => Some(Kind::Password),
        Some("bearer") => Some(Kind::Bearer),
        _ => None,
    }
}

/// The value of a field that is no secret.
fn value<C: Codec>(field: &RawField, codec: &C, faults: &mut Faults<'_, '_>) -> Option<C::Value> {
    let source = faults.source(field.line);
    match codec.read(&field.raw, faults.reader.context(&source)) {
        Ok(value) => Some(value),
        Err(message) => {
            faults.tell_at(field.line, &field.name, Cause::BadValue, message);
            None
        }
    }
}

/// The secret of a field and how it was given. Messages never quote it.
fn secret(field: &RawField, faults: &mut Faults<'_, '_>) -> Option<(Secret, Origin)> {
    let found = if field.name.ends_with("_file") {
        let path = value(field, &path(), faults)?;
        secret_in_file(&path).map(|secret| (secret, Origin::File(path)))
    } else if field.name.ends_with("_env") {
        let name = value(field, &text(|name| Ok(name.into())), faults)?;
        match faults
            .reader
            .env
            .get(&name)
            .filter(|value| !value.is_empty())
        {
            Some(value) => Ok((value.clone(), Origin::Env(name))),
            None => Err(format!(
                "the environment variable {name:?} is not set, or empty"
            )),
        }
    } else {
        match &field.raw {
            Raw::Text(secret) if !secret.is_empty() => Ok((secret.clone(), Origin::Inline)),
            Raw::Text(_) => Err("is empty".into()),
            _ => Err("is not a text in quotes".into()),
        }
    };
    let checked = found.and_then(|(secret, origin)| {
        // It goes into a header line, where these could not stand.
        if secret.chars().any(char::is_control) {
            Err("the secret contains control characters or several lines".into())
        } else {
            Ok((Secret::new(secret), origin))
        }
    });
    checked
        .map_err(|message: String| {
            faults.tell_at(field.line, &field.name, Cause::BadValue, message)
        })
        .ok()
}

/// The content of a file without the line end that editors leave.
fn secret_in_file(path: &Path) -> Result<String, String> {
    let mut content = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut content))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if content.len() as u64 > LONGEST {
        return Err(format!("{} is too large to hold a secret", path.display()));
    }
    let secret = content.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(secret.into())
}

/// A prefix of paths: with a slash at the beginning and none at the end.
fn prefix() -> Checked {
    text(|text| {
        let path = text.trim_matches('/');
        if path.contains([' ', '?', '#'])
            || path.split('/').any(|element| matches!(element, "." | ".."))
        {
            return Err("is not a path; write it as \"/team\"".into());
        }
        Ok(if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        })
    })
}

/// The name of a user, as Basic authentication can carry it.
fn username() -> Checked {
    text(|name| match name {
        "" => Err("is no name of a user".into()),
        name if name.contains(':') => {
            Err("contains a colon, which Basic authentication cannot carry".into())
        }
        name => Ok(name.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded, loaded_with};
    use super::*;

    #[test]
    fn every_way_to_give_a_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, "from file\n").expect("a file");
        let loaded = loaded_with(
            &format!(
                r#"
                [[credentials]]
                host = "Git.Example.com:8443"
                path = "team/"
                username = "ci"
                password = "inline"
                [[credentials]]
                host = "b.example.com"
                username = "ci"
                password_file = {file:?}
                [[credentials]]
                host = "c.example.com"
                bearer_env = "LARDER_TOKEN"
                "#
            ),
            &[("LARDER_TOKEN", "from env")],
        );
        let [a, b, c] = loaded.config.credentials.as_slice() else {
            panic!("three tables")
        };
        assert_eq!(
            (a.host.as_str(), a.path.as_deref()),
            ("git.example.com:8443", Some("/team"))
        );
        assert_eq!(
            a.auth,
            Auth::Basic {
                username: "ci".into(),
                password: Secret::new("inline")
            }
        );
        assert_eq!(
            b.auth,
            Auth::Basic {
                username: "ci".into(),
                password: Secret::new("from file")
            }
        );
        assert_eq!(c.auth, Auth::Bearer(Secret::new("from env")));
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let debug = format!("{:?}", loaded.config);
        assert!(
            !debug.contains("inline")
                && !debug.contains("from file")
                && !debug.contains("from env")
        );
    }

    #[test]
    fn every_fault_is_told_and_no_secret_is() {
        let text = errors(
            r#"[[credentials]]
host = "https://git.example.com/x"
username = "a:b"
password = "hunter2"
bearer = "hunter2"

[[credentials]]
usrname = "ci"
password = "hunter2\n"

[[credentials]]
host = "a.example.com"

[[credentials]]
host = "b.example.com"
password = "hunter2"

[[credentials]]
host = "c.example.com"
username = "ci"
bearer = "hunter2"

[[credentials]]
host = "d.example.com"
bearer_env = "MISSING"

[[credentials]]
host = "e.example.com"
bearer_file = "/nonexistent/token"

[[credentials]]
host = "f.example.com"
bearer = 7
"#,
        );
        let expected = [
            "larder.toml:1: credentials: password and bearer exclude each other; keep one",
            "larder.toml:2: credentials.host: \"https://git.example.com/x\" is more than a host; write only",
            "larder.toml:3: credentials.username: \"a:b\" contains a colon",
            "larder.toml:7: credentials.host: is missing",
            "larder.toml:8: credentials.usrname: there is no such key; did you mean username?",
            "larder.toml:9: credentials.password: the secret contains control characters",
            "larder.toml:11: credentials: there is no secret; give one of password,",
            "larder.toml:14: credentials.username: is missing; a password goes with a user",
            "larder.toml:18: credentials.username: does not go with a bearer token",
            "larder.toml:25: credentials.bearer_env: the environment variable \"MISSING\" is not set",
            "larder.toml:29: credentials.bearer_file: cannot read /nonexistent/token: No such file",
            "larder.toml:33: credentials.bearer: is not a text in quotes",
        ];
        for (line, expected) in text.lines().zip(expected) {
            assert!(line.contains(expected), "{line}\n{expected}");
        }
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn a_host_has_credentials_once_per_path() {
        let table = "[[credentials]]\nhost = \"a.example.com\"\nbearer = \"x\"\n";
        assert!(errors(&format!("{table}{table}")).contains("have credentials already"));
        let loaded = loaded(&format!("{table}{table}path = \"/team\"\n"));
        assert_eq!(loaded.config.credentials.len(), 2);
    }

    #[test]
    fn not_a_list_of_tables() {
        assert!(
            errors("[credentials]\nhost = \"a\"\n").contains("write each one as [[credentials]]")
        );
        assert!(errors("credentials = [1]\n").contains("every element is a table"));
    }
}
