//! Who vouches for a file before it is kept: a checksum database, or, for what none covers, the h1 it had when it was
//! first seen.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::context::RequestContext;
use super::databases::{database_error, noted};
use super::error::{Cause, EngineError, KnownSum};
use super::rules::VerifySettings;
use crate::clock::SharedClock;
use crate::gomod::{H1, ModulePath, Version};
use crate::kit::{FetchContext, Priority};
use crate::policy::Decision;
use crate::protocol::{FileKey, Kind};
use crate::store::{Companions, FirstSeenRecord, Store, Verification, Verified};
use crate::sumdb::{Database, SumdbError, Sums};

/// How long a file waits for a database that has not answered since another file waited in vain …
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// … and how long if that was less than `LATELY` ago: so that where no database can be reached, builds do not wait for
/// it at each step.
const NO_PATIENCE: Duration = Duration::from_millis(100);
const LATELY: Duration = Duration::from_secs(5);

/// Vouches for files.
pub struct Verifier {
    databases: Vec<Arc<Database>>,
    store: Store,
    clock: SharedClock,
    /// When a file last waited in vain, if no answer has come since.
    in_vain: Mutex<Option<Instant>>,
}

/// What a database said, and which.
#[derive(Clone, Debug)]
pub struct Said {
    /// The hashes it knows.
    pub sums: Arc<Sums>,
    /// Its name.
    pub by: Arc<str>,
}

/// What vouches for a file that may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVerification {
    /// As in the header.
    pub verified: Verified,
    /// Of `sumdb`, which database.
    pub by: Option<String>,
    /// To be recorded together with it.
    pub companions: Companions,
}

/// As it is recorded of a file that is kept already.
impl From<FileVerification> for Verification {
    fn from(it: FileVerification) -> Self {
        Verification {
            verified: it.verified,
            by: it.by,
            first_seen: it.companions.first_seen,
        }
    }
}

/// One file's verification under way.
pub struct PendingVerification {
    verifier: Arc<Verifier>,
    key: FileKey,
    context: RequestContext,
    asked: Option<Asked>,
    /// Where the answer of a look-up that has not begun yet will be told.
    answer_to: Mutex<Option<watch::Sender<LookUp>>>,
    /// When the flight began.
    since: Instant,
    begun: OnceLock<Begun>,
}

/// What a look-up answers, once it does.
type LookUp = Option<Result<Said, Refusal>>;
type Asked = watch::Receiver<LookUp>;

/// A look-up under way.
#[derive(Clone, Copy)]
struct Begun {
    until: Instant,
    /// It began for a prefetch, which is not kept unverified.
    for_a_prefetch: bool,
}

/// Why no database vouches for a version, with the name of the one it is about.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The database.
    pub database: Arc<str>,
    /// What it said, or did not.
    pub error: SumdbError,
}

impl Verifier {
    /// Databases are asked in this order; the first that knows a version decides.
    pub fn new(databases: Vec<Arc<Database>>, store: Store, clock: SharedClock) -> Arc<Self> {
        Arc::new(Verifier {
            databases,
            store,
            clock,
            in_vain: Mutex::default(),
        })
    }

    /// The databases.
    pub fn databases(&self) -> &[Arc<Database>] {
        &self.databases
    }

    /// Whether databases are asked about a module of which the rules say this.
    pub fn covers(&self, decision: &Decision) -> bool {
        !self.databases.is_empty() && decision.unlisted().is_none()
    }

    /// Whether the databases answer, as far as is known.
    pub fn answers(&self) -> bool {
        self.databases.iter().all(|database| database.answers())
    }

    /// The alarm of a database that no operator has acknowledged: until then nothing new is taken on trust.
    fn alarm(&self) -> Option<Refusal> {
        self.databases.iter().find_map(|database| {
            let error = database.alarm()?;
            let database = database.name().into();
            Some(Refusal { database, error })
        })
    }

    /// Whether a kept file may be served as it is: under `refuse`, what could not be verified when it came may not.
    pub(super) fn allows(
        &self,
        key: &FileKey,
        verified: Verified,
        context: &RequestContext,
    ) -> bool {
        context.rules.verification.serve_unverified
            || verified != Verified::None
            || key.kind == Kind::Info
            || !self.covers(&context.decision)
    }

    /// Forgets that databases do not know a version, so that they are asked again.
    pub fn forget_unknown(&self, key: &FileKey) {
        for database in &self.databases {
            database.forget_unknown(&key.module, &key.version);
        }
    }

    /// The rules in force, in one line: which databases, and that they are not asked about what is `unlisted`.
    pub(super) fn rules(&self, unlisted: &str) -> String {
        let names: Vec<_> = self.databases.iter().map(|it| it.name()).collect();
        format!("{}; not {unlisted}", names.join(" "))
    }

    /// A flight for this `.mod` or `.zip` begins. Its look-up does as soon as the file is known to exist
    /// (`PendingVerification::found`): what nobody has is no business of a database.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: &FileKey,
        context: &RequestContext,
    ) -> PendingVerification {
        let (sender, receiver) = watch::channel(None);
        let covered = self.covers(&context.decision);
        PendingVerification {
            verifier: Arc::clone(self),
            key: key.clone(),
            context: context.clone(),
            asked: covered.then_some(receiver),
            answer_to: Mutex::new(covered.then_some(sender)),
            since: Instant::now(),
            begun: OnceLock::new(),
        }
    }

    /// Until when a file waits for a look-up that begins now, in a flight that began then.
    fn waits_until(&self, since: Instant, settings: &VerifySettings) -> Instant {
        let now = Instant::now();
        let whole = settings.patience;
        let in_vain = *self.in_vain.lock();
        match in_vain.filter(|_| settings.serve_unverified) {
            Some(at) if at.elapsed() < LATELY => now + NO_PATIENCE.min(whole),
            Some(_) => now + SHORT_PATIENCE.min(whole),
            // The file itself may have used that up.
            None => (since + whole).max(now + SHORT_PATIENCE.min(whole)),
        }
    }

    /// Asks the databases about a version.
    pub async fn ask(
        &self,
        module: &ModulePath,
        version: &Version,
        context: &FetchContext,
    ) -> Result<Said, Refusal> {
        let mut refusal: Option<Refusal> = None;
        for database in &self.databases {
            let by: Arc<str> = database.name().into();
            match database.sums(module, version, context).await {
                Ok(sums) => {
                    *self.in_vain.lock() = None;
                    let sums = Arc::new(sums);
                    return Ok(Said { sums, by });
                }
                Err(error) => {
                    // One that does not know it says less than one that could not be asked, which may know it; one that
                    // gave what is forged says more than all others.
                    let grave = error.is_grave();
                    let says_more = grave
                        || refusal
                            .as_ref()
                            .is_none_or(|known| matches!(known.error, SumdbError::Unknown { .. }));
                    if matches!(error, SumdbError::Unknown { .. }) {
                        *self.in_vain.lock() = None;
                    }
                    if says_more {
                        refusal = Some(Refusal {
                            database: by,
                            error,
                        });
                    }
                    if grave {
                        break;
                    }
                }
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal {
            database: "none".into(),
            error: SumdbError::Fault("no checksum database is configured".into()),
        }))
    }

    /// Compares a file with what a database said.
    pub fn compare(
        &self,
        key: &FileKey,
        h1: &H1,
        from: &str,
        said: &Said,
    ) -> Result<FileVerification, EngineError> {
        let recorded = match key.kind {
            Kind::Mod => &said.sums.go_mod,
            Kind::Info | Kind::Zip => &said.sums.zip,
        };
        let downloaded = h1.to_string();
        if recorded.contains(&downloaded) {
            return Ok(FileVerification {
                verified: Verified::Sumdb,
                by: Some(said.by.to_string()),
                companions: Companions::default(),
            });
        }
        Err(Cause::Mismatch {
            what: key.describe(),
            from: from.to_owned(),
            downloaded: *h1,
            known: KnownSum::Recorded {
                database: Arc::clone(&said.by),
                sums: recorded.clone(),
            },
        }
        .into())
    }

    /// Holds a file that no database covers to the h1 it had when it was first seen.
    pub async fn first_seen(
        &self,
        key: &FileKey,
        h1: &H1,
        from: &str,
        unknown: bool,
    ) -> Result<FileVerification, EngineError> {
        let held = |first| FileVerification {
            verified: Verified::FirstSeen,
            by: None,
            companions: Companions {
                first_seen: first,
                pending_since: unknown.then(|| self.clock.now()),
            },
        };
        let known = self.store.first_seen(key).await?;
        self.as_seen(key, h1, from, known.as_ref()).await?;
        if known.is_some_and(|first| !first.accept) {
            return Ok(held(None));
        }
        Ok(held(Some(FirstSeenRecord {
            h1: *h1,
            from: from.to_owned(),
            seen: self.clock.now(),
            unknown,
            accept: false,
        })))
    }

    /// Refuses a file that is not what was first seen here, if it was.
    async fn as_seen(
        &self,
        key: &FileKey,
        h1: &H1,
        from: &str,
        first: Option<&FirstSeenRecord>,
    ) -> Result<(), EngineError> {
        let expected = match first {
            Some(first) if first.accept => None,
            Some(first) => Some(first.h1),
            // A file that is gone from the disk, but not from the index, was seen as well.
            None => self.store.record(key).await?.and_then(|record| record.h1),
        };
        match expected {
            Some(expected) if expected != *h1 => {
                let version = format!("{}@{}", key.module, key.version);
                Err(Cause::Mismatch {
                    what: key.describe(),
                    from: from.to_owned(),
                    downloaded: *h1,
                    known: KnownSum::FirstSeen {
                        h1: expected,
                        version,
                    },
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    /// What is said of a version that the databases do not know.
    fn not_known(&self, key: &FileKey, database: &str, text: &str) -> EngineError {
        Cause::UnknownToDatabase {
            what: key.describe(),
            module: key.module.clone(),
            database: database.into(),
            text: text.to_owned(),
        }
        .into()
    }

    fn unavailable(&self, key: &FileKey, refusal: &Refusal) -> EngineError {
        let (what, source) = (key.describe(), refusal.error.clone());
        noted(&what, &refusal.database, &source);
        Cause::Unverifiable {
            what,
            database: Arc::clone(&refusal.database),
            source,
        }
        .into()
    }
}

impl PendingVerification {
    /// The file exists: the databases are asked about it, if they are not already.
    pub fn found(&self) {
        self.begun.get_or_init(|| Begun {
            until: (self.verifier).waits_until(self.since, &self.context.rules.verification),
            for_a_prefetch: self.context.fetch.priority.is_prefetch(),
        });
        let Some(answer_to) = self.answer_to.lock().take() else {
            return;
        };
        let (verifier, key) = (Arc::clone(&self.verifier), self.key.clone());
        // A look-up is small, and whoever comes to wait for a prefetch waits for it as well.
        let context = FetchContext {
            priority: Priority::Foreground,
            ..self.context.fetch.clone()
        };
        tokio::spawn(async move {
            let said = verifier.ask(&key.module, &key.version, &context).await;
            answer_to.send_replace(Some(said));
        });
    }

    /// Says, whenever it is asked, what the header may promise before the end: a whole file is only released if this
    /// vouches for it.
    pub fn provisional(&self) -> ProvisionalVerdict {
        ProvisionalVerdict {
            asked: self.asked.clone(),
        }
    }

    /// Ends as soon as it is clear that the file will be refused, whatever comes of it; else never.
    pub async fn early_rejection(&self) -> EngineError {
        let Some(mut asked) = self.asked.clone() else {
            return std::future::pending().await;
        };
        let said = match asked.wait_for(Option::is_some).await {
            Ok(said) => said.clone(),
            Err(_) => None,
        };
        match said {
            Some(Err(refusal)) => match self.judge(&refusal) {
                Judgement::Refuse(error) => error,
                _ => std::future::pending().await,
            },
            _ => std::future::pending().await,
        }
    }

    /// The file has this h1 by its content: who vouches for that?
    pub async fn verdict(self, h1: &H1, from: &str) -> Result<FileVerification, EngineError> {
        let verifier = &self.verifier;
        let key = &self.key;
        let Some(mut asked) = self.asked.clone() else {
            return verifier.first_seen(key, h1, from, false).await;
        };
        self.found();
        let begun = self.begun.get().copied();
        let until = begun.map_or_else(Instant::now, |begun| begun.until);
        let said = match timeout_at(until, asked.wait_for(Option::is_some)).await {
            Ok(Ok(said)) => said.clone(),
            Ok(Err(_)) => None,
            Err(_) => {
                let names: Vec<_> = verifier.databases.iter().map(|it| it.name()).collect();
                Some(Err(Refusal {
                    database: names.join(", ").into(),
                    error: SumdbError::Timeout("it has not answered in time".into()),
                }))
            }
        };
        let said = said.unwrap_or_else(|| {
            Err(Refusal {
                database: "none".into(),
                error: SumdbError::Fault("the look-up ended unexpectedly".into()),
            })
        });
        let refusal = match said {
            Ok(said) => return verifier.compare(key, h1, from, &said),
            Err(refusal) => refusal,
        };
        match self.judge(&refusal) {
            Judgement::Refuse(error) => Err(error),
            Judgement::FirstSeen => verifier.first_seen(key, h1, from, true).await,
            // Nothing is kept unverified in stock, and who has come to wait for it has the databases asked again.
            Judgement::Later if begun.is_some_and(|begun| begun.for_a_prefetch) => {
                Err(verifier.unavailable(key, &refusal))
            }
            Judgement::Later => {
                *verifier.in_vain.lock() = Some(Instant::now());
                let first = verifier.store.first_seen(key).await?;
                verifier.as_seen(key, h1, from, first.as_ref()).await?;
                tracing::warn!(file = %key, database = %refusal.database, error = %refusal.error, "served unverified; to be verified later");
                Ok(FileVerification {
                    verified: Verified::None,
                    by: None,
                    companions: Companions {
                        first_seen: None,
                        pending_since: Some(verifier.clock.now()),
                    },
                })
            }
        }
    }

    fn judge(&self, refusal: &Refusal) -> Judgement {
        let (verifier, key) = (&self.verifier, &self.key);
        let settings = &self.context.rules.verification;
        // The look-up may have ended before the alarm was raised, or not at all.
        let alarm = verifier.alarm().filter(|_| !refusal.error.is_grave());
        let refusal = alarm.as_ref().unwrap_or(refusal);
        match &refusal.error {
            SumdbError::Unknown { .. } if settings.first_seen_unknown => Judgement::FirstSeen,
            SumdbError::Unknown { text, .. } => {
                Judgement::Refuse(verifier.not_known(key, &refusal.database, text))
            }
            error if error.is_grave() => Judgement::Refuse(database_error(
                &key.describe(),
                &refusal.database,
                error.clone(),
            )),
            _ if settings.serve_unverified => Judgement::Later,
            _ => Judgement::Refuse(verifier.unavailable(key, refusal)),
        }
    }
}

/// What becomes of a file that no database vouches for.
enum Judgement {
    Refuse(EngineError),
    FirstSeen,
    Later,
}

/// What may be promised of a file that is still coming.
#[derive(Clone, Debug)]
pub struct ProvisionalVerdict {
    asked: Option<Asked>,
}

impl ProvisionalVerdict {
    /// As the header may say at this moment.
    pub fn verified(&self) -> Verified {
        match &self.asked {
            // No database covers it.
            None => Verified::FirstSeen,
            Some(asked) if matches!(*asked.borrow(), Some(Ok(_))) => Verified::Sumdb,
            Some(_) => Verified::None,
        }
    }
}
