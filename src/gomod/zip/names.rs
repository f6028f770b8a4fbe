//! What entries may be called and how large they may say they are (x/mod/zip `CheckZip`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::super::{fold, path};
use super::error::EntryName;
use super::{ZipError, ZipLimits};

pub(super) struct Names<'a> {
    prefix: String,
    limits: &'a ZipLimits,
    /// Every path seen and every parent of one, by fold key: as it is written, and whether it is a
    /// directory.
    seen: HashMap<Cow<'a, str>, (&'a str, bool)>,
    /// The parent of the last file, which is usually that of the next one too.
    last_parent: Option<&'a str>,
    total: u64,
}

impl<'a> Names<'a> {
    pub(super) fn new(prefix: String, entries: usize, limits: &'a ZipLimits) -> Self {
        Self {
            prefix,
            limits,
            seen: HashMap::with_capacity(entries),
            last_parent: None,
            total: 0,
        }
    }

    /// The sum of the declared sizes so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Checks one entry of the directory; returns its name as text and whether it is a file.
    pub(super) fn check(&mut self, raw: &'a [u8], size: u64) -> Result<(&'a str, bool), ZipError> {
        let shown = || EntryName::new(raw);
        if raw.len() > self.limits.name {
            return Err(ZipError::NameTooLong {
                name: shown(),
                limit: self.limits.name,
            });
        }
        let full = std::str::from_utf8(raw).map_err(|_| ZipError::NotUtf8 { name: shown() })?;
        let Some(name) = full.strip_prefix(self.prefix.as_str()) else {
            return Err(ZipError::WrongPrefix {
                name: shown(),
                prefix: self.prefix.clone(),
            });
        };
        let (name, is_dir) = match name.strip_suffix('/') {
            Some(dir) => (dir, true),
            None => (name, false),
        };
        if full.len() == self.prefix.len() || is_dir {
            // Go hashes directories as empty and refuses to open one with content.
            if size != 0 {
                return Err(ZipError::SizeMismatch {
                    name: shown(),
                    declared: size,
                });
            }
        }
        if full.len() == self.prefix.len() {
            return Ok((full, false));
        }
        // This includes what path.Clean would change: empty elements, dots, a slash at an end.
        path::check_file_path(name).map_err(|source| ZipError::BadName {
            name: shown(),
            source,
        })?;
        self.collide(name, is_dir)?;
        if is_dir {
            return Ok((full, false));
        }

        let base = name.rsplit('/').next().unwrap_or(name);
        // No character outside ASCII folds with a letter of "go.mod".
        if base.eq_ignore_ascii_case("go.mod") {
            if base.len() != name.len() {
                return Err(ZipError::GoModNotInRoot { name: shown() });
            }
            if name != "go.mod" {
                return Err(ZipError::GoModCase { name: shown() });
            }
        }
        self.measure(name, size)?;
        Ok((full, true))
    }

    /// Checks a file that may go into a new zip (x/mod/zip `checkFiles`); returns whether it does:
    /// what is not regular only takes part in collisions.
    pub(super) fn admit(
        &mut self,
        raw: &'a [u8],
        is_regular: bool,
        size: u64,
    ) -> Result<bool, ZipError> {
        let shown = || EntryName::new(raw);
        if raw.len() > self.limits.name {
            return Err(ZipError::NameTooLong {
                name: shown(),
                limit: self.limits.name,
            });
        }
        let name = std::str::from_utf8(raw).map_err(|_| ZipError::NotUtf8 { name: shown() })?;
        path::check_file_path(name).map_err(|source| ZipError::BadName {
            name: shown(),
            source,
        })?;
        if name.eq_ignore_ascii_case("go.mod") && name != "go.mod" {
            return Err(ZipError::GoModCase { name: shown() });
        }
        self.collide(name, false)?;
        if is_regular {
            self.measure(name, size)?;
        }
        Ok(is_regular)
    }

    fn measure(&mut self, name: &str, size: u64) -> Result<(), ZipError> {
        self.total = self
            .total
            .checked_add(size)
            .filter(|&total| total <= self.limits.total)
            .ok_or(ZipError::TotalTooLarge {
                limit: self.limits.total,
            })?;
        let limit = match name {
            "go.mod" => self.limits.go_mod,
            "LICENSE" => self.limits.license,
            _ => u64::MAX,
        };
        if size > limit {
            return Err(ZipError::FileTooLarge {
                name: EntryName::new(name.as_bytes()),
                size,
                limit,
            });
        }
        Ok(())
    }

    /// x/mod/zip `collisionChecker`: no two paths equal under folding, none both file and
    /// directory, no file twice. A directory may come up any number of times.
    fn collide(&mut self, name: &'a str, is_dir: bool) -> Result<(), ZipError> {
        let (mut name, mut is_dir) = (name, is_dir);
        loop {
            let shown = || EntryName::new(name.as_bytes());
            match self.seen.entry(fold::key(name)) {
                Slot::Vacant(slot) => {
                    slot.insert((name, is_dir));
                    if self.seen.len() > self.limits.entries.saturating_mul(2) {
                        return Err(ZipError::TooManyEntries {
                            limit: self.limits.entries,
                        });
                    }
                }
                Slot::Occupied(slot) => {
                    let (other, other_is_dir) = *slot.get();
                    if other != name {
                        return Err(ZipError::Collision {
                            name: shown(),
                            other: EntryName::new(other.as_bytes()),
                        });
                    }
                    if other_is_dir != is_dir {
                        return Err(ZipError::FileAndDirectory { name: shown() });
                    }
                    if !is_dir {
                        return Err(ZipError::Duplicate { name: shown() });
                    }
                    // Its parents have been seen with it.
                    return Ok(());
                }
            }
            let Some((parent, _)) = name.rsplit_once('/') else {
                return Ok(());
            };
            if self.last_parent == Some(parent) {
                return Ok(());
            }
            // Either it passes now, or the zip is refused.
            self.last_parent = Some(parent);
            (name, is_dir) = (parent, true);
        }
    }
}
