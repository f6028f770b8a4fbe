//! Where a token comes from: the first source that there is gives it, or says why it cannot. Nothing is kept, so a call
//! after a refusal asks the source again.

use std::path::{Path, PathBuf};

use super::error::AuthError;
use super::token::token;
use super::{buildkite, file, github};
use crate::config::{Environment, Secret};

/// A token of Larder's own, or any other that it takes.
const TOKEN: &str = "LARDER_TOKEN";
/// What `id_tokens:` of GitLab CI puts an identity token into.
const ID_TOKEN: &str = "LARDER_ID_TOKEN";
/// Where pods have a projected token of their service account.
const KUBERNETES: &str = "/var/run/secrets/larder/token";

/// Which source is meant.
pub enum TokenSource {
    File(PathBuf),
    Variable(String),
    /// The first one that there is.
    Any,
}

/// The token of a source; `audience` is for whom an identity token is asked.
pub async fn take(
    source: &TokenSource,
    audience: &str,
    env: &Environment,
) -> Result<Secret, AuthError> {
    match source {
        TokenSource::File(path) => match file::read(path).await? {
            Some(token) => Ok(token),
            None => Err(AuthError::File {
                path: path.clone(),
                why: "there is no such file".to_owned(),
            }),
        },
        TokenSource::Variable(name) => match set(env, name) {
            Some(value) => token(name, value),
            None => Err(AuthError::NotSet(name.clone())),
        },
        TokenSource::Any => any(audience, env).await,
    }
}

async fn any(audience: &str, env: &Environment) -> Result<Secret, AuthError> {
    if let Some(value) = set(env, TOKEN) {
        return token(TOKEN, value);
    }
    if github::is_here(env) {
        return github::ask(env, audience).await;
    }
    if let Some(value) = set(env, ID_TOKEN) {
        return token(ID_TOKEN, value);
    }
    if buildkite::is_here(env)
        && let Some(token) = buildkite::ask(audience).await?
    {
        return Ok(token);
    }
    if let Some(token) = file::read(Path::new(KUBERNETES)).await? {
        return Ok(token);
    }
    let own = file::of_user(env);
    if let Some(path) = &own
        && let Some(token) = file::read(path).await?
    {
        return Ok(token);
    }
    Err(AuthError::NoSource(advice(own, env)))
}

fn set<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
    env.get(name)
        .map(String::as_str)
        .filter(|value| !value.trim().is_empty())
}

/// What to do where there is no token.
fn advice(own: Option<PathBuf>, env: &Environment) -> String {
    let is = |name: &str| env.get(name).is_some_and(|value| value == "true");
    if is("GITHUB_ACTIONS") {
        return format!(
            "this job may ask for no identity token: give it `permissions: id-token: write`, or set {TOKEN}"
        );
    }
    if is("GITLAB_CI") {
        return format!(
            "this job has no identity token: give it one by `id_tokens: {{{ID_TOKEN}: {{aud: …}}}}`, or set {TOKEN}"
        );
    }
    if buildkite::is_here(env) {
        return format!("buildkite-agent is not in PATH here: put it there, or set {TOKEN}");
    }
    let file = match own {
        Some(path) => format!("write it to {} (mode 0600), ", path.display()),
        None => String::new(),
    };
    format!("there is no token: {file}set {TOKEN}, or name a file with --token-file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter();
        variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    async fn taken(source: TokenSource, variables: &[(&str, &str)]) -> Result<String, String> {
        let taken = take(&source, "https://larder.example.com", &env(variables)).await;
        taken
            .map(|token| token.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_source_gives_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("larder");
        std::fs::create_dir(&folder).unwrap();
        let own = folder.join("token");
        std::fs::write(&own, "of-the-user\n").unwrap();
        let other = folder.join("other");
        std::fs::write(&other, "of-a-file").unwrap();
        let config = ("XDG_CONFIG_HOME", home.path().to_str().unwrap());
        let id = (ID_TOKEN, "of-gitlab");
        let own_token = (TOKEN, "of-larder");
        let is = |text: &str| Ok(text.to_owned());
        let any = || TokenSource::Any;
        assert_eq!(taken(any(), &[config]).await, is("of-the-user"));
        assert_eq!(taken(any(), &[config, id]).await, is("of-gitlab"));
        assert_eq!(
            taken(any(), &[config, id, own_token]).await,
            is("of-larder")
        );
        let nothing = (TOKEN, "");
        assert_eq!(taken(any(), &[config, nothing]).await, is("of-the-user"));
        let file = || TokenSource::File(other.clone());
        assert_eq!(taken(file(), &[own_token]).await, is("of-a-file"));
        let variable = || TokenSource::Variable("CI_TOKEN".to_owned());
        let set = ("CI_TOKEN", "of-a-variable");
        assert_eq!(
            taken(variable(), &[own_token, set]).await,
            is("of-a-variable")
        );
        // What was named and is not there is a fault, whatever else there is.
        let error = taken(variable(), &[own_token]).await.unwrap_err();
        assert!(error.contains("CI_TOKEN is not set"), "{error}");
        std::fs::remove_file(&other).unwrap();
        let error = taken(file(), &[own_token]).await.unwrap_err();
        assert!(error.contains("no such file"), "{error}");
        // A file is read anew each time.
        std::fs::write(&own, "rotated").unwrap();
        assert_eq!(taken(any(), &[config]).await, is("rotated"));
    }

    #[tokio::test]
    async fn who_has_none_is_told_what_to_do() {
        for (variables, advice) in [
            (&[("HOME", "/nowhere")][..], "/nowhere/.config/larder/token"),
            (&[], "--token-file"),
            (&[("GITHUB_ACTIONS", "true")], "id-token: write"),
            (&[("GITLAB_CI", "true")], "id_tokens"),
        ] {
            let error = taken(TokenSource::Any, variables).await.unwrap_err();
            assert!(error.contains(advice), "{error}");
            assert!(error.contains("LARDER_TOKEN"), "{error}");
        }
    }
}
