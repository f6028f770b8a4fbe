//! Hashing entries while the zip arrives (performance.md 3).

use std::ops::Range;

use super::ZipLimits;
use super::content::{Content, Inflater};
use super::structures::{
    Bytes, DEFLATED, DESCRIPTOR_LENS, DIRECTORY_SIGNATURE, END_SIGNATURE, END64_SIGNATURE,
    FLAGS_THAT_MATTER, HAS_DESCRIPTOR, LOCAL_LEN, LOCAL_SIGNATURE, LocalHeader, STORED,
    is_descriptor,
};

/// Inflates and hashes the entries of a zip from their local headers, in the order in which the
/// bytes arrive. What it finds is a guess that [`check_zip_with`](super::check_zip_with) holds
/// against the directory; at the first thing it does not understand it stops and leaves the rest
/// to that.
///
/// Memory: one inflater, a buffer of at most one local header, and about 100 bytes and the name of
/// each entry, within the limits of [`ZipLimits::GO`].
pub struct StreamHasher {
    state: State,
    /// The start of a header or descriptor of which not all bytes have arrived.
    pending: Vec<u8>,
    /// Where the first byte that is not used up stands in the file.
    position: u64,
    received: u64,
    inflater: Inflater,
    content: Content,
    /// Inflated bytes of all finished entries.
    total: u64,
    records: Vec<Record>,
    names: Vec<u8>,
}

enum State {
    Header,
    /// Compressed data up to its own end, or exactly `left` bytes.
    Deflated {
        left: Option<u64>,
    },
    Stored {
        left: u64,
    },
    Descriptor,
    /// The directory has begun, or something odd has come.
    Stopped,
}

struct Record {
    local: LocalHeader,
    name: Range<usize>,
    offset: u64,
    data: u64,
    packed: u64,
    size: u64,
    crc: u32,
    sha256: [u8; 32],
    /// 0 until the entry is complete.
    end: u64,
}

/// A complete entry as it arrived.
pub(super) struct Hashed<'a> {
    pub local: &'a LocalHeader,
    pub name: &'a [u8],
    pub offset: u64,
    /// Where the entry ends, its descriptor included.
    pub end: u64,
    pub packed: u64,
    pub size: u64,
    pub crc: u32,
    pub sha256: &'a [u8; 32],
}

const LIMITS: ZipLimits = ZipLimits::GO;

/// The longest descriptor and a signature behind it.
const DESCRIPTOR_LOOK: usize = 24 + 4;

impl Default for StreamHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamHasher {
    /// For a zip of which nothing has arrived yet.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            pending: Vec::new(),
            position: 0,
            received: 0,
            inflater: Inflater::new(),
            content: Content::new(),
            total: 0,
            records: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Takes the next bytes of the zip, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        let mut input = bytes;
        loop {
            let step = match self.state {
                State::Stopped => return,
                State::Header => self.header(&mut input),
                State::Deflated { left } => self.deflated(&mut input, left),
                State::Stored { left } => self.stored(&mut input, left),
                State::Descriptor => self.descriptor(&mut input),
            };
            match step {
                Some(Step::Goes) => {}
                Some(Step::Waits) => return,
                None => {
                    self.stop();
                    return;
                }
            }
        }
    }

    /// How many bytes have been pushed.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many entries have been hashed.
    pub fn entries(&self) -> usize {
        self.hashed().count()
    }

    /// The complete entries by ascending offset.
    pub(super) fn hashed(&self) -> impl Iterator<Item = Hashed<'_>> {
        self.records.iter().filter(|r| r.end != 0).map(|r| Hashed {
            local: &r.local,
            name: &self.names[r.name.clone()],
            offset: r.offset,
            end: r.end,
            packed: r.packed,
            size: r.size,
            crc: r.crc,
            sha256: &r.sha256,
        })
    }

    fn stop(&mut self) {
        self.state = State::Stopped;
        self.pending = Vec::new();
    }

    /// Brings `pending` to `n` bytes; false if more must arrive for that.
    fn gather(&mut self, input: &mut &[u8], n: usize) -> bool {
        let missing = n.saturating_sub(self.pending.len());
        let (head, rest) = input.split_at(missing.min(input.len()));
        self.pending.extend_from_slice(head);
        *input = rest;
        self.pending.len() >= n
    }

    fn header(&mut self, input: &mut &[u8]) -> Option<Step> {
        if !self.gather(input, 4) {
            return Some(Step::Waits);
        }
        if Bytes(&self.pending).u32() != Some(LOCAL_SIGNATURE) {
            return None;
        }
        if !self.gather(input, LOCAL_LEN) {
            return Some(Step::Waits);
        }
        let len = LocalHeader::len(&self.pending);
        if !self.gather(input, len) {
            return Some(Step::Waits);
        }
        let (local, name) = LocalHeader::parse(&self.pending)?;
        let has_descriptor = local.flags & HAS_DESCRIPTOR != 0;
        if local.flags & FLAGS_THAT_MATTER & !HAS_DESCRIPTOR != 0
            || self.records.len() == LIMITS.entries
            || (self.names.len() + name.len()) as u64 > LIMITS.directory
        {
            return None;
        }
        self.state = match local.method {
            DEFLATED => State::Deflated {
                left: (!has_descriptor).then_some(local.packed),
            },
            // With a descriptor the header usually leaves the size out, and the data does not tell
            // its end: taken as empty, which the descriptor will confirm or not.
            STORED => State::Stored { left: local.packed },
            _ => return None,
        };
        let name_start = self.names.len();
        self.names.extend_from_slice(name);
        self.records.push(Record {
            local,
            name: name_start..self.names.len(),
            offset: self.position,
            data: self.position + len as u64,
            packed: 0,
            size: 0,
            crc: 0,
            sha256: [0; 32],
            end: 0,
        });
        self.inflater.start();
        self.use_pending(len);
        Some(Step::Goes)
    }

    fn use_pending(&mut self, n: usize) {
        self.pending.drain(..n);
        self.position += n as u64;
    }

    fn deflated(&mut self, input: &mut &[u8], left: Option<u64>) -> Option<Step> {
        if left == Some(0) {
            // All of it is here, but the data has not come to its end.
            return None;
        }
        if input.is_empty() {
            return Some(Step::Waits);
        }
        let data = &input[..at_most(left, input.len())];
        let limit = LIMITS.total - self.total;
        let (used, ended) = self.inflater.feed(data, &mut self.content, limit).ok()?;
        *input = &input[used..];
        self.position += used as u64;
        let left = left.map(|left| left - used as u64);
        if !ended {
            self.state = State::Deflated { left };
            return Some(Step::Goes);
        }
        if left.is_some_and(|left| left > 0) {
            return None;
        }
        self.data_done()
    }

    fn stored(&mut self, input: &mut &[u8], left: u64) -> Option<Step> {
        if left == 0 {
            return self.data_done();
        }
        if input.is_empty() {
            return Some(Step::Waits);
        }
        let (data, rest) = input.split_at(at_most(Some(left), input.len()));
        if self.total + self.content.size + data.len() as u64 > LIMITS.total {
            return None;
        }
        self.content.update(data);
        *input = rest;
        self.position += data.len() as u64;
        self.state = State::Stored {
            left: left - data.len() as u64,
        };
        Some(Step::Goes)
    }

    fn data_done(&mut self) -> Option<Step> {
        let record = self.records.last_mut()?;
        record.packed = self.position - record.data;
        record.size = self.content.size;
        (record.sha256, record.crc) = self.content.finish();
        self.total += record.size;
        self.state = if record.local.flags & HAS_DESCRIPTOR != 0 {
            State::Descriptor
        } else {
            record.end = self.position;
            State::Header
        };
        Some(Step::Goes)
    }

    /// The length of a descriptor can only be told from what follows it.
    fn descriptor(&mut self, input: &mut &[u8]) -> Option<Step> {
        if !self.gather(input, DESCRIPTOR_LOOK) {
            return Some(Step::Waits);
        }
        let record = self.records.last_mut()?;
        let bytes = &self.pending;
        let len = DESCRIPTOR_LENS.into_iter().find(|&len| {
            is_descriptor(&bytes[..len], record.crc, record.packed, record.size)
                && Bytes(&bytes[len..]).u32().is_some_and(begins_something)
        })?;
        record.end = self.position + len as u64;
        self.use_pending(len);
        self.state = State::Header;
        Some(Step::Goes)
    }
}

/// What a step of [`StreamHasher::push`] came to; `None` where it would be is giving up.
enum Step {
    Goes,
    /// For more bytes.
    Waits,
}

fn at_most(left: Option<u64>, len: usize) -> usize {
    left.and_then(|left| usize::try_from(left).ok())
        .map_or(len, |left| left.min(len))
}

fn begins_something(signature: u32) -> bool {
    matches!(
        signature,
        LOCAL_SIGNATURE | DIRECTORY_SIGNATURE | END_SIGNATURE | END64_SIGNATURE
    )
}
