//! Who we are to whom: configured credentials first, then what a URL carries, then netrc. Over https only, and for
//! one host and port only; a redirect to another one loses them. Upstreams and git hosts have them in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

mod renewed;

pub use renewed::{Read, Renewed};

/// What is sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// User name and password.
    Basic {
        /// The name.
        user: String,
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

/// All that is known, as it is now, with what has been renewed since.
#[derive(Debug, Default)]
pub struct Credentials(Renewed<KnownCredentials>);

impl Credentials {
    /// What is known, and how that is found out again.
    pub fn new(known: KnownCredentials, read: Option<Read<KnownCredentials>>) -> Self {
        Credentials(match read {
            Some(read) => Renewed::new(known, read),
            None => Renewed::fixed(known),
        })
    }

    /// As last read.
    pub fn known(&self) -> std::sync::Arc<KnownCredentials> {
        self.0.known()
    }

    /// The `Authorization` header for requests below `base`, if there is one.
    pub async fn authorization(&self, base: &Url) -> Option<HeaderValue> {
        self.0.get().await.authorization(base)
    }

    /// Who we are to whoever serves `base`, to which a user may have been named, and where that is written.
    pub async fn login_of(&self, base: &Url, user: Option<&str>) -> Option<(Login, &'static str)> {
        self.0.get().await.login_of(base, user)
    }

    /// Reads what stands in files again.
    pub async fn read_again(&self) {
        self.0.read_again().await;
    }

    /// What was sent to `base` has been refused: the `Authorization` that takes its place, if there is another one by
    /// now.
    pub async fn renewed(
        &self,
        base: &Url,
        user: Option<&str>,
        refused: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let now = self.0.refused().await.login_of(base, user)?.0.header()?;
        (Some(&now) != refused).then_some(now)
    }
}

/// All that is known, in the order in which it is tried.
#[derive(Clone, Default)]
pub struct KnownCredentials {
    /// From the configuration.
    pub rules: Vec<CredentialRule>,
    /// From netrc.
    pub netrc: Vec<netrc::Machine>,
}

impl KnownCredentials {
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
        self.login_of(base, None)
    }

    /// The same, where whoever named the address has named a user as well: of several logins in netrc that one is used.
    pub fn login_of(&self, base: &Url, user: Option<&str>) -> Option<(Login, &'static str)> {
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
        let of_host = || self.netrc.iter().filter(|machine| machine.name == host);
        let named = of_host().find(|machine| user == Some(machine.login.as_str()));
        let machine = named.or_else(|| of_host().next())?;
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
        pub password: String,
    }

    /// Reads a netrc file as the `go` command does: a machine counts once it has both a login and a password. What is
    /// not understood is skipped. A `#` begins a comment where a keyword may stand, and nowhere else: values may begin
    /// with one.
    pub fn parse(text: &str) -> Vec<Machine> {
        let mut machines: Vec<Machine> = Vec::new();
        let mut open: Option<Machine> = None;
        let mut in_macro = false;
        for line in text.trim_start_matches('\u{feff}').lines() {
            if in_macro {
                in_macro = !line.trim().is_empty();
                continue;
            }
            let mut words = line.split_whitespace();
            while let Some(keyword) = words.next() {
                match keyword {
                    comment if comment.starts_with('#') => break,
                    "macdef" => {
                        in_macro = true;
                        break;
                    }
                    // Its login would go to every host; the `go` command does not use it either.
                    "default" => {
                        open = None;
                        continue;
                    }
                    _ => {}
                }
                // Keywords that are not known have a value as well.
                let Some(value) = words.next() else { break };
                match (keyword, &mut open) {
                    ("machine", _) => {
                        open = Some(Machine {
                            name: value.to_owned(),
                            login: String::new(),
                            password: String::new(),
                        });
                    }
                    ("login", Some(machine)) => machine.login = value.to_owned(),
                    ("password", Some(machine)) => machine.password = value.to_owned(),
                    _ => {}
                }
                machines.extend(open.take_if(|it| !it.login.is_empty() && !it.password.is_empty()));
            }
        }
        machines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(credentials: &KnownCredentials, url: &str) -> Option<String> {
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
        let credentials = KnownCredentials {
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

    #[test]
    fn netrc_as_go_reads_it() {
        let read = |text: &str| -> Vec<String> {
            let machines = netrc::parse(text).into_iter();
            machines
                .map(|it| format!("{} {} {}", it.name, it.login, it.password))
                .collect()
        };
        for (text, expected) in [
            ("machine a login me password #secret", &["a me #secret"][..]),
            ("machine a login #me password a#b", &["a #me a#b"]),
            ("machine a login me password x # a comment", &["a me x"]),
            ("machine a login me password x #comment", &["a me x"]),
            ("# machine b login me password x", &[]),
            (
                "machine a # login no\n login me\n\tpassword #\r\n",
                &["a me #"],
            ),
            ("machine a login me password \"q u\"", &["a me \"q"]),
            (
                "machine a login me password \\#p:@!$%^",
                &["a me \\#p:@!$%^"],
            ),
            ("machine a password p login me", &["a me p"]),
            ("machine a login me account x password p", &["a me p"]),
            (
                "machine a login machine password default",
                &["a machine default"],
            ),
            // Half a login is none, and does not hide a whole one.
            (
                "machine a login me\nmachine a login you password p",
                &["a you p"],
            ),
            ("machine a password p", &[]),
            ("machine", &[]),
            ("default login me password p", &[]),
            ("machine a default login me password p", &[]),
            (
                "macdef init\nmachine a login me password p\n\nmachine b login me password p",
                &["b me p"],
            ),
            ("\u{feff}machine a login me password p", &["a me p"]),
            (
                "machine a login one password p machine a login two password q",
                &["a one p", "a two q"],
            ),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_user_in_the_address_chooses_the_login() {
        let credentials = KnownCredentials {
            netrc: netrc::parse(
                "machine a.example.com login one password p machine a.example.com login two password q",
            ),
            ..KnownCredentials::default()
        };
        let url = Url::parse("https://a.example.com/x").unwrap();
        for (user, expected) in [(None, "one"), (Some("two"), "two"), (Some("three"), "one")] {
            let (login, _) = credentials.login_of(&url, user).unwrap();
            assert_eq!(login.name(), expected);
        }
    }
}
