//! Tokens for private modules.

use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::operation::{EventSink, Never, Operation};
use super::service::AdminService;
use super::time::Time;
use crate::engine::TokenName;

/// Make a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenNew {
    pub name: TokenName,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeToken {
    pub name: String,
    /// What clients send; it cannot be had again.
    pub token: String,
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
        let token = on.tokens.make(&self.name).await?;
        let name = self.name.into();
        Ok(MadeToken { name, token })
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
}

impl Operation for TokenList {
    const NAME: &'static str = "token/list";
    type On = AdminService;
    type Item = Never;
    type Output = TokenTable;

    async fn run(self, on: &AdminService, _: &EventSink<Self>) -> Result<TokenTable, AdminError> {
        let known = on.tokens.list().await;
        let known = known.map_err(AdminError::internal)?;
        let tokens = known.into_iter().map(|(name, record)| TokenInfo {
            name,
            created: record.map(|record| record.created.into()),
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
