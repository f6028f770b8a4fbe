//! `[[credentials]]`: what we show to hosts that ask who we are.

use std::collections::BTreeMap;

use super::codec::{Checked, host_port, text};
use super::files::{SecretFile, one_line};
use super::reader::Reader;
use super::secret::Secret;
use super::tables::{Row, Table, Tables, table, username};

table! {
    /// Credentials for hosts that ask for them, a table per host. They are sent over https only. These
    /// cannot be set in the environment, but the secrets can come from there.
    struct Keys = "credentials" {
        /// The host, with its port if that is not the usual one.
        host: String = "git.example.com" => text(host_port),
            needed "it says which host the credentials are for";
        /// Only for addresses under this path, "/team" for instance.
        path: String = "/team" => prefix();
        /// With a password: the user.
        username: String = "ci" => username();
    }
    secrets SECRETS {
        /// The password; better kept elsewhere, with one of these two.
        password = "…";
        /// A file that holds it.
        password_file = "/etc/larder/git-password";
        /// An environment variable that holds it.
        password_env = "GIT_PASSWORD";
        /// Instead of user and password: a token (Authorization: Bearer).
        bearer = "…";
        /// A file that holds it.
        bearer_file = "/etc/larder/git-token";
        /// An environment variable that holds it.
        bearer_env = "GIT_TOKEN";
    }
}

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
    pub(super) row: Row,
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

impl Credential {
    /// The file that the secret stands in, if it stands in one.
    pub fn secret_file(&self) -> Option<SecretFile> {
        self.row.secret_file()
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows.
pub(super) fn read(tables: &mut Tables, reader: &mut Reader<'_>) -> Option<Vec<Credential>> {
    let mut seen = BTreeMap::new();
    tables.read(&ARRAY, reader, |table| {
        let credential = one(table)?;
        let place = (credential.host.clone(), credential.path.clone());
        if let Some(first) = seen.insert(place, credential.row.source.clone()) {
            table.tell(
                "host",
                format!("this host and path have credentials already ({first})"),
            );
        }
        Some(credential)
    })
}

fn one(table: &mut Table<'_, '_>) -> Option<Credential> {
    let Keys {
        host,
        path,
        username: user,
    } = Keys::read(table);
    let secret = match table.written(SECRETS).as_slice() {
        [name] => {
            let secret = table.secret(name, one_line);
            let bearer = name.starts_with("bearer");
            match &user {
                None if !bearer && !table.failed() => {
                    table.tell("username", "is missing; a password goes with a user");
                }
                Some(_) if bearer => {
                    table.tell("username", "does not go with a bearer token; leave it out");
                }
                _ => {}
            }
            secret
        }
        [] => {
            table.tell(
                "",
                "there is no secret; give one of password, password_file, password_env, \
                 bearer, bearer_file and bearer_env",
            );
            None
        }
        several => {
            table.tell_exclusive(several);
            None
        }
    };
    let secret = secret?;
    let auth = match user {
        Some(username) => Auth::Basic {
            username,
            password: secret,
        },
        None => Auth::Bearer(secret),
    };
    Some(Credential {
        host: host?,
        path: path.filter(|path| !path.is_empty()),
        auth,
        row: table.row(),
    })
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
