//! `[[access.oidc]]`: OpenID providers whose word is taken for who somebody is.

use std::path::PathBuf;
use std::time::Duration;

use super::codec::{Checked, choice, claims, duration, issuer, list, parsed, path, text};
use super::files::JwksFile;
use super::origin::ValueSource;
use super::reader::Reader;
use super::tables::{Row, Table, Tables, table};
use crate::identity::{Algorithm, ClaimRule, Template};

/// What signatures may be made by: only what has a public key.
const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
/// Those where nobody says.
const USUAL: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256];
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// How long tokens may be good for where nobody says.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Who somebody is where nobody says.
const ID: &str = "{sub}";

table! {
    /// OpenID providers, a table each: whoever has a token of theirs is oidc:NAME:ID, and has what
    /// access.rules give them. Clients send such a token as they do one of larder's.
    struct Keys = "access.oidc" {
        /// What it is called in rules and logs.
        name: String = "gitlab" => text(name),
            needed "rules and logs call the provider by it";
        /// Its identifier, as it stands in its tokens; its keys are found from there.
        issuer: String = "https://gitlab.example.com" => issuer(),
            needed "it says whose tokens are taken";
        /// Whom its tokens must be made for, one of these: the address of this server, for instance.
        audience: Vec<String> = ["https://larder.example.com"] => list(audience(), &[',']),
            needed "without it, tokens that were made for other servers would open this one";
        /// A file with its keys (JWKS), where it cannot be asked for them.
        jwks_file: PathBuf = "/etc/larder/jwks.json" => path().readable();
        /// What its tokens may be signed by.
        algorithms: Vec<Algorithm> = ["RS256", "ES256"] => list(choice(ALGORITHMS), &[',']);
        /// Tokens that are good for longer are not taken.
        max_lifetime: Duration = "1h" => duration().between(SHORTEST, LONGEST);
        /// What its tokens must say, claim by claim; a * stands for anything, of a list one will do.
        claims: Vec<ClaimRule> = { namespace_path = ["acme"] } => claims();
        /// Who the caller is, with claims in braces.
        id: Template = "{project_path}" => parsed::<Template>();
        /// What the caller belongs to.
        groups: Vec<Template> = ["{namespace_path}"] => list(parsed::<Template>(), &[',']);
    }
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOidc {
    pub name: String,
    pub issuer: String,
    /// At least one.
    pub audience: Vec<String>,
    pub jwks_file: Option<JwksFile>,
    pub algorithms: Vec<Algorithm>,
    pub max_lifetime: Duration,
    pub claims: Vec<ClaimRule>,
    pub id: Template,
    pub groups: Vec<Template>,
    pub(super) row: Row,
}

impl AccessOidc {
    /// Where the table stands.
    pub fn source(&self) -> &ValueSource {
        &self.row.source
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows.
pub(super) fn read(tables: &mut Tables, reader: &mut Reader<'_>) -> Option<Vec<AccessOidc>> {
    let mut names = Vec::new();
    tables.read(&ARRAY, reader, |table| {
        let provider = one(table)?;
        if names.contains(&provider.name) {
            table.tell(
                "name",
                format!(
                    "{:?} is the name of another provider already",
                    provider.name
                ),
            );
        }
        names.push(provider.name.clone());
        Some(provider)
    })
}

fn one(table: &mut Table<'_, '_>) -> Option<AccessOidc> {
    let keys = Keys::read(table);
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
    if is_empty(&keys.audience) {
        table.tell("audience", "is empty; write whom the tokens are made for");
    }
    if keys.algorithms.as_ref().is_some_and(Vec::is_empty) {
        table.tell("algorithms", "is empty; leave it out for RS256 and ES256");
    }
    let id = match keys.id {
        Some(id) => id,
        None => ID.parse().ok()?,
    };
    Some(AccessOidc {
        name: keys.name?,
        issuer: keys.issuer?,
        audience: keys.audience?,
        jwks_file: keys.jwks_file.map(JwksFile::new),
        algorithms: keys.algorithms.unwrap_or_else(|| USUAL.to_vec()),
        max_lifetime: keys.max_lifetime.unwrap_or(LIFETIME),
        claims: keys.claims.unwrap_or_default(),
        id,
        groups: keys.groups.unwrap_or_default(),
        row: table.row(),
    })
}

fn name(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match (1..=32).contains(&text.len()) && text.bytes().all(fine) {
        true => Ok(text.to_owned()),
        false => Err(
            "is no name for a provider; write up to 32 small letters, digits and hyphens".into(),
        ),
    }
}

fn audience() -> Checked {
    text(|text| match text.is_empty() {
        true => Err("is no audience".into()),
        false => Ok(text.to_owned()),
    })
}
