//! Fair shares: what one client may take, and what others notice of it.

use crate::support::server::Builder;
use crate::support::*;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Clients, each at an address of its own.
const GREEDY: [u8; 4] = [127, 0, 0, 2];
const SMALL: [u8; 4] = [127, 0, 0, 3];

fn modules(name: &str, count: usize) -> Vec<Module> {
    let module = |number| Module::new(&format!("example.com/{name}{number}"), "v1.0.0");
    (0..count).map(module).collect()
}

/// An upstream that has all of these.
fn upstream(all: &[&[Module]]) -> FakeUpstream {
    let up = FakeUpstream::start();
    for module in all.iter().copied().flatten() {
        up.add(module);
    }
    up
}

/// A server that asks for nothing that nobody has asked for.
fn server(up: &FakeUpstream, limits: &str) -> Builder {
    let quiet = larder().of(up).set("prefetch.enabled", "false");
    quiet.config(&format!("[limits]\n{limits}\n"))
}

/// A connection of this client on which a request has been sent.
fn ask(from: impl Into<IpAddr>, addr: SocketAddr, path: &str) -> Conn {
    let mut conn = Conn::open_from(from.into(), addr).unwrap();
    conn.write(&Request::get(path).bytes(addr)).unwrap();
    conn
}

fn get(from: impl Into<IpAddr>, addr: SocketAddr, path: &str) -> Response {
    ask(from, addr, path).response(false).unwrap()
}

fn metric(larder: &Larder, name: &str) -> u64 {
    let metrics = larder.metrics();
    let mut values = metrics.lines().filter_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.parse().ok()
    });
    values.next().unwrap_or_else(|| panic!("no {name}"))
}

fn limited(larder: &Larder, limit: &str, action: &str) -> u64 {
    let labels = format!("limit=\"{limit}\",action=\"{action}\"");
    metric(larder, &format!("larder_limited_total{{{labels}}}"))
}

fn wait_waiting(larder: &Larder, count: u64) {
    let what = format!("{count} requests waiting");
    until(&what, || {
        (metric(larder, "larder_limited_waiting") == count).then_some(())
    });
}

/// How long the upstream takes for what the small one asks for.
const LATENCY: Duration = Duration::from_millis(300);

/// How long a build takes that has two steps, if less than that, beside somebody who has asked for 300 modules at once of an
/// upstream that gives none of them meanwhile; and what comes of those then.
fn small_beside_greedy(limit: usize, most: Duration) -> (Option<Duration>, Vec<Response>) {
    let (many, few) = (modules("greedy", 300), modules("small", 4));
    let up = upstream(&[&many, &few]);
    let gate = Gate::new();
    up.rule("/example.com/greedy*", Fault::gate(&gate));
    up.rule("*", Fault::delay(LATENCY));
    let larder = server(&up, &format!("misses_per_client = {limit}")).start();
    let addr = larder.addr();
    let asked = many.iter().map(|it| ask(GREEDY, addr, &it.url("mod")));
    let greedy: Vec<Conn> = asked.collect();
    match limit {
        // All places at the upstream.
        0 => gate.wait_arrived(64),
        _ => wait_waiting(&larder, (many.len() - limit) as u64),
    }
    let began = Instant::now();
    let small = few.chunks(2).all(|step| {
        let asked = step.iter().map(|it| ask(SMALL, addr, &it.url("mod")));
        let asked: Vec<Conn> = asked.collect();
        asked.into_iter().all(|mut conn| {
            conn.deadline(most);
            conn.response(false).is_ok_and(|answer| answer.is_ok())
        })
    });
    let took = began.elapsed();
    gate.open();
    // Without a limit it is not about them.
    let answers = greedy.into_iter().filter(|_| limit > 0);
    let answers = answers.map(|mut conn| conn.response(false).unwrap());
    (small.then_some(took), answers.collect())
}

#[test]
fn a_greedy_client_does_not_slow_down_a_small_one() {
    let _heavy = heavy();
    let alone = 2 * LATENCY;
    // With something for a machine that does other things as well.
    let fair = alone.mul_f64(1.2) + Duration::from_millis(200);
    let (took, greedy) = small_beside_greedy(32, fair);
    assert!(took.is_some_and(|took| took <= fair), "{took:?}");
    // The greedy one is delayed, and nothing worse.
    for answer in greedy {
        answer.ok();
    }
    // Without the limit it takes longer: this test can fail.
    assert_eq!(small_beside_greedy(0, fair).0, None);
}

#[test]
fn what_waits_holds_up_neither_hits_nor_others_and_a_reload_lets_it_go_on() {
    let (all, kept) = (modules("m", 6), modules("kept", 1));
    let up = upstream(&[&all, &kept]);
    let limits = |count: usize| format!("[limits]\nmisses_per_client = {count}\n");
    let builder = server(&up, "misses_per_client = 2");
    let file = builder.home().join("larder.toml");
    let larder = builder.start();
    let addr = larder.addr();
    larder.get_hit(&kept[0].url("zip"));
    let gate = Gate::new();
    up.rule("/example.com/m*", Fault::gate(&gate));
    let mut asked: Vec<Conn> = all
        .iter()
        .map(|it| ask(GREEDY, addr, &it.url("mod")))
        .collect();
    gate.wait_arrived(2);
    wait_waiting(&larder, 4);
    // Hits of the same client, the short way and the long one.
    get(GREEDY, addr, &kept[0].url("zip")).ok();
    get(GREEDY, addr, &format!("/cached-only{}", kept[0].url("zip"))).ok();
    // Who wants what is under way joins it, in whosever turn it was begun …
    let begun: Vec<&Module> = all
        .iter()
        .filter(|it| up.count(&it.url("mod")) > 0)
        .collect();
    assert_eq!(begun.len(), 2);
    asked.push(ask(GREEDY, addr, &begun[0].url("mod")));
    asked.push(ask(SMALL, addr, &begun[0].url("mod")));
    // … and another client begins what the first one still waits for, which need not wait any more.
    let waits = all.iter().find(|it| up.count(&it.url("mod")) == 0).unwrap();
    asked.push(ask(SMALL, addr, &waits.url("mod")));
    gate.wait_arrived(3);
    wait_waiting(&larder, 3);
    assert_eq!(gate.arrived(), 3);
    std::fs::write(&file, limits(4)).unwrap();
    larder.run(&["reload"]).expect(0);
    gate.wait_arrived(5);
    wait_waiting(&larder, 1);
    gate.open();
    for mut conn in asked {
        conn.response(false).unwrap().ok();
    }
    for module in &all {
        assert_eq!(up.count(&module.url("mod")), 1);
    }
    wait_waiting(&larder, 0);
    assert_eq!(limited(&larder, "misses_per_client", "delayed"), 4);
    assert_eq!(limited(&larder, "misses_per_client", "refused"), 0);
}

#[test]
fn beyond_the_queue_is_503_with_a_time_and_the_key() {
    let all = modules("m", 4);
    let up = upstream(&[&all]);
    let gate = Gate::new();
    up.rule("*/m0/*", Fault::gate(&gate));
    let larder = server(&up, "misses_per_client = 1\nqueue = \"200ms\"").start();
    let addr = larder.addr();
    let mut first = ask(GREEDY, addr, &all[0].url("mod"));
    gate.wait_arrived(1);
    for path in [all[1].url("zip"), all[2].list_url()] {
        let refused = get(GREEDY, addr, &path);
        let text = refused.refuses(&[503]);
        let said = "client 127.0.0.2 has 1 request waiting (limits.misses_per_client)";
        assert!(text.starts_with(said), "{text}");
        assert!(text.contains("limits.queue"), "{text}");
        let seconds = refused.header("retry-after").unwrap();
        assert!(seconds.parse::<u64>().unwrap() > 0);
    }
    // Nobody else notices.
    get(SMALL, addr, &all[1].url("zip")).ok();
    gate.open();
    first.response(false).unwrap().ok();
    // It is not remembered.
    get(GREEDY, addr, &all[2].list_url()).ok();
    assert_eq!(limited(&larder, "misses_per_client", "refused"), 2);
    assert_eq!(metric(&larder, "larder_limited_waiting"), 0);
}

#[test]
fn who_leaves_while_waiting_is_forgotten_and_his_fetches_keep_their_turns() {
    let all = modules("m", 3);
    let up = upstream(&[&all]);
    let gate = Gate::new();
    up.rule("*", Fault::gate(&gate));
    let larder = server(&up, "misses_per_client = 1").start();
    let addr = larder.addr();
    let first = ask(GREEDY, addr, &all[0].url("mod"));
    gate.wait_arrived(1);
    let second = ask(GREEDY, addr, &all[1].url("mod"));
    wait_waiting(&larder, 1);
    drop((first, second));
    wait_waiting(&larder, 0);
    // What he has begun goes on, and counts.
    let mut third = ask(GREEDY, addr, &all[2].url("mod"));
    wait_waiting(&larder, 1);
    assert_eq!(up.total(), 1);
    gate.open();
    third.response(false).unwrap().ok();
    assert_eq!(up.count(&all[1].url("mod")), 0);
}

#[test]
fn some_have_no_limits_by_address_or_by_name() {
    let all = modules("m", 3);
    let up = upstream(&[&all]);
    let gate = Gate::new();
    up.rule("*", Fault::gate(&gate));
    let limits = "misses_per_client = 1\nexempt = [\"127.0.0.2\", \"token:ci-*\"]";
    let larder = server(&up, limits).listen("0.0.0.0:0").start();
    let addr = SocketAddr::from(([127, 0, 0, 1], larder.addr().port()));
    let made = larder.run(&["token", "new", "ci-1"]).expect(0).stdout;
    let token = format!("Bearer {}", made.split_whitespace().last().unwrap());
    let mut asked: Vec<Conn> = Vec::new();
    for module in &all {
        asked.push(ask(GREEDY, addr, &module.url("mod")));
        let mut conn = Conn::open_from(SMALL.into(), addr).unwrap();
        let request = Request::get(&module.url("zip")).header("Authorization", &token);
        conn.write(&request.bytes(addr)).unwrap();
        asked.push(conn);
    }
    gate.wait_arrived(6);
    // The same address without the token has its limit.
    asked.push(ask(SMALL, addr, &all[0].url("info")));
    gate.wait_arrived(7);
    asked.push(ask(SMALL, addr, &all[1].url("info")));
    wait_waiting(&larder, 1);
    gate.open();
    for mut conn in asked {
        conn.response(false).unwrap().ok();
    }
}

#[test]
fn the_real_go_command_ends_under_a_limit_of_two() {
    let all = modules("m", 24);
    let requirements: Vec<String> = all
        .iter()
        .map(|it| format!("{} {}", it.path, it.version))
        .collect();
    let up = upstream(&[&all]);
    up.latency(Duration::from_millis(5));
    for prefetch in ["false", "true"] {
        let builder = larder().of(&up).set("prefetch.enabled", prefetch);
        let larder = builder.config("[limits]\nmisses_per_client = 2\n").start();
        let go = Go::new(&larder.url()).env("GOMAXPROCS", "8");
        go.module(&requirements.iter().map(String::as_str).collect::<Vec<_>>());
        go.ok(&["mod", "download", "all"]);
        assert_eq!(limited(&larder, "misses_per_client", "refused"), 0);
        let delayed = limited(&larder, "misses_per_client", "delayed");
        assert!(prefetch == "true" || delayed > 0);
    }
}

#[test]
fn requests_a_second_delay_hits_and_refuse_beyond_the_queue() {
    let all = modules("m", 2);
    let up = upstream(&[&all]);
    let builder = server(&up, "requests_per_second = 1");
    let file = builder.home().join("larder.toml");
    let larder = builder.start();
    let addr = larder.addr();
    let path = all[0].url("mod");
    larder.get_hit(&path);
    // 32 hits at once are two seconds' worth, and the next 16 take a second.
    let mut conn = Conn::open_from(GREEDY.into(), addr).unwrap();
    let began = Instant::now();
    let mut hits = |count: usize| {
        for _ in 0..count {
            conn.write(&Request::get(&path).bytes(addr)).unwrap();
            conn.response(false).unwrap().ok();
        }
    };
    hits(48);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(limited(&larder, "requests_per_second", "delayed") > 0);
    std::fs::write(&file, "[limits]\nrequests_per_second = 1\nqueue = \"0s\"\n").unwrap();
    larder.run(&["reload"]).expect(0);
    // A miss is as much as all that.
    let refused = get(GREEDY, addr, &all[1].url("mod"));
    let text = refused.refuses(&[503]);
    assert!(text.contains("(limits.requests_per_second)"), "{text}");
    assert!(refused.header("retry-after").is_some());
    get(SMALL, addr, &all[1].url("mod")).ok();
    assert_eq!(up.count(&all[1].url("mod")), 1);
}

#[test]
fn bytes_a_second_slow_down_bodies_and_refuse_nothing() {
    let module = Module::new("example.com/big", "v1.0.0").file("data", zip::noise(1_600_000, 8));
    let up = upstream(&[std::slice::from_ref(&module)]);
    let larder = server(&up, "bytes_per_second = \"500KB\"").start();
    let addr = larder.addr();
    let zip = module.zip_bytes();
    // Whoever has had little lately has two seconds' worth at once: of a miss, …
    let began = Instant::now();
    assert_eq!(get(GREEDY, addr, &module.url("zip")).ok(), zip);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // … and of a hit.
    larder.wait_kept(&[module.url("zip")]);
    let began = Instant::now();
    assert_eq!(get(SMALL, addr, &module.url("zip")).ok(), zip);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    let delayed = limited(&larder, "bytes_per_second", "delayed");
    assert!(delayed >= 2, "{delayed}");
}

/// A client has an entry where its requests and its bytes are counted; `kit::pace` forgets those above 65,536.
#[test]
fn many_addresses_take_little_memory() {
    let _heavy = heavy();
    const PIPELINED: usize = 500;
    let all = modules("m", 1);
    let up = upstream(&[&all]);
    let larder = server(
        &up,
        "requests_per_second = 1000\nbytes_per_second = \"1GB\"",
    )
    .set("log.access", "false")
    .start();
    let addr = larder.addr();
    let path = all[0].url("mod");
    larder.get_hit(&path);
    let mut conn = Conn::open(addr).unwrap();
    let request = |address: u32| {
        let address = std::net::Ipv4Addr::from_bits(address).to_string();
        let request = Request::get(&path).header("X-Forwarded-For", &address);
        request.bytes(addr)
    };
    conn.write(&request(1)).unwrap();
    let answer = conn.head().unwrap();
    assert_eq!(answer.status, 200);
    // All answers are of one length.
    let lines = answer.headers.iter();
    let head: usize = lines
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let body = conn.read_exact(all[0].mod_bytes().len());
    let length = "HTTP/1.1 200 OK\r\n".len() + head + "\r\n".len() + body.len();
    let mut ask = |addresses: std::ops::Range<u32>| {
        let addresses: Vec<u32> = addresses.collect();
        for some in addresses.chunks(PIPELINED) {
            let requests: Vec<u8> = some.iter().flat_map(|it| request(*it)).collect();
            conn.write(&requests).unwrap();
            let answers = conn.read_exact(some.len() * length);
            let ok = answers.chunks(length);
            assert!(ok.into_iter().all(|it| it.starts_with(b"HTTP/1.1 200")));
        }
        larder.memory().now
    };
    let before = ask(0x0a00_0000..0x0a00_0400);
    let after = ask(0x0b00_0000..0x0b00_2000);
    let grown = after.saturating_sub(before);
    assert!(grown < 5 << 20, "{before} bytes, then {after}");
}
