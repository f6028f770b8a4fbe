//! Tokens for private modules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::operation::{EventSink, Never, Operation};
use super::service::AdminService;
use super::time::Time;
use crate::gomod::Patterns;
use crate::identity::{NewToken, TokenName, TokenTerms};

/// Make a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenNew {
    pub name: TokenName,
    /// How long it opens anything. Seconds.
    pub lifetime: Option<u64>,
    /// The modules that it opens, as GOPRIVATE; all if nothing is said.
    #[serde(default)]
    pub read: Option<String>,
    /// What there is to say of it.
    #[serde(default)]
    pub note: Option<String>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeToken {
    pub name: String,
    /// What clients send; it cannot be had again.
    pub token: String,
    /// When it ends by itself.
    pub expires: Option<Time>,
}

impl MadeToken {
    fn of(name: TokenName, made: NewToken) -> Self {
        MadeToken {
            name: name.into(),
            token: made.token,
            expires: made.expires.map(Time::from),
        }
    }
}

impl Operation for TokenNew {
    const NAME: &'static str = "token/new";
    type On = AdminService;
    type Item = Never;
    type Output = MadeToken;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(self, on: &AdminService, _: &EventSink<Self>) -> Result<MadeToken, AdminError> {
        let terms = TokenTerms {
            lifetime: self.lifetime.map(Duration::from_secs),
            read: self.read.as_deref().map(Patterns::parse),
            note: self.note,
        };
        let made = on.tokens.make(&self.name, terms).await?;
        Ok(MadeToken::of(self.name, made))
    }
}

/// Make a token in the place of another one, which goes on for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRotate {
    pub name: TokenName,
    /// How long the old one goes on. Seconds.
    pub overlap: u64,
    /// How long the new one opens anything; as long as the old one if nothing is said. Seconds.
    pub lifetime: Option<u64>,
}

impl Operation for TokenRotate {
    const NAME: &'static str = "token/rotate";
    type On = AdminService;
    type Item = Never;
    type Output = MadeToken;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(self, on: &AdminService, _: &EventSink<Self>) -> Result<MadeToken, AdminError> {
        let overlap = Duration::from_secs(self.overlap);
        let lifetime = self.lifetime.map(Duration::from_secs);
        let made = on.tokens.rotate(&self.name, overlap, lifetime).await?;
        Ok(MadeToken::of(self.name, made))
    }
}

/// Which tokens there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenList {}

/// Which tokens there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTable {
    pub tokens: Vec<TokenInfo>,
}

/// A token, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    pub name: String,
    /// When it was made; none if its record is damaged.
    pub created: Option<Time>,
    /// When it ends by itself, or did.
    pub expires: Option<Time>,
    /// Whether that is over.
    pub expired: bool,
    /// Until when the one that it has taken the place of goes on.
    pub replaced_until: Option<Time>,
    /// The modules that it opens, as GOPRIVATE; all if nothing is said.
    pub read: Option<String>,
    /// What there is to say of it.
    pub note: Option<String>,
    /// The beginning of the last day (UTC) on which it was used.
    pub last_used: Option<Time>,
}

impl Operation for TokenList {
    const NAME: &'static str = "token/list";
    type On = AdminService;
    type Item = Never;
    type Output = TokenTable;

    async fn run(self, on: &AdminService, _: &EventSink<Self>) -> Result<TokenTable, AdminError> {
        // What is not kept yet is told as well.
        let kept = on.tokens.keep_last_use().await;
        kept.map_err(AdminError::internal)?;
        let known = on.tokens.list().await;
        let known = known.map_err(AdminError::internal)?;
        let now = on.tokens.now();
        let tokens = known.into_iter().map(|(name, record)| {
            let expires = record.as_ref().and_then(|record| record.expires);
            let replaced = record.as_ref().and_then(|record| record.replaced.as_ref());
            let replaced_until = replaced.map(|replaced| replaced.until);
            TokenInfo {
                name,
                expires: expires.map(Time::from),
                expired: expires.is_some_and(|expires| expires <= now),
                replaced_until: replaced_until.filter(|until| *until > now).map(Time::from),
                read: record.as_ref().and_then(|record| record.read.clone()),
                note: record.as_ref().and_then(|record| record.note.clone()),
                last_used: record
                    .as_ref()
                    .and_then(|record| record.last_used)
                    .map(Time::from),
                created: record.map(|record| record.created.into()),
            }
        });
        Ok(TokenTable {
            tokens: tokens.collect(),
        })
    }
}

/// End a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRevoke {
    pub name: TokenName,
}

/// A token that opens nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    pub name: String,
}

impl Operation for TokenRevoke {
    const NAME: &'static str = "token/revoke";
    type On = AdminService;
    type Item = Never;
    type Output = RevokedToken;

    fn only_reads(&self) -> bool {
        false
    }

    async fn run(self, on: &AdminService, _: &EventSink<Self>) -> Result<RevokedToken, AdminError> {
        on.tokens.revoke(&self.name).await?;
        let name = self.name.into();
        Ok(RevokedToken { name })
    }
}
