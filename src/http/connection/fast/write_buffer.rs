//! An answer that has still to be sent.

use std::io::IoSlice;

use bytes::Bytes;

/// A buffer for answers that is kept between them. Bytes.
const KEPT: usize = 8 << 10;

/// An answer that has still to be sent.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    /// Its head, and its body if that is small.
    pub bytes: Vec<u8>,
    /// Its body if it is not.
    pub rest: Bytes,
    sent: usize,
}

impl WriteBuffer {
    /// What is left, in two parts.
    pub fn left(&self) -> [IoSlice<'_>; 2] {
        let at = self.sent.min(self.bytes.len());
        let rest = &self.rest[self.sent - at..];
        [IoSlice::new(&self.bytes[at..]), IoSlice::new(rest)]
    }

    /// Whether nothing is.
    pub fn is_sent(&self) -> bool {
        self.sent >= self.bytes.len() + self.rest.len()
    }

    /// So much of it has been sent.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_sent() {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.rest = Bytes::new();
        }
    }
}
