//! The answer that is left when nobody can be asked: every source has said before that it does not exist.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::Engine;
use super::context::RequestContext;
use super::error::{Cause, EngineError, Stale};
use crate::protocol::{FileKey, Key};
use crate::store::AbsentRecord;

/// How long a client waits for the files of a version when they were absent before and the sources answer nobody. Longer
/// than for what has an age, since a tag may be new and a mirror may have to fetch it first; but the `go` command asks
/// for many such paths, and its user must not wait for the time-outs of all of them.
const SILENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// Asks. If that fails, or takes longer than `wait` while the sources answer nobody, and every source has said before
    /// that this does not exist, then that is the answer. `wait` is `None` if the client insists.
    pub(super) async fn or_absence<T>(
        &self,
        key: &Key,
        context: &RequestContext,
        wait: Option<Duration>,
        asking: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let mut asking = pin!(asking);
        let begun = self.clock.instant();
        // It is begun before anything else, so that all who ask in this moment join it.
        let (first, kept) = tokio::select! {
            biased;
            asked = &mut asking => (Some(asked), None),
            kept = self.absences.kept(key) => (None, kept),
        };
        let asked = match (first, &kept) {
            (Some(asked), _) => asked,
            (None, None) => return asking.await,
            (None, Some(kept)) => {
                let mut waits = wait
                    .into_iter()
                    .chain(wait.map(|wait| SILENCE.saturating_sub(wait)));
                loop {
                    let Some(wait) = waits.next() else {
                        break asking.await;
                    };
                    if let Ok(asked) = timeout(wait, &mut asking).await {
                        break asked;
                    }
                    // It goes on without this client; unless somebody is slow rather than away.
                    let chain = self.chain_of(context).await;
                    if !chain.is_ok_and(|chain| chain.has_answered_since(begun)) {
                        return Err(self.still_absent(
                            key,
                            kept,
                            context,
                            "its sources do not answer",
                        ));
                    }
                }
            }
        };
        let error = match asked {
            Err(error) if error.is_fault() => error,
            other => return other,
        };
        let kept = match kept {
            Some(kept) => Some(kept),
            None => self.absences.kept(key).await,
        };
        Err(match kept {
            Some(kept) => {
                let why = error.cause().to_string();
                self.still_absent(key, &kept, context, &why)
            }
            None => error,
        })
    }

    /// The same for a version's files.
    pub(super) async fn or_absent_file<T>(
        &self,
        key: &FileKey,
        context: &RequestContext,
        asking: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let key = Key::File(key.clone());
        self.or_absence(&key, context, Some(SILENCE), asking).await
    }

    fn still_absent(
        &self,
        key: &Key,
        kept: &AbsentRecord,
        context: &RequestContext,
        why: &str,
    ) -> EngineError {
        let age = self.clock.now().since(kept.at);
        tracing::warn!(resource = %key, why, age = age.as_secs(), "answered with a kept \"not found\"");
        Cause::StillAbsent {
            words: kept.words.clone(),
            gone: kept.gone,
            from: kept.from.clone(),
            stale: Stale {
                age,
                over: age.saturating_sub(context.rules.freshness.negative_ttl),
            },
            why: why.to_owned(),
        }
        .into()
    }
}
