//! Turns: so many pieces of work of each client go on at once, and so many of all together; the others wait. Those of one
//! client are served in the order in which they came, and clients one after the other, a piece of work each: round robin,
//! so that who wants much does not make those wait who want little.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::client::ClientId;

/// Pieces of work that wait, of one client and of all together. What waits is a request, which takes memory of its own.
const WAITING_OF_ONE: usize = 4096;
const WAITING_OF_ALL: usize = 32 * 1024;

/// Who has turns, and who waits for one.
pub struct Turns(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// As in the state, for those who look without waiting for it.
    waiting: AtomicUsize,
}

struct State {
    /// Turns of one client at once.
    of_one: usize,
    /// Turns that may still be taken by all of them.
    free: usize,
    /// Of those who have turns or wait for one.
    clients: HashMap<ClientId, Client>,
    /// Clients that wait and have less than they may, each once; the next one first.
    next: VecDeque<ClientId>,
    /// How many wait for each piece of work.
    wanted: HashMap<u64, usize>,
    waiting: usize,
    count: u64,
}

#[derive(Default)]
struct Client {
    taken: usize,
    queue: VecDeque<Waiter>,
    /// It stands among those who are next.
    is_next: bool,
}

struct Waiter {
    number: u64,
    work: u64,
    told: oneshot::Sender<Told>,
}

/// What somebody who waits is told.
enum Told {
    Turn(Turn),
    /// Another one has begun what it waits for.
    Begun,
}

/// The right to do a piece of work; given back when dropped.
pub struct Turn {
    turns: Arc<Shared>,
    client: ClientId,
}

/// What comes of asking for a turn.
pub enum TurnReply {
    Now(Turn),
    Later(TurnWait),
    /// There is no more room to wait in; so many of this client wait already.
    Full(usize),
}

/// A place in the queue, which is left by dropping it.
pub struct TurnWait {
    turns: Arc<Shared>,
    client: ClientId,
    number: u64,
    told: oneshot::Receiver<Told>,
}

/// How waiting ended.
pub enum TurnOutcome {
    Turn(Turn),
    /// Somebody else has begun that very piece of work: it can be joined without a turn.
    Begun,
    /// It took too long. So many of this client wait, this one included.
    TooLong(usize),
}

impl Turns {
    /// So many of one client, and of all together.
    pub fn new(of_one: usize, of_all: usize) -> Self {
        Turns(Arc::new(Shared {
            state: Mutex::new(State {
                of_one,
                free: of_all,
                clients: HashMap::new(),
                next: VecDeque::new(),
                wanted: HashMap::new(),
                waiting: 0,
                count: 0,
            }),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// From now on so many of one client. If that is less than before, those who have more keep it.
    pub fn set(&self, of_one: usize) {
        let mut state = self.0.state.lock();
        state.of_one = of_one;
        let State { clients, next, .. } = &mut *state;
        for (id, client) in clients {
            client.stand_in_line(*id, of_one, next);
        }
        drop(state);
        serve(&self.0);
    }

    /// A turn for this piece of work, if the client may have one now and nobody who may as well came before.
    pub fn ask(&self, client: ClientId, work: u64) -> TurnReply {
        let mut state = self.0.state.lock();
        let of_one = state.of_one;
        let known = state.clients.get(&client);
        let (taken, queued) = known.map_or((0, 0), |it| (it.taken, it.queue.len()));
        if queued == 0 && taken < of_one && state.free > 0 {
            // Nobody stands in line while anything is free.
            state.free -= 1;
            state.clients.entry(client).or_default().taken += 1;
            let turns = Arc::clone(&self.0);
            return TurnReply::Now(Turn { turns, client });
        }
        if queued >= WAITING_OF_ONE || state.waiting >= WAITING_OF_ALL {
            return TurnReply::Full(queued);
        }
        let (told, receiver) = oneshot::channel();
        let number = state.count;
        state.count += 1;
        state.waiting += 1;
        *state.wanted.entry(work).or_default() += 1;
        self.0.waiting.store(state.waiting, Ordering::Relaxed);
        let State { clients, next, .. } = &mut *state;
        let queue = clients.entry(client).or_default();
        queue.queue.push_back(Waiter { number, work, told });
        queue.stand_in_line(client, of_one, next);
        TurnReply::Later(TurnWait {
            turns: Arc::clone(&self.0),
            client,
            number,
            told: receiver,
        })
    }

    /// This piece of work has begun: whoever waits to begin it need not any more.
    pub fn begun(&self, work: u64) {
        if self.0.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut told = Vec::new();
        let mut state = self.0.state.lock();
        if state.wanted.contains_key(&work) {
            let waiting: Vec<ClientId> = state.clients.keys().copied().collect();
            for id in waiting {
                while let Some(waiter) = state.take_out(&self.0, id, |it| it.work == work) {
                    told.push(waiter.told);
                }
            }
        }
        drop(state);
        for told in told {
            // Who has gone needs nothing.
            let _ = told.send(Told::Begun);
        }
    }

    /// Turns that are taken, and pieces of work that wait.
    #[cfg(test)]
    fn in_use(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        let taken = state.clients.values().map(|client| client.taken).sum();
        (taken, state.waiting)
    }
}

impl TurnWait {
    /// Waits for it, at most until then.
    pub async fn turn(mut self, until: Instant) -> TurnOutcome {
        match timeout_at(until, &mut self.told).await {
            Ok(Ok(Told::Turn(turn))) => TurnOutcome::Turn(turn),
            // Nobody drops what he is to tell; if he did, the work could go on.
            Ok(Ok(Told::Begun) | Err(_)) => TurnOutcome::Begun,
            Err(_) => {
                let state = self.turns.state.lock();
                let client = state.clients.get(&self.client);
                TurnOutcome::TooLong(client.map_or(0, |client| client.queue.len()))
            }
        }
    }
}

impl Drop for TurnWait {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        let number = self.number;
        let left = state.take_out(&self.turns, self.client, |it| it.number == number);
        drop(state);
        drop(left);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.free += 1;
        let of_one = state.of_one;
        let State { clients, next, .. } = &mut *state;
        if let Some(client) = clients.get_mut(&self.client) {
            client.taken -= 1;
            client.stand_in_line(self.client, of_one, next);
        }
        state.forget_if_idle(self.client);
        drop(state);
        serve(&self.turns);
    }
}

/// Gives turns to those who wait, as far as there are any.
fn serve(turns: &Arc<Shared>) {
    let mut served = Vec::new();
    let mut state = turns.state.lock();
    while state.free > 0
        && let Some(id) = state.next.pop_front()
    {
        let of_one = state.of_one;
        let Some(client) = state.clients.get_mut(&id) else {
            continue;
        };
        client.is_next = false;
        if client.taken >= of_one {
            continue;
        }
        if let Some(waiter) = state.take_out(turns, id, |_| true) {
            state.free -= 1;
            let State { clients, next, .. } = &mut *state;
            let client = clients.entry(id).or_default();
            client.taken += 1;
            // Behind all others.
            client.stand_in_line(id, of_one, next);
            let turn = Turn {
                turns: Arc::clone(turns),
                client: id,
            };
            served.push((waiter.told, turn));
        }
    }
    drop(state);
    for (told, turn) in served {
        // If nobody waits any more, the turn comes back by being dropped here, outside the lock.
        let _ = told.send(Told::Turn(turn));
    }
}

impl Client {
    /// Puts it among those who are next, if it waits and may have more.
    fn stand_in_line(&mut self, id: ClientId, of_one: usize, next: &mut VecDeque<ClientId>) {
        if !self.is_next && !self.queue.is_empty() && self.taken < of_one {
            self.is_next = true;
            next.push_back(id);
        }
    }
}

impl State {
    /// Takes the first waiter of a client out of its queue that `is` the one.
    fn take_out(
        &mut self,
        shared: &Shared,
        id: ClientId,
        is: impl Fn(&Waiter) -> bool,
    ) -> Option<Waiter> {
        let client = self.clients.get_mut(&id)?;
        let at = client.queue.iter().position(is)?;
        let waiter = client.queue.remove(at)?;
        self.waiting -= 1;
        shared.waiting.store(self.waiting, Ordering::Relaxed);
        if let Some(count) = self.wanted.get_mut(&waiter.work) {
            *count -= 1;
            if *count == 0 {
                self.wanted.remove(&waiter.work);
            }
        }
        self.forget_if_idle(id);
        Some(waiter)
    }

    fn forget_if_idle(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        if client.taken > 0 || !client.queue.is_empty() {
            return;
        }
        if client.is_next {
            self.next.retain(|next| *next != id);
        }
        self.clients.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn client(number: u64) -> ClientId {
        ClientId::number(number)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    /// A client's wishes, each a piece of work of its own.
    struct Wishes<'a> {
        turns: &'a Turns,
        /// What it waits for, the oldest first.
        waiting: VecDeque<std::pin::Pin<Box<dyn Future<Output = TurnOutcome> + Send>>>,
        taken: Vec<Turn>,
        id: ClientId,
        served: usize,
    }

    impl<'a> Wishes<'a> {
        fn of(turns: &'a Turns, number: u64) -> Self {
            Wishes {
                turns,
                waiting: VecDeque::new(),
                taken: Vec::new(),
                id: client(number),
                served: 0,
            }
        }

        fn want(&mut self, count: usize) {
            for _ in 0..count {
                let work = fastrand::u64(..);
                match self.turns.ask(self.id, work) {
                    TurnReply::Now(turn) => {
                        self.served += 1;
                        self.taken.push(turn);
                    }
                    TurnReply::Later(wait) => self.waiting.push_back(Box::pin(wait.turn(far()))),
                    TurnReply::Full(_) => panic!("there is room"),
                }
            }
        }

        /// Takes what it has been given meanwhile, which must be in order.
        fn take(&mut self) {
            while let Some(next) = self.waiting.front_mut() {
                match next.now_or_never() {
                    Some(TurnOutcome::Turn(turn)) => self.taken.push(turn),
                    Some(_) => panic!("nobody else has begun it"),
                    None => break,
                }
                self.served += 1;
                self.waiting.pop_front();
            }
            for later in &mut self.waiting {
                assert!(later.now_or_never().is_none(), "out of order");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_so_many_and_does_not_keep_others_from_theirs() {
        let turns = Turns::new(2, 100);
        let (mut greedy, mut small) = (Wishes::of(&turns, 1), Wishes::of(&turns, 2));
        greedy.want(10);
        assert_eq!((greedy.taken.len(), greedy.waiting.len()), (2, 8));
        small.want(2);
        assert_eq!((small.taken.len(), small.waiting.len()), (2, 0));
        small.taken.clear();
        greedy.take();
        assert_eq!(greedy.served, 2);
        greedy.taken.pop();
        greedy.take();
        assert_eq!((greedy.served, greedy.waiting.len()), (3, 7));
        drop(greedy);
        assert_eq!(turns.in_use(), (0, 0));
        assert!(turns.0.state.lock().clients.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_have_together_goes_round() {
        let turns = Turns::new(100, 4);
        let mut clients: Vec<_> = (0..3).map(|number| Wishes::of(&turns, number)).collect();
        clients[0].want(50);
        clients[1].want(3);
        clients[2].want(50);
        // Each time that one is given back, another client has the next one.
        for _ in 0..6 {
            clients[0].taken.pop();
            clients.iter_mut().for_each(Wishes::take);
        }
        let served: Vec<_> = clients.iter().map(|it| it.served).collect();
        assert_eq!(served, [4 + 2, 2, 2]);
        clients[2].taken.clear();
        clients[1].taken.clear();
        clients.iter_mut().for_each(Wishes::take);
        let served: Vec<_> = clients.iter().map(|it| it.served).collect();
        assert_eq!(served, [4 + 4, 3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_is_in_force_at_once() {
        let turns = Turns::new(1, 100);
        let mut wishes = Wishes::of(&turns, 1);
        wishes.want(5);
        turns.set(3);
        wishes.take();
        assert_eq!(wishes.served, 3);
        turns.set(1);
        wishes.taken.pop();
        wishes.taken.pop();
        wishes.take();
        assert_eq!(wishes.served, 3);
        wishes.taken.pop();
        wishes.take();
        assert_eq!(wishes.served, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_it_takes_too_long_or_another_one_has_begun_it() {
        let turns = Turns::new(1, 100);
        let TurnReply::Now(turn) = turns.ask(client(1), 7) else {
            panic!("it is free");
        };
        let waiting = |work| match turns.ask(client(1), work) {
            TurnReply::Later(wait) => wait,
            _ => panic!("it is taken"),
        };
        let (first, second, third) = (waiting(8), waiting(9), waiting(8));
        assert_eq!(turns.in_use(), (1, 3));
        let began = Instant::now();
        let soon = began + Duration::from_secs(30);
        let TurnOutcome::TooLong(3) = second.turn(soon).await else {
            panic!("nobody gave anything back");
        };
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        turns.begun(8);
        for wait in [first, third] {
            let told = wait.turn(far()).now_or_never();
            assert!(matches!(told, Some(TurnOutcome::Begun)));
        }
        assert_eq!(turns.in_use(), (1, 0));
        drop(turn);
        assert!(turns.0.state.lock().wanted.is_empty());
    }

    #[test]
    fn the_queue_is_bounded() {
        let turns = Turns::new(0, 100);
        let mut waiting = Vec::new();
        for number in 0.. {
            match turns.ask(client(number / 5000), number) {
                TurnReply::Later(wait) => waiting.push(wait),
                TurnReply::Now(_) => panic!("nothing is free"),
                TurnReply::Full(WAITING_OF_ONE) => {}
                TurnReply::Full(_) => break,
            }
        }
        assert_eq!(waiting.len(), WAITING_OF_ALL);
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Ask { client: u64, work: u64 },
        GiveBack(usize),
        GiveUp(usize),
        Begin(u64),
        Set(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..4u64, 0..6u64).prop_map(|(client, work)| Act::Ask { client, work }),
            3 => any::<usize>().prop_map(Act::GiveBack),
            1 => any::<usize>().prop_map(Act::GiveUp),
            1 => (0..6u64).prop_map(Act::Begin),
            1 => (0..4usize).prop_map(Act::Set),
        ]
    }

    proptest! {
        /// Whatever happens, in whatever order: nobody has more than he may, and nobody waits for what is free.
        #[test]
        fn nothing_is_lost_and_nothing_is_free_while_somebody_may_have_it(
            acts in proptest::collection::vec(act(), 1..200),
        ) {
            let (turns, mut of_one, of_all) = (Turns::new(2, 5), 2, 5);
            let mut most: BTreeMap<u64, usize> = BTreeMap::new();
            let mut taken: Vec<(u64, Turn)> = Vec::new();
            let mut waiting: Vec<(u64, u64, TurnWait)> = Vec::new();
            for act in acts {
                match act {
                    Act::Ask { client: number, work } => match turns.ask(client(number), work) {
                        TurnReply::Now(turn) => taken.push((number, turn)),
                        TurnReply::Later(wait) => waiting.push((number, work, wait)),
                        TurnReply::Full(_) => prop_assert!(false, "there is room"),
                    },
                    Act::GiveBack(at) if !taken.is_empty() => {
                        drop(taken.swap_remove(at % taken.len()));
                    }
                    Act::GiveUp(at) if !waiting.is_empty() => {
                        drop(waiting.remove(at % waiting.len()));
                    }
                    Act::GiveBack(_) | Act::GiveUp(_) => {}
                    Act::Begin(work) => {
                        turns.begun(work);
                        waiting.retain_mut(|(_, wanted, wait)| match wait.told.try_recv() {
                            Ok(Told::Begun) => false,
                            Ok(Told::Turn(_)) => panic!("it was taken already"),
                            Err(_) => *wanted != work,
                        });
                    }
                    Act::Set(limit) => {
                        of_one = limit;
                        turns.set(limit);
                    }
                }
                let mut still = Vec::new();
                for (number, work, mut wait) in waiting {
                    match wait.told.try_recv() {
                        Ok(Told::Turn(turn)) => {
                            let older = still.iter().any(|(other, _, _)| *other == number);
                            prop_assert!(!older, "out of order");
                            taken.push((number, turn));
                        }
                        Ok(Told::Begun) => prop_assert!(false, "nobody has begun it"),
                        Err(_) => still.push((number, work, wait)),
                    }
                }
                waiting = still;
                let has = |number: u64| taken.iter().filter(|(it, _)| *it == number).count();
                for number in 0..4 {
                    // Who had more before the limit was lowered keeps it.
                    let may = most.get(&number).copied().unwrap_or_default().min(has(number));
                    let may = may.max(of_one);
                    prop_assert!(has(number) <= may);
                    most.insert(number, has(number));
                    let waits = waiting.iter().any(|(it, _, _)| *it == number);
                    prop_assert!(!waits || has(number) >= of_one || taken.len() >= of_all);
                }
                prop_assert!(taken.len() <= of_all);
                prop_assert_eq!(turns.in_use(), (taken.len(), waiting.len()));
            }
            drop((taken, waiting));
            prop_assert_eq!(turns.in_use(), (0, 0));
            let state = turns.0.state.lock();
            prop_assert!(state.clients.is_empty() && state.next.is_empty() && state.wanted.is_empty());
        }
    }
}
