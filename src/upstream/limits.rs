//! Places at an upstream, in two classes: what is waited for goes before prefetches, in the queue and in number.
//!
//! One module takes at most half of the places, so that fetches of it that hang leave room for others; zips take at
//! most three quarters, so that small files do not wait for many large ones; and prefetches at most half.
//!
//! What one client takes depends on what is free, if others have asked lately: at most three times as much. So each of two
//! has three sevenths, and one beside whom others ask little three quarters; the fourth of those that take all they can gets
//! one place of 64, and a fifth waits. A client that is alone may have all: who comes then waits until one of them is free.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::gomod::ModulePath;
use crate::kit::{ClientId, Priority, WaitingClients};

/// While something large that is waited for arrives, a prefetch pauses this long …
const YIELD: Duration = Duration::from_millis(25);
/// … whenever so much of it has come. Bytes.
const YIELD_EVERY: u64 = 64 << 10;
/// A client may have so many times what is free …
const OF_WHAT_IS_FREE: usize = 3;
/// … unless no other has asked for so long.
const ALONE: Duration = Duration::from_secs(60);

/// Places of one upstream, and within it of each module that is being fetched, and of each client.
pub struct Limits {
    state: Arc<Mutex<State>>,
    places: usize,
    /// Large bodies that are waited for and arriving.
    arriving: watch::Sender<usize>,
}

struct State {
    free: Free,
    /// In order; those whose module, client or kind has its share are passed over. Bounded by the number of flights.
    awaited: VecDeque<Waiter>,
    prefetches: VecDeque<Waiter>,
}

/// How many more may have a place.
struct Free {
    all: usize,
    large: usize,
    prefetches: usize,
    per_module: usize,
    /// Places taken, of modules that have any.
    modules: HashMap<ModulePath, usize>,
    /// Places taken, of clients that have any.
    clients: HashMap<ClientId, Taken>,
    /// The client that asked last, and the last one of the others, and when.
    asked: [Option<(ClientId, Instant)>; 2],
}

#[derive(Clone, Copy, Default)]
struct Taken {
    all: usize,
    large: usize,
}

/// What a place is wanted for.
#[derive(Clone)]
struct Wish {
    module: Option<ModulePath>,
    /// Who waits for it; nobody if it is work in the background.
    waiting: WaitingClients,
    /// Whose share it takes, once it has a place: that of the first of them who has not had it yet.
    client: Option<ClientId>,
    large: bool,
    prefetch: bool,
}

struct Waiter {
    wish: Wish,
    served: oneshot::Sender<UpstreamSlot>,
}

/// A place, given back when dropped.
pub struct UpstreamSlot {
    state: Arc<Mutex<State>>,
    wish: Wish,
}

impl Drop for UpstreamSlot {
    fn drop(&mut self) {
        self.state.lock().free.put(&self.wish);
        serve(&self.state);
    }
}

/// Gives places to those who wait, as far as there are any.
fn serve(state: &Arc<Mutex<State>>) {
    for (waiter, place) in served(state) {
        // If nobody waits any more, the place comes back by being dropped here, outside the lock.
        let _ = waiter.send(place);
    }
}

fn served(shared: &Arc<Mutex<State>>) -> Vec<(oneshot::Sender<UpstreamSlot>, UpstreamSlot)> {
    let mut served = Vec::new();
    let mut state = shared.lock();
    let State {
        free,
        awaited,
        prefetches,
    } = &mut *state;
    for queue in [awaited, prefetches] {
        let mut at = 0;
        while free.all > 0 && at < queue.len() {
            if queue[at].served.is_closed() {
                queue.remove(at);
            } else if free.take(&mut queue[at].wish) {
                let Some(waiter) = queue.remove(at) else {
                    break;
                };
                let (state, wish) = (Arc::clone(shared), waiter.wish);
                served.push((waiter.served, UpstreamSlot { state, wish }));
            } else {
                at += 1;
            }
        }
    }
    served
}

impl Free {
    /// Takes a place, if this wish may have one.
    fn take(&mut self, wish: &mut Wish) -> bool {
        let of_module = |module| self.modules.get(module).copied().unwrap_or_default();
        let full = self.all == 0
            || (wish.large && self.large == 0)
            || (wish.prefetch && self.prefetches == 0)
            || wish
                .module
                .as_ref()
                .is_some_and(|module| of_module(module) >= self.per_module);
        if full {
            return false;
        }
        let may = |client: &&ClientId| !self.has_its_share(**client, wish.large);
        let charged = wish.waiting.with(|clients| {
            let charged = clients.iter().find(may).copied();
            (charged.is_some() || clients.is_empty()).then_some(charged)
        });
        let Some(charged) = charged else {
            return false;
        };
        wish.client = charged;
        self.all -= 1;
        self.large -= usize::from(wish.large);
        self.prefetches -= usize::from(wish.prefetch);
        if let Some(module) = &wish.module {
            *self.modules.entry(module.clone()).or_default() += 1;
        }
        if let Some(client) = wish.client {
            let taken = self.clients.entry(client).or_default();
            taken.all += 1;
            taken.large += usize::from(wish.large);
        }
        true
    }

    fn has_its_share(&self, client: ClientId, large: bool) -> bool {
        let Some(taken) = self.clients.get(&client) else {
            return false;
        };
        let is_over = taken.all >= OF_WHAT_IS_FREE * self.all
            || (large && taken.large >= OF_WHAT_IS_FREE * self.large);
        is_over && !self.is_alone(client)
    }

    /// A client asks for a place.
    fn asks(&mut self, client: ClientId) {
        if self.asked[0].is_some_and(|(last, _)| last != client) {
            self.asked.swap(0, 1);
        }
        self.asked[0] = Some((client, Instant::now()));
    }

    /// Of a client that has a place.
    fn is_alone(&self, client: ClientId) -> bool {
        let lately = |(other, at): &(ClientId, Instant)| *other != client && at.elapsed() < ALONE;
        self.clients.len() == 1 && !self.asked.iter().flatten().any(lately)
    }

    fn put(&mut self, wish: &Wish) {
        self.all += 1;
        self.large += usize::from(wish.large);
        self.prefetches += usize::from(wish.prefetch);
        if let Some(module) = &wish.module
            && let Some(taken) = self.modules.get_mut(module)
        {
            *taken -= 1;
            if *taken == 0 {
                self.modules.remove(module);
            }
        }
        if let Some(client) = wish.client
            && let Some(taken) = self.clients.get_mut(&client)
        {
            taken.all -= 1;
            taken.large -= usize::from(wish.large);
            if taken.all == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Limits {
    /// `places` requests at once.
    pub fn new(places: usize) -> Self {
        let free = Free {
            all: places,
            large: (places - places / 4).max(1),
            prefetches: (places / 2).max(1),
            per_module: (places / 2).max(1),
            modules: HashMap::new(),
            clients: HashMap::new(),
            asked: [None; 2],
        };
        Limits {
            state: Arc::new(Mutex::new(State {
                free,
                awaited: VecDeque::new(),
                prefetches: VecDeque::new(),
            })),
            places,
            arriving: watch::Sender::new(0),
        }
    }

    /// Waits for a place; `large` for a fetch that may take long. A prefetch that is raised meanwhile goes over to
    /// those that are waited for.
    pub async fn place(
        &self,
        module: Option<&ModulePath>,
        waiting: WaitingClients,
        large: bool,
        priority: &Priority,
    ) -> Option<UpstreamSlot> {
        let wish = |prefetch| Wish {
            module: module.cloned(),
            waiting: waiting.clone(),
            client: None,
            large,
            prefetch,
        };
        if priority.is_prefetch() {
            tokio::select! {
                biased;
                () = priority.raised() => {}
                place = self.wait(wish(true)) => return place,
            }
        }
        self.wait(wish(false)).await
    }

    async fn wait(&self, mut wish: Wish) -> Option<UpstreamSlot> {
        let waiting = wish.waiting.clone();
        let mut served = {
            let mut state = self.state.lock();
            waiting.with(|clients| clients.iter().for_each(|client| state.free.asks(*client)));
            // Those who wait could not have it: they are served as soon as they can.
            if state.free.take(&mut wish) {
                let state = Arc::clone(&self.state);
                return Some(UpstreamSlot { state, wish });
            }
            let (served, place) = oneshot::channel();
            let queue = match wish.prefetch {
                true => &mut state.prefetches,
                false => &mut state.awaited,
            };
            // Those who have gone would stay as long as nothing is free.
            if queue.len() == queue.capacity() {
                queue.retain(|waiter| !waiter.served.is_closed());
            }
            queue.push_back(Waiter { wish, served });
            place
        };
        loop {
            tokio::select! {
                biased;
                place = &mut served => return place.ok(),
                // Who has come to wait for it may have a share left.
                () = waiting.joined() => serve(&self.state),
            }
        }
    }

    /// Something large begins to arrive.
    pub fn arrival(&self) -> Arrival<'_> {
        Arrival {
            limits: self,
            counted: false,
            since: 0,
        }
    }

    /// Places taken.
    pub fn in_use(&self) -> usize {
        self.places - self.state.lock().free.all
    }
}

/// Something large that arrives; a prefetch makes room for what is waited for.
pub struct Arrival<'a> {
    limits: &'a Limits,
    counted: bool,
    /// Bytes since it last made room.
    since: u64,
}

impl Arrival<'_> {
    /// So many bytes have come. Of a prefetch the next ones wait, while something is arriving that somebody waits for:
    /// not for long, because the bandwidth need not be the same.
    pub async fn came(&mut self, bytes: u64, priority: &Priority) {
        if !priority.is_prefetch() {
            if !self.counted {
                self.counted = true;
                self.limits.arriving.send_modify(|count| *count += 1);
            }
            return;
        }
        self.since += bytes;
        if self.since < YIELD_EVERY || *self.limits.arriving.borrow() == 0 {
            return;
        }
        self.since = 0;
        let mut arriving = self.limits.arriving.subscribe();
        let free = async {
            tokio::select! {
                () = priority.raised() => {}
                // The sender is in `self.limits`.
                _ = arriving.wait_for(|count| *count == 0) => {}
            }
        };
        let _ = timeout(YIELD, free).await;
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.limits.arriving.send_modify(|count| *count -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn module(name: &str) -> ModulePath {
        ModulePath::parse(&format!("example.com/{name}")).unwrap()
    }

    #[tokio::test]
    async fn a_module_takes_half_and_leaves_nothing_behind() {
        let limits = Limits::new(4);
        let awaited = Priority::default();
        let (hog, other) = (module("hog"), module("other"));
        let first = limits
            .place(Some(&hog), nobody(), false, &awaited)
            .await
            .unwrap();
        let second = limits
            .place(Some(&hog), nobody(), false, &awaited)
            .await
            .unwrap();
        let waiting = limits.place(Some(&hog), nobody(), false, &awaited);
        tokio::pin!(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        let third = limits
            .place(Some(&other), nobody(), false, &awaited)
            .await
            .unwrap();
        assert_eq!(limits.in_use(), 3);
        drop(first);
        let fourth = waiting.await.unwrap();
        drop((second, third, fourth));
        assert_eq!(limits.in_use(), 0);
        let state = limits.state.lock();
        assert!(state.free.modules.is_empty() && state.awaited.is_empty());
    }

    fn nobody() -> WaitingClients {
        WaitingClients::default()
    }

    fn client(number: u64) -> WaitingClients {
        Some(ClientId::number(number)).into()
    }

    /// Places that a client can take at once.
    fn taken_by(limits: &Limits, client: u64, large: bool) -> Vec<UpstreamSlot> {
        let awaited = Priority::default();
        let client = super::tests::client(client);
        std::iter::from_fn(|| {
            let place = limits.place(None, client.clone(), large, &awaited);
            place.now_or_never().flatten()
        })
        .collect()
    }

    /// Another client has asked for something.
    fn with_others(places: usize) -> Limits {
        let limits = Limits::new(places);
        drop(taken_by(&limits, 1000, false));
        limits
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_may_have_all() {
        let limits = Limits::new(64);
        let all = taken_by(&limits, 1, false);
        assert_eq!(all.len(), 64);
        let awaited = Priority::default();
        let of = |number| limits.place(None, client(number), false, &awaited);
        let (mut more, mut other) = (Box::pin(of(1)), Box::pin(of(2)));
        assert!((&mut more).now_or_never().is_none());
        assert!((&mut other).now_or_never().is_none());
        let mut all = all.into_iter();
        drop(all.next());
        assert!((&mut more).now_or_never().is_none(), "it is not alone now");
        assert!((&mut other).now_or_never().is_some());
        drop((more, all));
        assert_eq!(taken_by(&limits, 1, false).len(), 48);
        tokio::time::advance(ALONE).await;
        assert_eq!(taken_by(&limits, 1, false).len(), 64);
    }

    #[tokio::test]
    async fn clients_leave_something_to_each_other() {
        let limits = with_others(64);
        let mut hung = Vec::new();
        for (client, expected) in [(1, 48), (2, 12), (3, 3), (4, 1)] {
            let taken = taken_by(&limits, client, false);
            assert_eq!(taken.len(), expected, "client {client}");
            hung.extend(taken);
        }
        // Work in the background is nobody's.
        drop(hung.split_off(60));
        let awaited = Priority::default();
        assert!(
            limits
                .place(None, nobody(), false, &awaited)
                .now_or_never()
                .is_some()
        );
        drop(hung);
        assert_eq!(limits.in_use(), 0);
        assert!(limits.state.lock().free.clients.is_empty());
    }

    #[tokio::test]
    async fn large_places_are_shared_among_clients_as_well() {
        let limits = with_others(64);
        let zips = taken_by(&limits, 1, true);
        assert_eq!(zips.len(), 36);
        assert_eq!(taken_by(&limits, 1, false).len(), 12);
        assert!(taken_by(&limits, 2, true).len() >= 8);
        drop(zips);
        assert_eq!(limits.in_use(), 0);
    }

    #[tokio::test]
    async fn who_waits_for_a_share_is_passed_over_and_served_later() {
        let limits = with_others(8);
        let awaited = Priority::default();
        let mut hog = taken_by(&limits, 1, false);
        assert_eq!(hog.len(), 6);
        let of = |number| limits.place(None, client(number), false, &awaited);
        let mut more = Box::pin(of(1));
        assert!((&mut more).now_or_never().is_none());
        let other = of(2).now_or_never().unwrap();
        drop(other);
        assert!((&mut more).now_or_never().is_none());
        hog.pop();
        assert!((&mut more).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_others_have_come_to_wait_for_takes_their_share() {
        let limits = with_others(8);
        let awaited = Priority::default();
        let hog = taken_by(&limits, 1, false);
        assert_eq!(hog.len(), 6);
        let waiting = client(1);
        let mut shared = Box::pin(limits.place(None, waiting.clone(), false, &awaited));
        assert!((&mut shared).now_or_never().is_none());
        waiting.join(ClientId::number(1));
        assert!((&mut shared).now_or_never().is_none());
        waiting.join(ClientId::number(2));
        let place = (&mut shared).now_or_never().flatten().unwrap();
        assert_eq!(place.wish.client, Some(ClientId::number(2)));
        drop((place, hog));
        // A prefetch that somebody has come to wait for is theirs.
        let (prefetch, nobodys) = (Priority::prefetch(), nobody());
        let all: Vec<_> = std::iter::repeat_with(|| limits.place(None, nobody(), false, &awaited))
            .map_while(|place| place.now_or_never().flatten())
            .collect();
        assert_eq!(all.len(), 8);
        let mut raised = Box::pin(limits.place(None, nobodys.clone(), false, &prefetch));
        assert!((&mut raised).now_or_never().is_none());
        prefetch.raise();
        nobodys.join(ClientId::number(2));
        assert!((&mut raised).now_or_never().is_none());
        drop(all);
        let place = raised.now_or_never().flatten().unwrap();
        assert_eq!(place.wish.client, Some(ClientId::number(2)));
    }

    #[tokio::test]
    async fn zips_leave_a_quarter_to_small_files() {
        let limits = Limits::new(8);
        let awaited = Priority::default();
        let module = |n: u32| module(&format!("m{n}"));
        let mut zips = Vec::new();
        for n in 0..6 {
            zips.push(
                limits
                    .place(Some(&module(n)), nobody(), true, &awaited)
                    .await
                    .unwrap(),
            );
        }
        let at_once = |n, large| {
            limits
                .place(Some(&module(n)), nobody(), large, &awaited)
                .now_or_never()
        };
        assert!(at_once(7, true).is_none());
        let small = at_once(8, false);
        assert!(small.is_some());
        assert!(at_once(9, false).is_some());
    }

    #[tokio::test]
    async fn what_is_waited_for_overtakes_what_is_prefetched() {
        let limits = Limits::new(4);
        let awaited = Priority::default();
        let (first, second) = (Priority::prefetch(), Priority::prefetch());
        let third = Priority::prefetch();
        let one = limits.place(None, nobody(), false, &first).await.unwrap();
        let two = limits.place(None, nobody(), false, &first).await.unwrap();
        // Prefetches have had their half.
        let (mut later, mut last) = (
            Box::pin(limits.place(None, nobody(), false, &second)),
            Box::pin(limits.place(None, nobody(), false, &third)),
        );
        assert!((&mut later).now_or_never().is_none());
        assert!((&mut last).now_or_never().is_none());
        let three = limits.place(None, nobody(), false, &awaited).await.unwrap();
        let four = limits.place(None, nobody(), false, &awaited).await.unwrap();
        let mut client = Box::pin(limits.place(None, nobody(), false, &awaited));
        assert!((&mut client).now_or_never().is_none());
        // Who is waited for comes next, although it came last; then a prefetch that was raised, then the others.
        drop(one);
        let client = client.now_or_never().unwrap().unwrap();
        third.raise();
        assert!((&mut last).now_or_never().is_none());
        drop(three);
        let last = last.now_or_never().unwrap().unwrap();
        drop(two);
        assert!(later.now_or_never().is_some());
        drop((four, client, last));
        assert_eq!(limits.in_use(), 0);
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_takes_nothing() {
        let limits = Limits::new(1);
        let awaited = Priority::default();
        let place = limits.place(None, nobody(), false, &awaited).await.unwrap();
        let mut gone = Box::pin(limits.place(None, nobody(), false, &awaited));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(place);
        assert!(
            limits
                .place(None, nobody(), false, &awaited)
                .now_or_never()
                .is_some()
        );
        assert_eq!(limits.in_use(), 0);
    }

    #[tokio::test]
    async fn a_large_prefetch_makes_room_while_it_arrives() {
        let limits = Limits::new(4);
        let (awaited, prefetch) = (Priority::default(), Priority::prefetch());
        let mut prefetched = limits.arrival();
        assert!(prefetched.came(1 << 20, &prefetch).now_or_never().is_some());
        let mut wanted = limits.arrival();
        wanted.came(1, &awaited).await;
        let began = tokio::time::Instant::now();
        prefetched.came(1 << 20, &prefetch).await;
        assert!(began.elapsed() >= YIELD);
        drop(wanted);
        assert!(prefetched.came(1 << 20, &prefetch).now_or_never().is_some());
        let mut wanted = limits.arrival();
        wanted.came(1, &awaited).await;
        prefetch.raise();
        assert!(prefetched.came(1 << 20, &prefetch).now_or_never().is_some());
    }
}
