//! The rules in force: everything that the configuration says about modules, callers and limits, as one value that does not
//! change. It is made as a whole or not at all (`app/rules.rs`), and another one takes its place in one step.
//!
//! A request takes the rules once, when its context is made, and goes by these to its last byte. Everything that is made
//! by them in memory carries their [`RulesGeneration`]: a cached answer, since that is part of its `Validity`; what is
//! remembered as absent; and a flight, which is joined by requests under the same rules only. So nobody gets an answer
//! that was decided by two of them.
//!
//! What is kept on disk carries none, and is not made anew: files stay as they were verified, until `look_through_kept`
//! runs for the new rules, and each request's own rules say whether they may be had; what changes is asked for again if
//! it was fetched before the rules were put in force; and a kept absence is the answer only where nobody can be asked. A
//! flight under rules that have ended replaces nothing of these.
//!
//! Not in here, and so for the next start: the sizes of caches and of `store.max_flights` and `store.max_zip_flights`; how
//! much is prefetched; which checksum databases there are; addresses to listen on, `[store]`. What upstreams and git hosts
//! have shown goes on from one set of rules to the next (`app/upstreams.rs`), since it is true under both.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::origins::Chains;
use super::validity::{RulesGeneration, Validities};
use crate::clock::Timestamp;
use crate::identity::Issuers;
use crate::policy::{Access, ClientLimits, Policy, TrustedProxies};

/// Everything that is decided by the configuration and can be changed while the server runs.
#[derive(Clone)]
pub struct Rules {
    /// Where modules come from, which are private, and who verifies them.
    pub policy: Policy,
    /// Who may have which modules.
    pub access: Access,
    /// Whose word is taken for who somebody is.
    pub issuers: Arc<Issuers>,
    /// Whose word is taken for where a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// What one client may take.
    pub limits: ClientLimits,
    /// How long what changes is believed.
    pub freshness: Freshness,
    /// What to do where a checksum database does not help.
    pub verification: VerifySettings,
    /// The sources of modules, with the credentials for them.
    pub chains: Chains,
    /// Given when they are put in force.
    number: RulesGeneration,
    /// When they were put in the place of others.
    since: Option<Timestamp>,
}

/// How long what changes is believed.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// How long a changing answer is fresh.
    pub ttl: Duration,
    /// How long a 404 or 410 is remembered.
    pub negative_ttl: Duration,
    /// How long a 403 is remembered.
    pub refused_ttl: Duration,
    /// How long a client waits for a refresh when there is an old copy.
    pub refresh_wait: Duration,
}

/// What to do where a database does not help.
#[derive(Clone, Copy, Debug)]
pub struct VerifySettings {
    /// Serve what no database can be asked about; else refuse it.
    pub serve_unverified: bool,
    /// Hold what the databases do not know to the checksum seen first; else refuse it.
    pub first_seen_unknown: bool,
    /// How long a file waits for its look-up, from the beginning of its flight.
    pub patience: Duration,
}

impl Rules {
    /// To be put in force.
    pub fn new(
        policy: Policy,
        access: Access,
        issuers: Arc<Issuers>,
        trusted_proxies: TrustedProxies,
        freshness: Freshness,
        verification: VerifySettings,
        chains: Chains,
    ) -> Self {
        Rules {
            policy,
            access,
            issuers,
            trusted_proxies,
            limits: ClientLimits::default(),
            freshness,
            verification,
            chains,
            number: RulesGeneration::default(),
            since: None,
        }
    }

    /// With limits for each client.
    pub fn limited(self, limits: ClientLimits) -> Self {
        Rules { limits, ..self }
    }

    /// Which of those that have been in force they are.
    pub fn generation(&self) -> RulesGeneration {
        self.number
    }

    /// Until when something that changes and was fetched then is fresh under these rules.
    pub(super) fn fresh_until(&self, fetched: Timestamp) -> Timestamp {
        if self.since.is_some_and(|since| fetched <= since) {
            // It was fetched under others.
            return fetched;
        }
        let ttl = u64::try_from(self.freshness.ttl.as_millis()).unwrap_or(u64::MAX);
        Timestamp(fetched.0.saturating_add(ttl))
    }
}

/// The rules in force.
pub(super) struct CurrentRules {
    rules: ArcSwap<Rules>,
    /// One change at a time.
    swapping: Mutex<()>,
    /// Which of them answers are made under that may be given.
    validities: Validities,
}

impl CurrentRules {
    /// The first ones.
    pub(super) fn new(rules: Rules, validities: Validities) -> Self {
        CurrentRules {
            rules: ArcSwap::from_pointee(rules),
            swapping: Mutex::new(()),
            validities,
        }
    }

    /// Those in force now, for as long as they are wanted.
    pub(super) fn load(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// The same for a moment only; costs less.
    pub(super) fn peek(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Puts others in force, at this time. When it returns, no answer that was made under those before is given any more,
    /// and every request that is made from then on goes by these.
    pub(super) fn swap(&self, rules: Rules, now: Timestamp) -> RulesGeneration {
        let _one_at_a_time = self.swapping.lock();
        let number = self.peek().number.next();
        self.rules.store(Arc::new(Rules {
            number,
            since: Some(now),
            ..rules
        }));
        // After that: until then, requests under the new ones find no cached answer and make their own.
        self.validities.rules_changed(number);
        number
    }
}

#[cfg(test)]
impl Rules {
    /// Under which nothing comes from anywhere.
    pub(super) fn empty() -> Self {
        let freshness = Freshness {
            ttl: Duration::ZERO,
            negative_ttl: Duration::ZERO,
            refused_ttl: Duration::ZERO,
            refresh_wait: Duration::ZERO,
        };
        let chains = Chains {
            public: tokio::sync::watch::channel(None).1,
            private: crate::engine::origins::Chain::default(),
            routes: Vec::new(),
        };
        Rules::for_tests(Policy::default(), freshness, chains)
    }

    /// With no private module, for whoever reaches the port.
    pub(crate) fn for_tests(policy: Policy, freshness: Freshness, chains: Chains) -> Self {
        let verification = VerifySettings {
            serve_unverified: true,
            first_seen_unknown: true,
            patience: Duration::from_secs(15),
        };
        let proxies = TrustedProxies::default();
        Rules::new(
            policy,
            Access::by(crate::policy::AccessMode::Open),
            Arc::new(Issuers::new(
                Vec::new(),
                Arc::new(crate::clock::SystemClock),
            )),
            proxies,
            freshness,
            verification,
            chains,
        )
    }
}
