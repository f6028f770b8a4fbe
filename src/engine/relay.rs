//! The caching relay: what clients may be answered about a checksum database.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::Engine;
use super::context::RequestContext;
use super::databases::database_error;
use super::error::{Cause, EngineError};
use crate::gomod::{ModulePath, Version};
use crate::sumdb::{Database, SumdbError, TilePath};

/// How long `supported` may take to find out whether the database answers.
const SUPPORTED_TIME: Duration = Duration::from_secs(15);

/// What is asked of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SumdbTarget {
    /// Whether it is served here.
    Supported,
    /// The latest tree head.
    Latest,
    /// A version's record.
    Lookup(ModulePath, Version),
    /// A tile of hashes or records.
    Tile(TilePath),
}

/// An answer to a client, byte for byte as the database gave it.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The body.
    pub body: Bytes,
    /// It was kept, and nobody was asked.
    pub kept: bool,
}

impl Engine {
    /// The database with this name.
    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        let mut databases = self.verifier.databases().iter();
        databases.find(|database| database.name() == name)
    }

    /// Answers a client of a database.
    pub async fn relay(
        &self,
        database: &Arc<Database>,
        target: &SumdbTarget,
        context: &RequestContext,
    ) -> Result<Relayed, EngineError> {
        let (fetch, kept_only) = (&context.fetch, context.cached_only);
        let name = database.name();
        let (what, result) = match target {
            SumdbTarget::Supported => {
                let able = timeout(SUPPORTED_TIME, database.can_serve(fetch, kept_only)).await;
                let able = able.unwrap_or_else(|_| {
                    Err(SumdbError::Timeout("it has not answered in time".into()))
                });
                let served = able.map(|()| Relayed {
                    body: Bytes::new(),
                    kept: true,
                });
                return served.map_err(|source| {
                    Cause::DatabaseNotServed {
                        database: name.into(),
                        source,
                    }
                    .into()
                });
            }
            SumdbTarget::Latest => (
                "its latest tree head".to_owned(),
                database.latest(fetch, kept_only).await,
            ),
            SumdbTarget::Lookup(module, version) => {
                if let Some(pattern) = context.decision.unlisted() {
                    return Err(Cause::Unlisted {
                        module: module.clone(),
                        pattern: pattern.into(),
                    }
                    .into());
                }
                let what = format!("{module}@{version}");
                let result = match kept_only {
                    true => database.kept(module, version).await,
                    false => database.lookup(module, version, fetch).await,
                };
                (what, result)
            }
            SumdbTarget::Tile(path) => {
                let result = match kept_only {
                    true => database.kept_tile(*path).await,
                    false => database.tile(*path, fetch).await,
                };
                (path.to_string(), result)
            }
        };
        match result {
            Ok(found) => Ok(Relayed {
                body: found.body,
                kept: found.kept,
            }),
            Err(error) => {
                let mut refused = database_error(&what, name, error);
                refused.passing = kept_only;
                Err(refused)
            }
        }
    }
}
