//! What is kept of tokens: never the token itself.

use super::catalog::{Change, Expect, Pages, Query};
use super::model::{Fact, FactKey, FactKind, TokenRecord};
use super::{Store, StoreError};

/// Tokens read at once.
const PAGE: usize = 500;

impl Store {
    /// All tokens by their names; without a record where that is damaged.
    pub async fn tokens(&self) -> Result<Vec<(String, Option<TokenRecord>)>, StoreError> {
        let mut tokens = Vec::new();
        let query = Query::All(FactKind::Token);
        let mut pages = Pages::new(&self.catalog, query, PAGE);
        while let Some(page) = pages.next().await? {
            tokens.extend(page.facts.into_iter().filter_map(|fact| match fact {
                Fact::Token(record) => Some((record.name.clone(), Some(record))),
                _ => None,
            }));
            let damaged = page.damaged.iter().filter_map(|name| {
                let name = name.strip_prefix(FactKind::Token.prefix())?;
                Some((name.to_owned(), None))
            });
            tokens.extend(damaged);
        }
        tokens.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(tokens)
    }

    /// Keeps a token; false if there is one of its name.
    pub async fn add_token(&self, token: &TokenRecord) -> Result<bool, StoreError> {
        let expect = Expect::Unknown(FactKey::Token(token.name.clone()));
        let put = Change::Put(Fact::Token(token.clone()));
        self.change_if(vec![expect], vec![put]).await
    }

    /// Keeps a token, whatever is kept under its name.
    pub async fn put_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        self.change(vec![Change::Put(Fact::Token(token.clone()))])
            .await
    }

    /// Forgets a token; false if there is none of this name.
    pub async fn remove_token(&self, name: &str) -> Result<bool, StoreError> {
        let known = self.tokens().await?;
        if !known.iter().any(|(known, _)| known == name) {
            return Ok(false);
        }
        let key = FactKey::Token(name.to_owned());
        self.change(vec![Change::Remove(key)]).await?;
        Ok(true)
    }
}
