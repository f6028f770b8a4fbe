//! Inflating and hashing the content of entries.

use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest, Sha256};

/// Room for inflated bytes: large enough that the copy of the last 32 KiB which the inflater keeps
/// between calls does not matter, small enough to stay in the processor's cache.
const OUT: usize = 128 << 10;

/// Running sums over the content of one entry.
pub(super) struct Content {
    sha: Sha256,
    crc: crc32fast::Hasher,
    pub size: u64,
}

impl Content {
    pub(super) fn new() -> Self {
        Self {
            sha: Sha256::new(),
            crc: crc32fast::Hasher::new(),
            size: 0,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.crc.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The SHA-256 and the CRC-32; ready for the next entry afterwards.
    pub(super) fn finish(&mut self) -> ([u8; 32], u32) {
        let crc = std::mem::take(&mut self.crc).finalize();
        self.size = 0;
        (self.sha.finalize_reset().into(), crc)
    }
}

/// A deflate decoder and its output buffer, used for one entry after the other.
pub(super) struct Inflater {
    state: Decompress,
    out: Box<[u8]>,
}

/// Why content cannot be inflated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The compressed data is damaged.
    Damaged,
    /// More comes out than is allowed.
    TooLong,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            state: Decompress::new(false),
            out: vec![0; OUT].into_boxed_slice(),
        }
    }

    /// To be called before each entry.
    pub(super) fn start(&mut self) {
        self.state.reset(false);
    }

    /// Inflates `input` into `content`, which may not grow beyond `limit`. Returns how many bytes
    /// were used and whether the compressed data has come to its end; if it has not, all were.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        content: &mut Content,
        limit: u64,
    ) -> Result<(usize, bool), Fault> {
        let mut used = 0;
        loop {
            let (total_in, total_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(&input[used..], &mut self.out, FlushDecompress::None)
                .map_err(|_| Fault::Damaged)?;
            // Both are bounded by the lengths of the slices.
            let consumed = (self.state.total_in() - total_in) as usize;
            let produced = (self.state.total_out() - total_out) as usize;
            used += consumed;
            if produced as u64 > limit.saturating_sub(content.size) {
                return Err(Fault::TooLong);
            }
            content.update(&self.out[..produced]);
            if status == Status::StreamEnd {
                return Ok((used, true));
            }
            // A full output buffer may leave more to come without further input.
            if used == input.len() && produced < self.out.len() {
                return Ok((used, false));
            }
            if consumed == 0 && produced == 0 {
                return Err(Fault::Damaged);
            }
        }
    }
}
