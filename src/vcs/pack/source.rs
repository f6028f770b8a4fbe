//! What is to be packed.

use bytes::Bytes;

use super::error::PackError;
use crate::vcs::git::GitError;
use crate::vcs::mirror::{Mirror, MirrorError};
use crate::vcs::refs::ObjectId;

/// The license of the repository, which goes with a module that has none.
pub(super) const LICENSE: &str = "LICENSE";

/// The folder of a module in a commit.
#[derive(Clone, Copy)]
pub struct ModuleTree<'a> {
    /// Where it comes from.
    pub mirror: &'a Mirror,
    /// A commit whose tree is there.
    pub commit: &'a ObjectId,
    /// The folder of the module, without slashes at its ends; empty for all of the tree.
    pub dir: &'a str,
}

impl ModuleTree<'_> {
    /// A file in the module's folder, as it is stored.
    pub(super) async fn file(self, name: &str) -> Result<Option<Bytes>, PackError> {
        let path = match self.dir {
            "" => name.to_owned(),
            dir => format!("{dir}/{name}"),
        };
        Ok(self.mirror.file(self.commit, &path).await?)
    }

    /// The text of the `LICENSE` in the repository's root, if there is one.
    pub(super) async fn root_license(self) -> Result<Option<Bytes>, PackError> {
        match self.mirror.file(self.commit, LICENSE).await {
            Err(MirrorError::Git(GitError::TooMuch(limit))) => Err(PackError::TooLarge {
                what: "the LICENSE in the repository's root",
                limit,
            }),
            license => Ok(license?),
        }
    }
}
