//! Who has made a request, and who somebody is once they have shown it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::gomod::Patterns;

/// Who has made a request, as far as can be told. The default is nobody: what is done in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Where the request comes from; behind a trusted front server what that says.
    pub address: Option<IpAddr>,
    /// What the caller has shown.
    pub standing: Standing,
}

/// What a caller has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One who needs to show nothing.
    Trusted,
    /// One who has shown who they are.
    Known(Arc<Identity>),
    /// Anybody else.
    Stranger {
        /// They have shown something, and this is why it is not good; the end of a sentence that begins with it.
        showed: Option<Arc<str>>,
    },
    /// Anybody else, who has shown something that nobody can be asked about at the moment.
    Undecided {
        /// A sentence about that.
        why: Arc<str>,
    },
}

impl Default for Standing {
    fn default() -> Self {
        Standing::Stranger { showed: None }
    }
}

impl Caller {
    /// What they are called, if they have shown it: `token:ci`.
    pub fn name(&self) -> Option<String> {
        self.identity().map(Identity::to_string)
    }

    /// Who they are, if they have shown it.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.standing {
            Standing::Known(identity) => Some(identity),
            _ => None,
        }
    }
}

/// What somebody has shown who they are by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A token of ours, by its name.
    Token(Arc<str>),
    /// A token of an OpenID provider, by the provider's name here and theirs there.
    Oidc { provider: Arc<str>, id: Arc<str> },
    /// A certificate, by whom it names.
    Certificate(Arc<str>),
}

/// Somebody who has shown who they are.
#[derive(Debug)]
pub struct Identity {
    pub proof: Proof,
    /// What they belong to, by the word of who has vouched for them.
    pub groups: Vec<String>,
    /// The modules that what they have shown is good for, if that says so: of all others they are a stranger.
    pub scope: Option<Patterns>,
    /// Which rules may name them, as it was found out last.
    named: ArcSwapOption<Named>,
}

/// Which rules may name somebody.
#[derive(Debug)]
struct Named {
    /// Of which rules these are the numbers.
    edition: u64,
    numbers: Arc<[u32]>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.proof.clone(), it.groups.clone(), it.scope.clone());
        parts(self) == parts(other)
    }
}

impl Eq for Identity {}

impl Identity {
    /// By a proof that says nothing more.
    pub fn by(proof: Proof) -> Self {
        Identity {
            proof,
            groups: Vec::new(),
            scope: None,
            named: ArcSwapOption::empty(),
        }
    }

    /// Who belongs to these.
    pub fn in_groups(self, groups: Vec<String>) -> Self {
        Identity { groups, ..self }
    }

    /// As far as these modules are concerned, if they are said.
    pub fn for_modules(self, scope: Option<Patterns>) -> Self {
        Identity { scope, ..self }
    }

    /// The numbers of the rules that may name them, which `find` tells. Kept for these rules: each hit asks.
    pub(super) fn named_by(&self, edition: u64, find: impl FnOnce() -> Arc<[u32]>) -> Arc<[u32]> {
        let kept = self.named.load();
        if let Some(named) = kept.as_ref().filter(|named| named.edition == edition) {
            return Arc::clone(&named.numbers);
        }
        let numbers = find();
        let named = Named {
            edition,
            numbers: Arc::clone(&numbers),
        };
        self.named.store(Some(Arc::new(named)));
        numbers
    }
}

/// As rules name them: `token:ci`, `oidc:github:acme/app`, `cert:build-1`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proof {
            Proof::Token(name) => write!(f, "token:{name}"),
            Proof::Oidc { provider, id } => write!(f, "oidc:{provider}:{id}"),
            Proof::Certificate(name) => write!(f, "cert:{name}"),
        }
    }
}
