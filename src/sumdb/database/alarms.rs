//! What a database was seen to do that it must not, until an operator has acknowledged it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::SharedClock;
use crate::sumdb::alarm::{Alarm, AlarmKind};
use crate::sumdb::error::SumdbError;
use crate::sumdb::head::Head;
use crate::sumdb::seams::{State, StateError};
use crate::telemetry::metrics::SumdbMetrics;

/// The alarms of a database.
pub(super) struct Alarms {
    database: String,
    state: Arc<dyn State>,
    clock: SharedClock,
    metrics: SumdbMetrics,
    raised: Mutex<Vec<Alarm>>,
}

impl Alarms {
    /// Those that are kept.
    pub(super) async fn load(
        database: &str,
        state: Arc<dyn State>,
        clock: SharedClock,
        metrics: SumdbMetrics,
    ) -> Result<Self, StateError> {
        let mut raised = Vec::new();
        for kind in AlarmKind::ALL {
            let kept = state.get(&key(kind)).await?;
            raised.extend(kept.and_then(|json| serde_json::from_slice(&json).ok()));
        }
        let alarms = Alarms {
            database: database.to_owned(),
            state,
            clock,
            metrics,
            raised: Mutex::new(raised),
        };
        alarms.show();
        Ok(alarms)
    }

    /// All of them.
    pub(super) fn raised(&self) -> Vec<Alarm> {
        self.raised.lock().clone()
    }

    /// Raises the alarm if a tile was found not to belong to the tree.
    pub(super) async fn watched<T>(&self, result: Result<T, SumdbError>) -> Result<T, SumdbError> {
        if let Err(SumdbError::Inconsistent(text)) = &result {
            self.raise(AlarmKind::Inconsistent, text.clone()).await;
        }
        result
    }

    pub(super) async fn fork(&self, known: &Head, other: &Head) -> SumdbError {
        let note = |head: &Head| String::from_utf8_lossy(&head.note).into_owned();
        let text = format!(
            "{} has signed two histories that contradict each other: one with {} records, which was known here, and one with {}.\n\n{}\n{}",
            self.database,
            known.size,
            other.size,
            note(known),
            note(other)
        );
        self.raise(AlarmKind::Fork, text).await;
        self.forked_error()
    }

    pub(super) fn forked_error(&self) -> SumdbError {
        SumdbError::Fork(format!(
            "the checksum database {} has signed two histories that contradict each other (a fork)",
            self.database
        ))
    }

    pub(super) fn is_open(&self, kind: AlarmKind) -> bool {
        let open = |alarm: &Alarm| alarm.kind == kind && !alarm.acknowledged;
        self.raised.lock().iter().any(open)
    }

    /// The refusal of whatever this database cannot prove, while an alarm stands that no operator has acknowledged.
    pub(super) fn alarm(&self) -> Option<SumdbError> {
        if self.is_open(AlarmKind::Fork) {
            return Some(self.forked_error());
        }
        self.is_open(AlarmKind::Inconsistent).then(|| {
            SumdbError::Alarmed(format!(
                "the checksum database {} has given a tile that does not belong to the tree it has signed",
                self.database
            ))
        })
    }

    /// While an alarm stands nothing passes as "not known" or "not available". What verifies is believed all the same,
    /// since it proves itself; but not while there is a fork.
    pub(super) fn while_alarmed(&self, error: SumdbError) -> SumdbError {
        match self.alarm() {
            Some(SumdbError::Alarmed(why)) if !error.is_grave() => {
                SumdbError::Alarmed(format!("{why}, and now: {error}"))
            }
            Some(alarm) if !error.is_grave() => alarm,
            _ => error,
        }
    }

    async fn raise(&self, kind: AlarmKind, text: String) {
        let alarm = Alarm {
            kind,
            since: self.clock.now(),
            text,
            acknowledged: false,
        };
        {
            let mut raised = self.raised.lock();
            let known = |known: &Alarm| known.kind == kind && !known.acknowledged;
            if raised.iter().any(known) {
                return;
            }
            raised.retain(|known| known.kind != kind);
            raised.push(alarm.clone());
        }
        tracing::error!(
            database = self.database,
            kind = kind.as_str(),
            text = alarm.text,
            "ALARM: the checksum database cannot be trusted as it is; `larder sumdb acknowledge` ends this alarm"
        );
        self.show();
        self.keep_alarm(&alarm).await;
    }

    async fn keep_alarm(&self, alarm: &Alarm) {
        // A plain struct has no way to fail.
        let json = serde_json::to_vec(alarm).unwrap_or_default();
        if let Err(error) = self.state.put(&key(alarm.kind), json.into()).await {
            tracing::warn!(database = self.database, %error, "an alarm could not be kept");
        }
    }

    /// An operator knows of the alarms: gives how many there were.
    pub(super) async fn acknowledge(&self) -> usize {
        let acknowledged: Vec<Alarm> = {
            let mut raised = self.raised.lock();
            let open = raised.iter_mut().filter(|alarm| !alarm.acknowledged);
            open.map(|alarm| {
                alarm.acknowledged = true;
                alarm.clone()
            })
            .collect()
        };
        for alarm in &acknowledged {
            self.keep_alarm(alarm).await;
        }
        self.show();
        acknowledged.len()
    }

    /// Forgets them, as they are forgotten in what is kept.
    pub(super) fn clear(&self) {
        self.raised.lock().clear();
        self.show();
    }

    /// Brings the gauges up to date.
    fn show(&self) {
        let open = |kind| i64::from(self.is_open(kind));
        self.metrics.fork.set(open(AlarmKind::Fork));
        self.metrics.inconsistent.set(open(AlarmKind::Inconsistent));
    }
}

fn key(kind: AlarmKind) -> String {
    format!("alarm/{}", kind.as_str())
}
