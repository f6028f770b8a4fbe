//! What a [`FakeUpstream`](super::FakeUpstream) can do wrong, and the gates that replace sleeps.

use super::DEADLINE;
use bytes::Bytes;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A barrier that the test opens: whoever waits at it is counted, so the test can wait for them too.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Gate {
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    pub fn arrived(&self) -> usize {
        self.0.0.lock().unwrap().arrived
    }

    /// Returns once `n` have come to the gate since it was made.
    pub fn wait_arrived(&self, n: usize) {
        let (state, changed) = &*self.0;
        let (state, result) = changed
            .wait_timeout_while(state.lock().unwrap(), DEADLINE, |s| s.arrived < n)
            .unwrap();
        assert!(
            !result.timed_out(),
            "only {} of {n} came to the gate",
            state.arrived
        );
    }

    /// Waits to be let through; false if `gone` became true or the deadline passed.
    pub fn pass(&self, gone: impl Fn() -> bool) -> bool {
        let (state, changed) = &*self.0;
        let started = Instant::now();
        let mut state = state.lock().unwrap();
        state.arrived += 1;
        changed.notify_all();
        while !state.open {
            if gone() || started.elapsed() > 2 * DEADLINE {
                return false;
            }
            let tick = Duration::from_millis(20);
            state = changed.wait_timeout(state, tick).unwrap().0;
        }
        true
    }
}

/// What happens once a number of body bytes are out.
#[derive(Clone, Debug)]
pub enum At {
    Cut,
    Reset,
    Hang,
    Gate(Gate),
    Delay(Duration),
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Length {
    #[default]
    Exact,
    Declared(u64),
    Chunked,
    UntilClose,
}

/// How one request is answered in place of the plain truth. Parts combine.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    pub gate: Option<Gate>,
    pub delay: Duration,
    pub hang: bool,
    pub close: bool,
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Body>,
    pub at: Option<(u64, At)>,
    pub length: Length,
    pub rate: Option<u64>,
    pub gzip: bool,
}

impl Fault {
    /// The truth, told at the same pace: a start for the builders below.
    pub fn none() -> Fault {
        Fault::default()
    }

    /// Takes the request and never answers.
    pub fn hang() -> Fault {
        Fault {
            hang: true,
            ..Fault::default()
        }
    }

    /// Takes the request and closes the connection.
    pub fn close() -> Fault {
        Fault {
            close: true,
            ..Fault::default()
        }
    }

    /// Waits at the gate before the head, then tells the truth.
    pub fn gate(gate: &Gate) -> Fault {
        Fault {
            gate: Some(gate.clone()),
            ..Fault::default()
        }
    }

    pub fn delay(delay: Duration) -> Fault {
        Fault {
            delay,
            ..Fault::default()
        }
    }

    pub fn status(status: u16) -> Fault {
        Fault {
            status: Some(status),
            ..Fault::default()
        }
        .body(format!("upstream says {status}\n"))
    }

    /// A page as captive portals and broken load balancers send it, with status 200.
    pub fn html() -> Fault {
        Fault::none()
            .header("Content-Type", "text/html")
            .body("<!DOCTYPE html>\n<html><body>Please log in</body></html>\n")
    }

    pub fn redirect(to: &str) -> Fault {
        Fault::status(302).header("Location", to)
    }

    pub fn at(n: u64, at: At) -> Fault {
        Fault {
            at: Some((n, at)),
            ..Fault::default()
        }
    }

    /// Ends the connection politely after `n` body bytes.
    pub fn cut(n: u64) -> Fault {
        Fault::at(n, At::Cut)
    }

    /// Resets the connection after `n` body bytes.
    pub fn reset(n: u64) -> Fault {
        Fault::at(n, At::Reset)
    }

    /// Goes silent after `n` body bytes.
    pub fn stall(n: u64) -> Fault {
        Fault::at(n, At::Hang)
    }

    /// Waits at the gate after `n` body bytes.
    pub fn gate_at(n: u64, gate: &Gate) -> Fault {
        Fault::at(n, At::Gate(gate.clone()))
    }

    /// Sends the body at so many bytes a second.
    pub fn rate(rate: u64) -> Fault {
        Fault {
            rate: Some(rate),
            ..Fault::default()
        }
    }

    pub fn length(length: Length) -> Fault {
        Fault {
            length,
            ..Fault::default()
        }
    }

    /// Compresses the body though nobody asked for it.
    pub fn gzip() -> Fault {
        Fault {
            gzip: true,
            ..Fault::default()
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Fault {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Body>) -> Fault {
        self.body = Some(body.into());
        self
    }

    pub fn with_length(mut self, length: Length) -> Fault {
        self.length = length;
        self
    }

    pub fn with_rate(mut self, rate: u64) -> Fault {
        self.rate = Some(rate);
        self
    }

    pub fn with_gate(mut self, gate: &Gate) -> Fault {
        self.gate = Some(gate.clone());
        self
    }
}

/// A body that is kept, or one that is too large to keep.
#[derive(Clone)]
pub enum Body {
    Bytes(Bytes),
    Repeat { unit: Bytes, len: u64 },
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gate")
    }
}

impl Body {
    /// `unit` over and over, `len` bytes in all.
    pub fn repeat(unit: &[u8], len: u64) -> Body {
        // A whole number of units near 64 KiB, so that slices are cheap.
        let unit = unit.repeat((64 << 10) / unit.len() + 1);
        Body::Repeat {
            unit: Bytes::from(unit),
            len,
        }
    }

    pub fn len(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Repeat { len, .. } => *len,
        }
    }

    /// At most `max` bytes from `at` on.
    pub fn slice(&self, at: u64, max: usize) -> Bytes {
        match self {
            Body::Bytes(bytes) => {
                let at = at as usize;
                bytes.slice(at..bytes.len().min(at + max))
            }
            Body::Repeat { unit, len } => {
                let offset = (at % unit.len() as u64) as usize;
                let left = usize::try_from(len - at).unwrap_or(usize::MAX);
                unit.slice(offset..unit.len().min(offset + max.min(left)))
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Bytes(bytes.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Bytes(text.into())
    }
}
