//! From the tree of a commit to a module zip (protocol.md 5 and 6.5; cmd/go/internal/modfetch `Zip`).
//!
//! Names and sizes are looked at first. Which files a zip has depends on all of their names, so the archive that git then
//! writes is kept on disk first, in a file without a name: whatever happens, nothing of it stays behind.

mod error;
mod plan;
mod source;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::git::{Bounds, GitError};
use super::tar::{Tar, TarKind};
use super::workspace::{Promise, Workspace};
use crate::gomod::zip::{Candidate, FileAt, FileKind, ReadAt, ZipLimits, ZipWriter, select_files};
use crate::gomod::{ModulePath, Version};
pub use error::PackError;
use plan::{Listed, Plan};
use source::LICENSE;
pub use source::ModuleTree;

/// Pieces of the archive and of the zip. Bytes.
const PIECE: usize = 256 << 10;
/// Pieces on the way from one side to the other.
const AHEAD: usize = 2;
/// Entries of an archive, folders included.
const MAX_ENTRIES: usize = 1_000_000;
/// Names of the files in an archive, which are held in memory together. Bytes.
const MAX_NAMES: usize = 128 << 20;
/// The folder that everything in an archive is put in.
const TOP: &str = "prefix/";

/// Sends the zip of a module version to `out`, in pieces. The archive is unpacked in the `space`; `bounds` are its. The zip is whole only if this ends well; if it is dropped, git ends, and the zip with it.
pub async fn module_zip(
    source: ModuleTree<'_>,
    module: &ModulePath,
    version: &Version,
    space: &Workspace,
    bounds: Bounds,
    out: mpsc::Sender<Bytes>,
) -> Result<(), PackError> {
    let listed = Listed::read(source, space, bounds).await?;
    let go_mod = match listed.has_go_mod() {
        true => source.file("go.mod").await?,
        false => None,
    };
    let for_plan = go_mod.clone();
    let plan = spawn_blocking(move || listed.plan(for_plan.as_deref())).await??;
    let mut tree = Tree::unpack(source, &plan, space, bounds).await?;
    // Attributes may make another go.mod of the blob, and by that other files belong to the module.
    if !plan.paths.is_empty() && !tree.has_the(go_mod.as_deref()) {
        drop(tree);
        let whole = Plan {
            paths: Vec::new(),
            bytes: plan.all_bytes,
            _permit: None,
            ..plan
        };
        tree = Tree::unpack(source, &whole, space, bounds).await?;
    }
    if plan.wants_license
        && let Some(license) = source.root_license().await?
    {
        tree.add_license(license);
    }
    // In between, so that the thread ends when this is dropped, whoever holds the other end of `out`.
    let (sender, mut pieces) = mpsc::channel(AHEAD);
    let (module, version) = (module.clone(), version.clone());
    let writer = spawn_blocking(move || tree.write(&module, &version, Pieces::new(sender)));
    while let Some(piece) = pieces.recv().await {
        out.send(piece).await.map_err(|_| PackError::Gone)?;
    }
    writer.await?
}

/// The archive of what is to be unpacked, in a file without a name.
async fn archive(
    source: ModuleTree<'_>,
    plan: &Plan,
    space: &Workspace,
    bounds: Bounds,
) -> Result<FileAt, PackError> {
    if plan.bytes > bounds.output {
        return Err(PackError::TooLarge {
            what: "the tree of the commit",
            limit: bounds.output,
        });
    }
    let mut promise: Promise = space.promise(plan.bytes).ok_or(PackError::NoRoom)?;
    let too_large = |error| match error {
        GitError::TooMuch(limit) => PackError::TooLarge {
            what: "the tree of the commit",
            limit,
        },
        error => error.into(),
    };
    let folder = [OsStr::new(source.dir)];
    let paths: Vec<&OsStr> = match (plan.paths.as_slice(), source.dir) {
        ([], "") => Vec::new(),
        ([], _) => folder.to_vec(),
        (paths, _) => paths.iter().map(OsString::as_os_str).collect(),
    };
    let archive = source.mirror.archive(source.commit, &paths, bounds);
    let mut output = archive.await?;
    let tmp = space.temporary().to_owned();
    let (sender, mut pieces) = mpsc::channel::<Bytes>(AHEAD);
    let writer = spawn_blocking(move || -> Result<FileAt, PackError> {
        let mut file = tempfile::tempfile_in(&tmp)?;
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
            if !promise.written(piece.len() as u64) {
                return Err(PackError::NoRoom);
            }
        }
        Ok(FileAt::new(file)?)
    });
    let mut buffer = BytesMut::new();
    let mut more = true;
    while more {
        more = output.next(&mut buffer).await.map_err(too_large)?;
        let due = buffer.len() >= PIECE || (!more && !buffer.is_empty());
        if due && sender.send(buffer.split().freeze()).await.is_err() {
            // Writing failed, and says why.
            break;
        }
    }
    drop(sender);
    let file = writer.await??;
    output.end().await?;
    Ok(file)
}

/// The files of a module's folder, in the order of the archive.
struct Tree {
    archive: FileAt,
    /// All names, one behind the other.
    names: Vec<u8>,
    files: Vec<Entry>,
    /// The go.mod as it is in the archive, where line ends may not be those of the blob.
    go_mod: Option<Vec<u8>>,
    /// What the last file is, if it comes from above the module's folder.
    license: Option<Bytes>,
}

struct Entry {
    name: Range<usize>,
    kind: FileKind,
    at: u64,
    size: u64,
}

impl Tree {
    async fn unpack(
        source: ModuleTree<'_>,
        plan: &Plan,
        space: &Workspace,
        bounds: Bounds,
    ) -> Result<Self, PackError> {
        let archive = archive(source, plan, space, bounds).await?;
        let dir = source.dir.to_owned();
        spawn_blocking(move || Tree::read(archive, &dir)).await?
    }

    /// Whether its go.mod is this one, line ends apart.
    fn has_the(&self, go_mod: Option<&[u8]>) -> bool {
        let lines = |text: &[u8]| {
            text.iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect::<Vec<_>>()
        };
        self.go_mod.as_deref().map(lines) == go_mod.map(lines)
    }

    fn read(archive: FileAt, dir: &str) -> Result<Self, PackError> {
        let folder = match dir {
            "" => TOP.to_owned(),
            dir => format!("{TOP}{dir}/"),
        };
        let (mut names, mut files, mut go_mod) = (Vec::new(), Vec::new(), None);
        let mut entries = 0;
        let mut tar = Tar::new(&archive);
        while let Some(entry) = tar.next()? {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(PackError::TooMany);
            }
            let kind = match entry.kind {
                TarKind::File => FileKind::Regular,
                TarKind::Link => FileKind::Symlink,
                TarKind::Folder => continue,
            };
            // As in go, a name with a slash at its end is that of a folder.
            let name = entry.name.strip_prefix(folder.as_bytes());
            let Some(name) = name.filter(|name| !name.is_empty() && !name.ends_with(b"/")) else {
                continue;
            };
            if names.len() + name.len() > MAX_NAMES {
                return Err(PackError::TooMany);
            }
            let start = names.len();
            names.extend_from_slice(name);
            files.push(Entry {
                name: start..names.len(),
                kind,
                at: entry.at,
                size: entry.size,
            });
            // A larger one is refused by its size.
            let is_go_mod = name == b"go.mod" && kind == FileKind::Regular;
            if is_go_mod && entry.size <= ZipLimits::GO.go_mod {
                let mut content = Vec::new();
                Section::new(&archive, entry.at, entry.size).read_to_end(&mut content)?;
                go_mod = Some(content);
            }
        }
        Ok(Tree {
            archive,
            names,
            files,
            go_mod,
            license: None,
        })
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let candidate = |file: &Entry| Candidate {
            path: &self.names[file.name.clone()],
            kind: file.kind,
            size: file.size,
        };
        self.files.iter().map(candidate).collect()
    }

    fn add_license(&mut self, license: Bytes) {
        let start = self.names.len();
        self.names.extend_from_slice(LICENSE.as_bytes());
        self.files.push(Entry {
            name: start..self.names.len(),
            kind: FileKind::Regular,
            at: 0,
            size: license.len() as u64,
        });
        self.license = Some(license);
    }

    fn write(&self, module: &ModulePath, version: &Version, out: Pieces) -> Result<(), PackError> {
        let candidates = self.candidates();
        let chosen = select_files(&candidates, self.go_mod.as_deref())?;
        let mut zip = ZipWriter::new(out, module, version)?;
        for at in chosen {
            let (Some(candidate), Some(file)) = (candidates.get(at), self.files.get(at)) else {
                continue;
            };
            let name = std::str::from_utf8(candidate.path).map_err(io::Error::other)?;
            match &self.license {
                Some(license) if at + 1 == self.files.len() => {
                    zip.add(name, file.size, &mut &license[..])?;
                }
                _ => {
                    let mut content = Section::new(&self.archive, file.at, file.size);
                    zip.add(name, file.size, &mut content)?;
                }
            }
        }
        zip.finish()?;
        Ok(())
    }
}

/// A part of a file.
struct Section<'a> {
    file: &'a FileAt,
    at: u64,
    left: u64,
}

impl<'a> Section<'a> {
    fn new(file: &'a FileAt, at: u64, left: u64) -> Self {
        Section { file, at, left }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Sends what is written, in pieces.
struct Pieces {
    out: mpsc::Sender<Bytes>,
    piece: BytesMut,
}

impl Pieces {
    fn new(out: mpsc::Sender<Bytes>) -> Self {
        Pieces {
            out,
            piece: BytesMut::new(),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece.reserve(PIECE);
        }
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let sent = self.out.blocking_send(self.piece.split().freeze());
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests;
