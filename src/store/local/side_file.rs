//! A small file of the data directory beside the index, replaced as a whole.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A file by its name in the data directory.
#[derive(Clone, Debug)]
pub struct SideFile {
    data: PathBuf,
    name: String,
}

impl SideFile {
    /// In this data directory.
    pub fn new(data: &Path, name: impl Into<String>) -> Self {
        SideFile {
            data: data.to_owned(),
            name: name.into(),
        }
    }

    /// What it has, up to so many bytes; `None` if it is not there.
    pub fn read(&self, largest: u64) -> io::Result<Option<String>> {
        let file = match File::open(self.data.join(&self.name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        file.take(largest).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// Replaces it; readable for nobody else.
    pub fn replace(&self, content: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::new_in(self.data.join("tmp"))?;
        temporary.write_all(content)?;
        temporary.as_file().sync_all()?;
        let path = self.data.join(&self.name);
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

impl fmt::Display for SideFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.data.join(&self.name).display())
    }
}
