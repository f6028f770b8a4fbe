//! An immutable file of rows in the order of their keys: what has not changed lately. Rows stand in compressed blocks of
//! a few KiB; only the blocks' first keys are in memory, so a look-up costs one read, and a million rows a few MB.
//!
//! | part | what |
//! |---|---|
//! | blocks | rows, compressed with LZ4, and the CRC-32 of that |
//! | table | a row for each block: a key above all before it and not above its first, and its length |
//! | footer | length and CRC-32 of the table, number of rows, magic number |
//!
//! A row is: bytes that its key shares with the one before it in its block, length of the rest, the rest, length of the
//! value, the value; numbers are varints (LEB128).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;

use thiserror::Error;

/// Bytes of rows after which a block ends.
const BLOCK: usize = 4096;
/// Bytes after which what is written goes to disk, so that the last sync does not hold up everybody else's.
const SYNC_EVERY: u64 = 16 << 20;
const FOOTER: usize = 24;
const MAGIC: u32 = 0x6c72_6478;

/// A row: its key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Why a file of settled rows, or a block of it, cannot be read.
#[derive(Debug, Error)]
pub enum SettledError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("the settled part of the index is damaged: {0}")]
    Damaged(&'static str),
}

/// Writes a file.
pub struct SettledWriter {
    out: BufWriter<File>,
    block: Vec<u8>,
    /// The key of the last row.
    last: Vec<u8>,
    /// The key by which the block under way is found.
    first: Vec<u8>,
    table: Vec<u8>,
    /// The key of the last row of the table.
    last_first: Vec<u8>,
    rows: u64,
    unsynced: u64,
}

impl SettledWriter {
    /// Begins a file in place of what may be there.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(SettledWriter {
            out: BufWriter::with_capacity(1 << 17, File::create(path)?),
            block: Vec::new(),
            last: Vec::new(),
            first: Vec::new(),
            table: Vec::new(),
            last_first: Vec::new(),
            rows: 0,
            unsynced: 0,
        })
    }

    /// Adds a row, whose key comes after all before it.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        debug_assert!(self.rows == 0 || *key > *self.last);
        let shared = shared(&self.last, key);
        let kept = match self.block.is_empty() {
            true => {
                self.first = key[..key.len().min(shared + 1)].to_vec();
                0
            }
            false => shared,
        };
        put_key(&mut self.block, kept, key);
        put_number(&mut self.block, value.len());
        self.block.extend_from_slice(value);
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.rows += 1;
        match self.block.len() >= BLOCK {
            true => self.end_block(),
            false => Ok(()),
        }
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = lz4_flex::block::compress_prepend_size(&self.block);
        self.block.clear();
        self.out.write_all(&packed)?;
        self.out
            .write_all(&crc32fast::hash(&packed).to_be_bytes())?;
        let length = packed.len() + 4;
        put_key(
            &mut self.table,
            shared(&self.last_first, &self.first),
            &self.first,
        );
        put_number(&mut self.table, length);
        self.last_first.clone_from(&self.first);
        self.unsynced += length as u64;
        if self.unsynced >= SYNC_EVERY {
            self.out.flush()?;
            self.out.get_ref().sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Ends the file; it is durable then, though its name may not be.
    pub fn finish(mut self) -> io::Result<()> {
        self.end_block()?;
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend((self.table.len() as u64).to_be_bytes());
        footer.extend(self.rows.to_be_bytes());
        footer.extend(table_crc(&self.table, &footer).to_be_bytes());
        footer.extend(MAGIC.to_be_bytes());
        self.out.write_all(&self.table)?;
        self.out.write_all(&footer)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }
}

fn table_crc(table: &[u8], numbers: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(table);
    crc.update(numbers);
    crc.finalize()
}

/// A file to read from.
pub struct Settled {
    file: File,
    /// The blocks' first keys, one after the other, and where each ends.
    keys: Box<[u8]>,
    ends: Box<[u32]>,
    /// Where each block begins, and where the last one ends.
    offsets: Box<[u64]>,
}

impl Settled {
    /// Opens a file; its table is checked, its blocks are when they are read.
    pub fn open(path: &Path) -> Result<Self, SettledError> {
        let damaged = SettledError::Damaged;
        let file = File::open(path)?;
        let body = file.metadata()?.len().checked_sub(FOOTER as u64);
        let body = body.ok_or(damaged("it is too short"))?;
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, body)?;
        let number = |at: usize, length: usize| {
            let bytes = &footer[at..at + length];
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        if number(20, 4) != u64::from(MAGIC) {
            return Err(damaged("its end is not there"));
        }
        let blocks = body.checked_sub(number(0, 8));
        let blocks = blocks.ok_or(damaged("its table is longer than it is"))?;
        let mut table = vec![0; (body - blocks) as usize];
        file.read_exact_at(&mut table, blocks)?;
        if u64::from(table_crc(&table, &footer[..16])) != number(16, 4) {
            return Err(damaged("its table has another checksum"));
        }
        let (mut keys, mut ends, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let (mut key, mut at) = (Vec::new(), 0);
        let mut left = Reader(&table);
        while !left.0.is_empty() {
            let read = left.key(&mut key).and_then(|()| left.number());
            at += read.ok_or(damaged("its table has another form"))? as u64;
            keys.extend_from_slice(&key);
            let end = u32::try_from(keys.len()).ok();
            ends.push(end.ok_or(damaged("its table is too long"))?);
            offsets.push(at);
        }
        if at != blocks {
            return Err(damaged("its blocks have another length"));
        }
        Ok(Settled {
            file,
            keys: keys.into(),
            ends: ends.into(),
            offsets: offsets.into(),
        })
    }

    /// Bytes on disk, about.
    pub fn size(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0) + self.keys.len() as u64
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SettledError> {
        let Some(number) = self.block_of(key) else {
            return Ok(None);
        };
        let rows = self.block(number)?;
        let (mut left, mut other) = (Reader(&rows), Vec::with_capacity(128));
        while !left.0.is_empty() {
            let value = left.row(&mut other).ok_or(FORM)?;
            match other.as_slice().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(value.to_vec())),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// Rows from there on, in order. A block that is damaged gives one error in place of its rows.
    pub fn range(&self, from: Bound<Vec<u8>>) -> Rows<'_> {
        let next = match &from {
            Bound::Included(key) | Bound::Excluded(key) => self.block_of(key).unwrap_or(0),
            Bound::Unbounded => 0,
        };
        Rows {
            settled: self,
            next,
            from,
            rows: Vec::new().into_iter(),
        }
    }

    /// The block that a key is in, if it is there.
    fn block_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.first(middle) <= key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low.checked_sub(1)
    }

    fn first(&self, block: usize) -> &[u8] {
        let begin = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[begin as usize..self.ends[block] as usize]
    }

    fn block(&self, number: usize) -> Result<Vec<u8>, SettledError> {
        let (begin, end) = (self.offsets[number], self.offsets[number + 1]);
        let mut bytes = vec![0; (end - begin) as usize];
        self.file.read_exact_at(&mut bytes, begin)?;
        let (packed, crc) = bytes.split_last_chunk::<4>().ok_or(FORM)?;
        if crc32fast::hash(packed) != u32::from_be_bytes(*crc) {
            return Err(SettledError::Damaged("a block has another checksum"));
        }
        lz4_flex::block::decompress_size_prepended(packed).map_err(|_| FORM)
    }
}

const FORM: SettledError = SettledError::Damaged("a block has another form");

/// Rows in order.
pub struct Rows<'a> {
    settled: &'a Settled,
    next: usize,
    from: Bound<Vec<u8>>,
    rows: std::vec::IntoIter<Row>,
}

impl Rows<'_> {
    fn read(&self, number: usize) -> Result<Vec<Row>, SettledError> {
        let bytes = self.settled.block(number)?;
        let (mut left, mut key, mut rows) = (Reader(&bytes), Vec::new(), Vec::new());
        while !left.0.is_empty() {
            let value = left.row(&mut key).ok_or(FORM)?;
            let wanted = match &self.from {
                Bound::Included(from) => key >= *from,
                Bound::Excluded(from) => key > *from,
                Bound::Unbounded => true,
            };
            if wanted {
                rows.push((key.clone(), value.to_vec()));
            }
        }
        Ok(rows)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, SettledError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            if self.next == self.settled.ends.len() {
                return None;
            }
            self.next += 1;
            match self.read(self.next - 1) {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_key(to: &mut Vec<u8>, shared: usize, key: &[u8]) {
    put_number(to, shared);
    put_number(to, key.len() - shared);
    to.extend_from_slice(&key[shared..]);
}

fn put_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for place in 0..9 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads a key into that of the row before it.
    fn key(&mut self, key: &mut Vec<u8>) -> Option<()> {
        let shared = self.number()?;
        let rest = self.bytes()?;
        if shared > key.len() {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(rest);
        Some(())
    }

    /// The same, and gives the value.
    fn row(&mut self, key: &mut Vec<u8>) -> Option<&'a [u8]> {
        self.key(key)?;
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn rows(count: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let row = |n: u32| {
            let key = format!("version/example.com/m{}/@v/v1.{n}.0", n / 7);
            let value = vec![n as u8; (n % 97) as usize];
            (key.into_bytes(), value)
        };
        (0..count).map(row).collect()
    }

    fn written(path: &Path, rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Settled {
        let mut writer = SettledWriter::create(path).unwrap();
        for (key, value) in rows {
            writer.add(key, value).unwrap();
        }
        writer.finish().unwrap();
        Settled::open(path).unwrap()
    }

    #[test]
    fn every_row_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, 5000] {
            let mut rows = rows(count);
            rows.insert(b"state/large".to_vec(), vec![9; 3 << 20]);
            let settled = written(&dir.path().join("settled"), &rows);
            for (key, value) in &rows {
                assert_eq!(settled.get(key).unwrap().as_ref(), Some(value));
                let beside = [&key[..], b"0"].concat();
                assert_eq!(settled.get(&beside).unwrap(), None);
            }
            for absent in [&b""[..], b"a", b"version/example.com/", b"z"] {
                assert_eq!(settled.get(absent).unwrap(), None);
            }
            let all: Vec<Row> = settled
                .range(Bound::Unbounded)
                .map(Result::unwrap)
                .collect();
            assert_eq!(all, rows.clone().into_iter().collect::<Vec<_>>());
            for from in rows.keys().step_by(501) {
                let after = settled.range(Bound::Excluded(from.clone()));
                let expected = rows.range((Bound::Excluded(from.clone()), Bound::Unbounded));
                let after: Vec<_> = after.map(|row| row.unwrap().0).collect();
                assert_eq!(after, expected.map(|row| row.0.clone()).collect::<Vec<_>>());
                let there = settled.range(Bound::Included(from.clone())).next();
                assert_eq!(there.unwrap().unwrap().0, *from);
            }
        }
    }

    #[test]
    fn any_damage_is_an_error_or_hides_rows_but_never_changes_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settled");
        let rows = rows(400);
        written(&path, &rows);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let Ok(settled) = Settled::open(&path) else {
                continue;
            };
            let mut errors = 0;
            for row in settled.range(Bound::Unbounded) {
                match row {
                    Ok((key, value)) => assert_eq!(rows.get(&key), Some(&value)),
                    Err(_) => errors += 1,
                }
            }
            assert_eq!(errors, 1, "byte {at}");
        }
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Settled::open(&path).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn neighbours_take_little_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settled");
        let row = |n: u32| {
            let key = format!(
                "version/github.com/some-owner/some-name{}/@v/v1.{}.0",
                n / 9,
                n % 9
            );
            (
                key.into_bytes(),
                fastrand::Rng::with_seed(n.into())
                    .u128(..)
                    .to_be_bytes()
                    .to_vec(),
            )
        };
        let rows: BTreeMap<_, _> = (0..10_000).map(row).collect();
        written(&path, &rows);
        let per_row = path.metadata().unwrap().len() / 10_000;
        assert!(per_row < 16 + 12, "{per_row} bytes");
    }
}
