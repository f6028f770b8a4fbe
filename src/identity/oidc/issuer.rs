//! One provider: which of its tokens are taken, and who their holders are.

use std::time::Duration;

pub use jsonwebtoken::Algorithm;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::shown::Shown;
use super::claims::{ClaimRule, Template};
use super::keys::{KeySource, Keys, NoKey};
use crate::clock::{SharedClock, Timestamp};
use crate::policy::{Identity, Proof};

/// How far clocks may be apart. Seconds.
const SKEW: u64 = 60;

/// What an operator says of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What it is called here.
    pub name: String,
    /// Its identifier, as it stands in tokens.
    pub issuer: String,
    /// Whom its tokens must be for: one of these.
    pub audience: Vec<String>,
    /// What they may be signed by. Only those with a public key.
    pub algorithms: Vec<Algorithm>,
    /// How long they may be good for.
    pub max_lifetime: Duration,
    /// What must be true of them.
    pub claims: Vec<ClaimRule>,
    /// Who the holder is.
    pub id: Template,
    /// What the holder belongs to.
    pub groups: Vec<Template>,
}

/// A provider whose word is taken.
pub struct Issuer {
    settings: IssuerSettings,
    keys: Keys,
}

/// Whom a token has shown, and how long it is good for.
pub(super) struct Holder {
    pub identity: Identity,
    pub until: Timestamp,
}

#[derive(Deserialize)]
struct Times {
    exp: u64,
    iat: Option<u64>,
}

impl Issuer {
    pub fn new(settings: IssuerSettings, source: KeySource, clock: SharedClock) -> Self {
        let name = settings.name.clone();
        Issuer {
            settings,
            keys: Keys::new(name, source, clock),
        }
    }

    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Whether this is its identifier.
    pub(super) fn is(&self, issuer: &str) -> bool {
        self.settings.issuer == issuer
    }

    /// Verifies a token, by its signature first and then by what it says.
    pub(super) async fn verify(&self, token: &str) -> Result<Holder, Shown> {
        let IssuerSettings {
            name,
            issuer,
            audience,
            algorithms,
            ..
        } = &self.settings;
        let header = decode_header(token).map_err(|error| self.bad(&error))?;
        if !algorithms.contains(&header.alg) {
            let text = format!(
                "is signed by {:?}, which is not among access.oidc.algorithms of {name}",
                header.alg
            );
            return Err(Shown::Bad(text.into()));
        }
        // The header may name keys and where to get them (jku, x5u, jwk): only the provider's own are asked for.
        let key = self.keys.get(header.kid.as_deref(), header.alg).await;
        let key = key.map_err(|no| match no {
            NoKey::Unknown => {
                Shown::Bad(format!("is signed with a key that {issuer} does not publish").into())
            }
            NoKey::Unreachable(why) => Shown::Undecided(
                format!("the keys of {issuer} (access.oidc {name}) cannot be had: {why}").into(),
            ),
        })?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = SKEW;
        validation.validate_nbf = true;
        validation.set_audience(audience);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims = decode::<Map<String, Value>>(token, &key, &validation);
        let claims = claims.map_err(|error| self.bad(&error))?.claims;
        let times = Times::deserialize(Value::Object(claims.clone()));
        let times = times
            .map_err(|_| Shown::Bad("says in no sound form how long it is good for".into()))?;
        self.holder(&claims, &times)
    }

    fn holder(&self, claims: &Map<String, Value>, times: &Times) -> Result<Holder, Shown> {
        let IssuerSettings {
            name, max_lifetime, ..
        } = &self.settings;
        let bad = |text: String| Err(Shown::Bad(text.into()));
        let began = times.iat.unwrap_or_else(|| self.keys.now().0 / 1000);
        if times.exp.saturating_sub(began) > max_lifetime.as_secs() + SKEW {
            return bad(format!(
                "is good for longer than access.oidc.max_lifetime of {name} allows ({})",
                humantime::format_duration(*max_lifetime)
            ));
        }
        if let Some(rule) = self.settings.claims.iter().find(|rule| !rule.holds(claims)) {
            return bad(format!(
                "has a claim \"{}\" that access.oidc.claims of {name} does not allow, or none",
                rule.claim
            ));
        }
        let [id] = &self.settings.id.fill(claims)[..] else {
            return bad(format!(
                "lacks a claim that access.oidc.id of {name} is made of ({})",
                self.settings.id
            ));
        };
        let groups = self.settings.groups.iter();
        let groups = groups.flat_map(|group| group.fill(claims));
        let proof = Proof::Oidc {
            provider: name.as_str().into(),
            id: id.as_str().into(),
        };
        Ok(Holder {
            identity: Identity::by(proof).in_groups(groups.collect()),
            until: Timestamp(times.exp.saturating_mul(1000)),
        })
    }

    /// Why a token is not good, in words that say nothing but what it says itself.
    fn bad(&self, error: &Error) -> Shown {
        let IssuerSettings { name, issuer, .. } = &self.settings;
        let text = match error.kind() {
            ErrorKind::ExpiredSignature => "has expired".to_owned(),
            ErrorKind::ImmatureSignature => {
                "is not good yet: one of the clocks is wrong".to_owned()
            }
            ErrorKind::InvalidAudience => {
                format!(
                    "is meant for another server: its audience is not in access.oidc.audience of {name}"
                )
            }
            ErrorKind::InvalidSignature => format!("is not signed by {issuer}"),
            ErrorKind::MissingRequiredClaim(claim) => format!("has no claim \"{claim}\""),
            _ => "is no token that can be verified".to_owned(),
        };
        Shown::Bad(text.into())
    }
}
