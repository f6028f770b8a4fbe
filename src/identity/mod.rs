//! Who asks: what a request shows of its caller becomes an [`Identity`]. What they may have for it is `policy`'s business.

mod authorization;
mod oidc;
mod shown;
mod tokens;

use std::sync::Arc;

use crate::policy::Identity;
pub use authorization::credential;
pub use oidc::{
    Algorithm, ClaimRule, Issuer, IssuerSettings, Issuers, KeyDocument, KeySource, Template,
};
pub use shown::Shown;
pub use tokens::{NewToken, TokenError, TokenName, TokenTerms, Tokens};

/// Looks at a credential as far as that needs no waiting: one that is good, and was looked at before if it is not ours.
pub fn known_at_once(
    tokens: &Tokens,
    issuers: &Issuers,
    credential: &str,
) -> Option<Arc<Identity>> {
    tokens
        .identity(credential)
        .or_else(|| issuers.remembered(credential))
}

/// Looks at a credential.
pub async fn look_at(tokens: &Tokens, issuers: &Issuers, credential: &str) -> Shown {
    if let Some(identity) = known_at_once(tokens, issuers, credential) {
        return Shown::Known(identity);
    }
    match tokens::is_token(credential) {
        true => Shown::Bad("is not known to this larder, or has expired".into()),
        false => issuers.look_at(credential).await,
    }
}
