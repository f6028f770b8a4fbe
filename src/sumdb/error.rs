//! Why a database has no answer, and which of several reasons counts.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use thiserror::Error;

/// The class decides what becomes of the module or request that depends on it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SumdbError {
    /// The database says that it does not know the thing: 404, or 410 if `gone`.
    #[error("{text}")]
    Unknown {
        /// 410 rather than 404.
        gone: bool,
        /// What it said.
        text: String,
    },
    /// Whoever was asked refuses to say: 403.
    #[error("{0}")]
    Refused(String),
    /// It was not reached in time.
    #[error("{0}")]
    Timeout(String),
    /// It was not asked, because it is in trouble or wants to be left alone.
    #[error("{text}")]
    Unavailable {
        text: String,
        /// When to come again.
        retry_after: Option<Duration>,
    },
    /// It, or the way to it, is at fault.
    #[error("{0}")]
    Fault(String),
    /// What came is not what the database has signed.
    #[error("{0}")]
    Forged(String),
    /// A tile that does not belong to the tree; what is forged here raises an alarm.
    #[error("{0}")]
    Inconsistent(String),
    /// The database has signed two histories that contradict each other.
    #[error("{0}")]
    Fork(String),
    /// An alarm stands that no operator has acknowledged, and the database could not prove what was asked: then nothing
    /// is taken on trust.
    #[error("{0}")]
    Alarmed(String),
    /// As much is under way as may be.
    #[error("too many look-ups are under way")]
    Overloaded,
    /// Our own store failed.
    #[error("the store failed: {0}")]
    Store(String),
    /// A request of ours came back to us.
    #[error("{0}")]
    Loop(String),
}

impl SumdbError {
    /// Nobody was asked for what is not kept.
    pub fn not_kept() -> Self {
        SumdbError::Unknown {
            gone: false,
            text: "it is not kept here, and this request asked not to fetch it".into(),
        }
    }

    /// A head or tile that must be there is not: whoever was asked serves the database in part only. That says nothing
    /// about the version.
    pub fn needed(self) -> Self {
        match self {
            SumdbError::Unknown { text, .. } => {
                SumdbError::Fault(format!("a part of its tree cannot be had: {text}"))
            }
            other => other,
        }
    }

    /// Whether nobody could say, rather than somebody having said something.
    pub fn is_unavailable(&self) -> bool {
        self.gravity() == Gravity::Unavailable
    }

    /// Whether what came is not what the database has signed, or the database cannot be trusted as it is. Then nothing
    /// that depends on it may pass as "not known" or "not available".
    pub fn is_grave(&self) -> bool {
        self.gravity() > Gravity::Unknown
    }

    /// The graver one of two; the first, if neither is.
    #[must_use]
    pub fn or_graver(self, other: SumdbError) -> SumdbError {
        if other.gravity() > self.gravity() {
            other
        } else {
            self
        }
    }

    fn gravity(&self) -> Gravity {
        match self {
            SumdbError::Refused(_)
            | SumdbError::Timeout(_)
            | SumdbError::Unavailable { .. }
            | SumdbError::Fault(_)
            | SumdbError::Overloaded
            | SumdbError::Store(_)
            | SumdbError::Loop(_) => Gravity::Unavailable,
            SumdbError::Unknown { .. } => Gravity::Unknown,
            SumdbError::Forged(_) => Gravity::Forged,
            SumdbError::Inconsistent(_) => Gravity::Inconsistent,
            SumdbError::Fork(_) | SumdbError::Alarmed(_) => Gravity::Fork,
        }
    }
}

/// How much an error proves. Of several questions that were asked at once the gravest error is the answer: a tile that
/// is not there must not hide that another one is forged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    Unavailable,
    Unknown,
    Forged,
    Inconsistent,
    Fork,
}

/// Both results, or the graver error.
pub(super) fn both<A, B>(
    a: Result<A, SumdbError>,
    b: Result<B, SumdbError>,
) -> Result<(A, B), SumdbError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(a.or_graver(b)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// All results of reading tiles in their order, or the gravest error. That a tile belongs to another tree is the gravest
/// there is among these, and so need not wait for what hangs.
pub(super) async fn all<T, F>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, SumdbError>
where
    F: Future<Output = Result<T, SumdbError>>,
{
    let mut pending: FuturesUnordered<_> = futures
        .into_iter()
        .enumerate()
        .map(|(at, future)| async move { (at, future.await) })
        .collect();
    let mut found = Vec::with_capacity(pending.len());
    let mut gravest: Option<SumdbError> = None;
    while let Some((at, result)) = pending.next().await {
        match result {
            Ok(value) => found.push((at, value)),
            Err(error) if error.gravity() >= Gravity::Inconsistent => return Err(error),
            Err(error) => {
                gravest = Some(match gravest.take() {
                    Some(known) => known.or_graver(error),
                    None => error,
                });
            }
        }
    }
    if let Some(error) = gravest {
        return Err(error);
    }
    found.sort_unstable_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked() -> [SumdbError; 5] {
        [
            SumdbError::Fault("no connection".into()),
            SumdbError::Unknown {
                gone: false,
                text: "not found".into(),
            },
            SumdbError::Forged("of another module".into()),
            SumdbError::Inconsistent("of another tree".into()),
            SumdbError::Fork("two histories".into()),
        ]
    }

    #[tokio::test]
    async fn the_gravest_error_is_the_answer_in_whatever_order_they_come() {
        let ranked = ranked();
        for (less, a) in ranked.iter().enumerate() {
            for b in &ranked[less..] {
                assert_eq!(&a.clone().or_graver(b.clone()), b);
                assert_eq!(&b.clone().or_graver(a.clone()), b);
                for (first, second) in [(a, b), (b, a)] {
                    let joined = both::<(), ()>(Err(first.clone()), Err(second.clone()));
                    assert_eq!(joined, Err(b.clone()));
                    let futures = [Err(first.clone()), Ok(()), Err(second.clone())];
                    let joined = all(futures.map(|it| async move { it })).await;
                    if !matches!(b, SumdbError::Fork(_)) {
                        assert_eq!(joined, Err(b.clone()));
                    }
                }
            }
        }
        let fine = all([1, 2, 3].map(|n| async move { Ok(n) })).await;
        assert_eq!(fine, Ok(vec![1, 2, 3]));
        let grave: Vec<bool> = ranked.iter().map(SumdbError::is_grave).collect();
        assert_eq!(grave, [false, false, true, true, true]);
    }

    #[tokio::test]
    async fn a_proof_need_not_wait_for_what_hangs() {
        let proof = SumdbError::Inconsistent("of another tree".into());
        let hangs = futures_util::future::Either::Left(std::future::pending::<Result<(), _>>());
        let proven = futures_util::future::Either::Right(std::future::ready(Err(proof.clone())));
        assert_eq!(all([hangs, proven]).await, Err(proof));
    }
}
