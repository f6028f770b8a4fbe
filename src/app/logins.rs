//! Who we are to whom, read again where it stands in files.

use std::sync::Arc;

use crate::config::{Auth, Config, Environment, NetrcFile, SecretFile};
use crate::credentials::{CredentialRule, Credentials, KnownCredentials, Login, Read, netrc};

/// Who we are to whom: what the configuration says, and a netrc.
pub fn credentials(config: &Config, env: &Environment) -> Credentials {
    let rules = config.credentials.iter().map(|credential| CredentialRule {
        host: credential.host.clone(),
        path: credential.path.clone().unwrap_or_default(),
        login: match &credential.auth {
            Auth::Basic { username, password } => Login::Basic {
                user: username.clone(),
                password: password.expose().to_owned(),
            },
            Auth::Bearer(token) => Login::Bearer(token.expose().to_owned()),
        },
    });
    let files = config.credentials.iter();
    let files = files.map(|credential| credential.secret_file());
    let files: Vec<_> = files.collect();
    let path = config.upstream.netrc_file(env);
    let known = KnownCredentials {
        rules: rules.collect(),
        netrc: path
            .as_ref()
            .map_or_else(Vec::new, |file| machines(file, &[])),
    };
    let in_files = path.is_some() || files.iter().any(Option::is_some);
    let read: Read<KnownCredentials> = Arc::new(move |old: &KnownCredentials| {
        let mut now = old.clone();
        for (rule, file) in now.rules.iter_mut().zip(&files) {
            if let Some(file) = file {
                rule.login = in_file(file, &rule.login);
            }
        }
        if let Some(path) = &path {
            now.netrc = machines(path, &old.netrc);
        }
        now
    });
    Credentials::new(known, in_files.then_some(read))
}

/// The same login with the secret that a file has now; as it is if that cannot be read.
pub fn in_file(file: &SecretFile, known: &Login) -> Login {
    let secret = match file.read() {
        Ok(secret) => secret.expose().to_owned(),
        Err(error) => {
            tracing::warn!(
                error,
                "a secret cannot be read again; the old one stays in use"
            );
            return known.clone();
        }
    };
    match known {
        Login::Basic { user, .. } => Login::Basic {
            user: user.clone(),
            password: secret,
        },
        Login::Bearer(_) => Login::Bearer(secret),
    }
}

/// The entries of a netrc file, none if there is none; `old` ones if it cannot be read.
fn machines(file: &NetrcFile, old: &[netrc::Machine]) -> Vec<netrc::Machine> {
    match file.read() {
        Ok(text) => text.map_or_else(Vec::new, |text| netrc::parse(&text)),
        Err(error) => {
            tracing::warn!(path = %file, %error, "netrc cannot be read");
            old.to_vec()
        }
    }
}
