//! `larder token new|list|revoke`

use super::{Controls, Done, Out};
use crate::engine::{EngineError, TokenError, TokenName};

impl Controls {
    /// The token is the last word: scripts take it from there.
    pub(super) async fn token_new(&self, name: &TokenName, out: &Out) -> Done {
        let token = match self.tokens.make(name).await {
            Ok(token) => token,
            Err(error) => return refused(error, out).await,
        };
        let about = format!("the token of {name}, shown this once; clients send it as a password:");
        out.line(about).await;
        out.line(token).await;
        Ok(true)
    }

    pub(super) async fn token_list(&self, out: &Out) -> Done {
        let tokens = self.tokens.list().await?;
        if tokens.is_empty() {
            out.line("there are no tokens").await;
        }
        for (name, record) in tokens {
            let about = match record {
                Some(record) => format!("made {}", record.created.rfc3339()),
                None => "its record is damaged; revoke it and make another one".to_owned(),
            };
            out.line(format!("{name}  {about}")).await;
        }
        Ok(true)
    }

    pub(super) async fn token_revoke(&self, name: &TokenName, out: &Out) -> Done {
        if let Err(error) = self.tokens.revoke(name).await {
            return refused(error, out).await;
        }
        out.line(format!("{name}: its token opens nothing any more"))
            .await;
        Ok(true)
    }
}

async fn refused(error: TokenError, out: &Out) -> Done {
    match error {
        TokenError::Store(error) => Err(EngineError::from(error)),
        error => {
            out.trouble(error.to_string()).await;
            Ok(false)
        }
    }
}
