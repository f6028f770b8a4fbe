//! Small bodies that can be what was asked for.

use bytes::Bytes;

use super::{FileKey, Key, Kind, Meta, MetaKey};
use crate::gomod::{VersionList, check, list};

/// The body of an answer that can be what was asked for.
#[derive(Clone, Debug)]
pub struct CheckedBody {
    /// As it came.
    pub body: Bytes,
    /// Of a list, what is taken from it.
    pub list: Option<VersionList>,
}

impl CheckedBody {
    /// Checks what came for a key. The error is a text for people.
    pub fn new(key: &Key, body: &Bytes) -> Result<Self, String> {
        let mut list = None;
        match key {
            Key::File(FileKey {
                module,
                version,
                kind,
            }) => match kind {
                Kind::Info => check::info(version, body)?,
                Kind::Mod | Kind::Zip => check::go_mod(module, body)?,
            },
            Key::Meta(MetaKey { module, meta }) => match meta {
                Meta::List => list = Some(list::read(module, body)?),
                Meta::Latest | Meta::Query(_) => check::resolved(module, body)?,
            },
        }
        Ok(CheckedBody {
            body: body.clone(),
            list,
        })
    }
}
