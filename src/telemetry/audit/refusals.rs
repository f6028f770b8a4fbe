//! Refusals that repeat themselves: one line a minute for each machine and module, and how often it was after that. What
//! is noted for that is bounded, and so are the lines: 1,024 a minute, 64 of one machine, and what comes beyond is counted
//! by machine, or together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a refusal that repeats itself is only counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Machines and modules told apart at the most.
const PAIRS: usize = 1_024;
/// Of these as many for one machine.
const OF_A_MACHINE: usize = 64;
/// Of a module's path as much tells it from others. Bytes.
const LONGEST: usize = 256;

/// What has been refused in the minute that began with the first of it.
#[derive(Default)]
pub(super) struct RefusalCounts {
    since: Option<Instant>,
    /// How often again.
    pairs: HashMap<(Option<IpAddr>, Option<Box<str>>), u64>,
    machines: HashMap<Option<IpAddr>, Machine>,
    /// Of further machines.
    others: u64,
}

#[derive(Default)]
struct Machine {
    pairs: usize,
    /// Refusals about further modules.
    others: u64,
}

/// How often something was refused that was not told each time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    /// None of many machines.
    pub machine: Option<IpAddr>,
    /// None about many modules, or none.
    pub module: Option<Box<str>>,
    pub count: u64,
}

impl RefusalCounts {
    /// Notes a refusal; says whether it is to be told.
    pub(super) fn note(
        &mut self,
        now: Instant,
        machine: Option<IpAddr>,
        module: Option<&str>,
    ) -> bool {
        self.since.get_or_insert(now);
        let module = module.map(|module| &module[..module.floor_char_boundary(LONGEST)]);
        let pair = (machine, module.map(Box::from));
        if let Some(again) = self.pairs.get_mut(&pair) {
            *again += 1;
            return false;
        }
        let has_room = self.pairs.len() < PAIRS;
        if !has_room && !self.machines.contains_key(&machine) {
            self.others += 1;
            return false;
        }
        let own = self.machines.entry(machine).or_default();
        if !has_room || own.pairs >= OF_A_MACHINE {
            own.others += 1;
            return false;
        }
        own.pairs += 1;
        self.pairs.insert(pair, 0);
        true
    }

    /// What has repeated itself, if the minute is over; another one begins with the next refusal.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Repeated> {
        match self.since {
            Some(since) if now.saturating_duration_since(since) >= MINUTE => self.take(),
            _ => Vec::new(),
        }
    }

    /// The same, over or not.
    pub(super) fn take(&mut self) -> Vec<Repeated> {
        let all = std::mem::take(self);
        let pairs = all.pairs.into_iter();
        let pairs = pairs.map(|((machine, module), count)| Repeated {
            machine,
            module,
            count,
        });
        let machines = all.machines.into_iter().map(|(machine, own)| Repeated {
            machine,
            module: None,
            count: own.others,
        });
        let others = Repeated {
            machine: None,
            module: None,
            count: all.others,
        };
        let all = pairs.chain(machines).chain([others]);
        all.filter(|repeated| repeated.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    /// Any moment; time is what is added to it.
    fn moment() -> Instant {
        use crate::clock::Clock;
        crate::clock::SystemClock.instant()
    }

    #[test]
    fn what_repeats_itself_is_told_once_a_minute() {
        let mut counts = RefusalCounts::default();
        let start = moment();
        assert!(counts.note(start, machine(1), Some("a")));
        for _ in 0..1_000 {
            assert!(!counts.note(start, machine(1), Some("a")));
        }
        assert!(counts.note(start, machine(1), Some("b")));
        assert!(counts.note(start, machine(1), None));
        assert!(counts.note(start, machine(2), Some("a")));
        assert_eq!(counts.over(start + MINUTE / 2), []);
        let repeated = Repeated {
            machine: machine(1),
            module: Some("a".into()),
            count: 1_000,
        };
        assert_eq!(counts.over(start + MINUTE), [repeated]);
        assert!(counts.note(start + MINUTE, machine(1), Some("a")));
        assert_eq!(counts.take(), []);
    }

    #[test]
    fn one_machine_that_tries_names_has_few_lines() {
        let mut counts = RefusalCounts::default();
        let start = moment();
        let told = |counts: &mut RefusalCounts, of: u32, names: u32| {
            (0..names)
                .filter(|n| counts.note(start, machine(of), Some(&format!("m{n}"))))
                .count()
        };
        assert_eq!(told(&mut counts, 1, 100_000), OF_A_MACHINE);
        assert_eq!(told(&mut counts, 2, 3), 3);
        let repeated = Repeated {
            machine: machine(1),
            module: None,
            count: 100_000 - OF_A_MACHINE as u64,
        };
        assert_eq!(counts.take(), [repeated]);
    }

    #[test]
    fn many_machines_are_bounded_and_all_is_counted() {
        let mut counts = RefusalCounts::default();
        let start = moment();
        let mut told = 0;
        for n in 0..100_000 {
            told += u64::from(counts.note(start, machine(n), Some(&"m".repeat(10_000))));
            told += u64::from(counts.note(start, machine(n % 7), Some(&format!("m{n}"))));
        }
        assert_eq!(told, PAIRS as u64);
        assert!(counts.pairs.len() <= PAIRS && counts.machines.len() <= PAIRS);
        let counted: u64 = counts.take().iter().map(|repeated| repeated.count).sum();
        assert_eq!(counted + told, 200_000);
    }
}
