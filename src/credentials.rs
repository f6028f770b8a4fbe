//! Who we are to whom: configured credentials first, then what a URL carries, then netrc. Over https only, and for
//! one host and port only; a redirect to another one loses them. Upstreams and git hosts have them in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

/// What is sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// User name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer(String),
}

/// Credentials configured for a host.
#[derive(Clone)]
pub struct CredentialRule {
    /// `host` or `host:port`.
    pub host: String,
    /// Only for paths that start with this; empty for all.
    pub path: String,
    /// What is sent.
    pub login: Login,
}

/// All that is known, in the order in which it is tried.
#[derive(Clone, Default)]
pub struct Credentials {
    /// From the configuration.
    pub rules: Vec<CredentialRule>,
    /// From netrc.
    pub netrc: Vec<netrc::Machine>,
}

impl Credentials {
    /// The `Authorization` header for requests below `base`, if there is one.
    pub fn authorization(&self, base: &Url) -> Option<HeaderValue> {
        self.login(base)?.header()
    }

    /// Who we are to whoever serves `base`.
    pub fn login(&self, base: &Url) -> Option<Login> {
        Some(self.login_from(base)?.0)
    }

    /// The same, and where that is written.
    pub fn login_from(&self, base: &Url) -> Option<(Login, &'static str)> {
        let host = base.host_str()?;
        if base.scheme() != "https" {
            return None;
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.covers(host, base)) {
            return Some((rule.login.clone(), "[[credentials]]"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let login = Login::Basic {
                user: decoded(base.username()),
                password: decoded(base.password().unwrap_or_default()),
            };
            return Some((login, "the address"));
        }
        let machine = self.netrc.iter().find(|machine| machine.name == host)?;
        let login = Login::Basic {
            user: machine.login.clone(),
            password: machine.password.clone(),
        };
        Some((login, "netrc"))
    }
}

impl Login {
    /// As the value of `Authorization`.
    pub fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Login::Basic { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Login::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Who it is, without what proves it.
    pub fn name(&self) -> &str {
        match self {
            Login::Basic { user, .. } => user,
            Login::Bearer(_) => "a bearer token",
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.name())
    }
}

impl CredentialRule {
    fn covers(&self, host: &str, base: &Url) -> bool {
        let host_fits = match base.port_or_known_default() {
            Some(port) if self.host == format!("{host}:{port}") => true,
            _ => self.host == host,
        };
        let path = self.path.trim_matches('/');
        let below = base.path().trim_matches('/');
        let path_fits = path.is_empty() || below == path || below.starts_with(&format!("{path}/"));
        host_fits && path_fits
    }
}

/// The `.netrc` format.
pub mod netrc {
    /// One entry.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Machine {
        /// The host.
        pub name: String,
        /// User name.
        pub login: String,
        /// Password.
        pub password: String,
    }

    /// Reads a netrc file. What is not understood is skipped, as every reader of this old format does.
    pub fn parse(text: &str) -> Vec<Machine> {
        let mut machines: Vec<Machine> = Vec::new();
        let mut in_macro = false;
        for line in text.lines() {
            if in_macro {
                in_macro = !line.trim().is_empty();
                continue;
            }
            let mut words = line
                .split_whitespace()
                .take_while(|word| !word.starts_with('#'));
            while let Some(word) = words.next() {
                match word {
                    "machine" => machines.push(entry(words.next().unwrap_or_default())),
                    // What follows would go to every host; the `go` command does not use it either.
                    "default" => return machines,
                    "login" | "password" | "account" => {
                        let value = words.next().unwrap_or_default().to_owned();
                        match (word, machines.last_mut()) {
                            ("login", Some(machine)) => machine.login = value,
                            ("password", Some(machine)) => machine.password = value,
                            _ => {}
                        }
                    }
                    "macdef" => {
                        in_macro = true;
                        break;
                    }
                    _ => {}
                }
            }
        }
        machines
    }

    fn entry(name: &str) -> Machine {
        Machine {
            name: name.to_owned(),
            login: String::new(),
            password: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(credentials: &Credentials, url: &str) -> Option<String> {
        let header = credentials.authorization(&Url::parse(url).unwrap())?;
        assert!(header.is_sensitive());
        let text = header.to_str().unwrap().to_owned();
        Some(match text.strip_prefix("Basic ") {
            Some(basic) => String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap(),
            None => text,
        })
    }

    #[test]
    fn by_host_port_and_path_and_never_to_another() {
        let rule = |host: &str, path: &str, token: &str| CredentialRule {
            host: host.into(),
            path: path.into(),
            login: Login::Bearer(token.into()),
        };
        let credentials = Credentials {
            rules: vec![
                rule("a.example.com", "/team", "t"),
                rule("a.example.com", "", "all"),
                rule("b.example.com:8443", "", "p"),
            ],
            netrc: netrc::parse(
                "machine c.example.com login me password s3cret # x\nmacdef init\n machine no\n\nmachine d.example.com\nlogin x\npassword y\ndefault login all password all",
            ),
        };
        assert_eq!(
            sent(&credentials, "https://a.example.com/team/x").unwrap(),
            "Bearer t"
        );
        assert_eq!(
            sent(&credentials, "https://a.example.com/teamwork").unwrap(),
            "Bearer all"
        );
        assert_eq!(
            sent(&credentials, "https://b.example.com:8443/").unwrap(),
            "Bearer p"
        );
        assert_eq!(sent(&credentials, "https://b.example.com/"), None);
        assert_eq!(
            sent(&credentials, "https://c.example.com/").unwrap(),
            "me:s3cret"
        );
        assert_eq!(sent(&credentials, "http://c.example.com/"), None);
        assert_eq!(sent(&credentials, "https://d.example.com/").unwrap(), "x:y");
        assert_eq!(sent(&credentials, "https://no/"), None);
        assert_eq!(sent(&credentials, "https://any.example.com/"), None);
        assert_eq!(
            sent(&credentials, "https://u%40x:p%3A@e.example.com/").unwrap(),
            "u@x:p:"
        );
    }
}
