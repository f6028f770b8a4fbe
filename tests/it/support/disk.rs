//! A small disk of its own for a test: a tmpfs, which only root can mount.

use super::server::Builder;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A small file system below a server's home; gone when dropped.
pub struct SmallDisk {
    path: PathBuf,
    /// The folder must outlive the mount.
    _builder: Builder,
}

impl SmallDisk {
    /// Mounts one at `folder` below the home of the server to be; none, with a word of why, where that is not permitted.
    pub fn mount(builder: &Builder, folder: &str, megabytes: u32) -> Option<SmallDisk> {
        let path = builder.home().join(folder);
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "larder-test"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk {
                path,
                _builder: builder.clone(),
            }),
            other => {
                eprintln!(
                    "SKIPPED: a small file system cannot be mounted here (not root?): {other:?}"
                );
                None
            }
        }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all but so many bytes.
    #[track_caller]
    pub fn fill(&self, leave: u64) {
        let name = self.path.join("filler");
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(name)
            .unwrap();
        let block = [7; 4096];
        while self.free() > leave && file.write_all(&block).is_ok() {}
        assert!(self.free() <= leave, "{} bytes are free", self.free());
    }

    /// Gives it back.
    pub fn empty(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }

    /// Has nothing written to it any more, or lets it be again.
    #[track_caller]
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount")
            .args(["-o", options])
            .arg(&self.path)
            .status();
        assert!(done.unwrap().success(), "{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
