//! What is kept of tokens: never the token itself.

use super::{Change, Store, StoreError, TokenRecord, layout, sound};

/// Entries read from the index at once.
const PAGE: usize = 500;

impl Store {
    /// All tokens by their names; without a record where that is damaged.
    pub async fn tokens(&self) -> Result<Vec<(String, Option<TokenRecord>)>, StoreError> {
        let mut tokens = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.index.scan(layout::TOKEN, after.as_deref(), PAGE);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(tokens);
            };
            after = Some(last.clone());
            tokens.extend(page.into_iter().filter_map(|(key, bytes)| {
                let name = key.strip_prefix(layout::TOKEN)?.to_owned();
                Some((name, sound(&key, TokenRecord::decode(&bytes))))
            }));
        }
    }

    /// Keeps a token; false if there is one of its name.
    pub async fn add_token(&self, token: &TokenRecord) -> Result<bool, StoreError> {
        let key = layout::token_key(&token.name);
        Ok(self.index.swap(&key, None, token.encode()).await?)
    }

    /// Keeps a token, whatever is kept under its name.
    pub async fn put_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        let put = Change::Put(layout::token_key(&token.name), token.encode());
        Ok(self.index.commit(vec![put]).await?)
    }

    /// Forgets a token; false if there is none of this name.
    pub async fn remove_token(&self, name: &str) -> Result<bool, StoreError> {
        let key = layout::token_key(name);
        if self.index.get(&key).await?.is_none() {
            return Ok(false);
        }
        self.index.commit(vec![Change::Remove(key)]).await?;
        Ok(true)
    }
}
