//! Callers whom OpenID providers vouch for: a continuous integration service, a cluster, a company's login. Their tokens
//! are JWTs (RFC 7519), signed with keys that the provider publishes (OpenID Connect Discovery 1.0, RFC 7517). Such a
//! token is verified once and remembered by its SHA-256, so that each hit costs a hash.

mod claims;
mod issuer;
mod keys;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use serde::Deserialize;

use super::shown::Shown;
use crate::clock::{SharedClock, Timestamp};
use crate::policy::Identity;
use crate::store::Sha256;

pub use claims::{ClaimRule, Template};
pub use issuer::{Algorithm, Issuer, IssuerSettings};
pub use keys::{KeyDocument, KeySource};

/// Longer tokens are nobody's. Bytes.
const LONGEST_TOKEN: usize = 16 << 10;
/// Tokens that are remembered.
const MOST_REMEMBERED: usize = 16_384;
/// How long one is remembered at the most: then it is verified again, maybe with other keys.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// The providers whose word is taken.
pub struct Issuers {
    issuers: Vec<Arc<Issuer>>,
    verified: Cache<Sha256, Arc<Verified>>,
    clock: SharedClock,
}

/// A token that was verified.
struct Verified {
    identity: Arc<Identity>,
    until: Timestamp,
}

/// What says which provider a token is from, before anything is verified.
#[derive(Deserialize)]
struct Whose {
    iss: Option<String>,
}

impl Issuers {
    pub fn new(issuers: Vec<Arc<Issuer>>, clock: SharedClock) -> Self {
        Issuers {
            issuers,
            verified: Cache::new(MOST_REMEMBERED),
            clock,
        }
    }

    /// Whose token this is, if it was verified a while ago.
    pub(super) fn remembered(&self, token: &str) -> Option<Arc<Identity>> {
        if self.issuers.is_empty() {
            return None;
        }
        let verified = self.verified.get(&Sha256::of(token.as_bytes()))?;
        let holds = self.clock.now() < verified.until;
        holds.then(|| Arc::clone(&verified.identity))
    }

    /// Verifies a token, with keys that are fetched where they are not at hand.
    pub(super) async fn look_at(&self, token: &str) -> Shown {
        const UNKNOWN: &str = "is not known to this larder";
        if self.issuers.is_empty() || token.len() > LONGEST_TOKEN {
            return Shown::Bad(UNKNOWN.into());
        }
        let whose = jsonwebtoken::dangerous::insecure_decode_claims::<Whose>(token);
        let Some(whose) = whose.ok().and_then(|claims| claims.iss) else {
            return Shown::Bad(UNKNOWN.into());
        };
        let mut seen = None;
        for issuer in self.issuers.iter().filter(|it| it.is(&whose)) {
            match issuer.verify(token).await {
                Ok(one) => {
                    let until = one.until.min(self.clock.now().plus(REMEMBERED_FOR));
                    let identity = Arc::new(one.identity);
                    let verified = Verified {
                        identity: Arc::clone(&identity),
                        until,
                    };
                    let key = Sha256::of(token.as_bytes());
                    self.verified.insert(key, Arc::new(verified));
                    return Shown::Known(identity);
                }
                // Of several for one provider, the first one that cannot be asked counts: it might be the right one.
                Err(undecided @ Shown::Undecided(_)) => seen = Some(undecided),
                Err(bad) => {
                    seen.get_or_insert(bad);
                }
            }
        }
        seen.unwrap_or_else(|| {
            Shown::Bad(
                "is a token of a provider that this larder does not know (access.oidc)".into(),
            )
        })
    }
}
