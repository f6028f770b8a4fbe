//! `[access]`: who is who, and what those may have who show nothing.

use super::codec::{FrontServer, choice, front_server, list};
use super::private::Private;
use super::reader::Reader;
use super::section::section;

/// What those may have who show nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDefault {
    /// Everything.
    Open,
    /// What is public.
    PrivateNeedsToken,
    /// Nothing.
    Closed,
}

const DEFAULTS: &[(&str, AccessDefault)] = &[
    ("open", AccessDefault::Open),
    ("private-needs-token", AccessDefault::PrivateNeedsToken),
    ("closed", AccessDefault::Closed),
];

section! {
    /// Who is who, and what those may have who show nothing. [[access.rules]] and [[access.oidc]], below,
    /// say more.
    pub struct Access = "access" {
        /// What those may have who show nothing: "private-needs-token" is for public modules, and private
        /// ones as private.open says; "closed" is for nothing at all; "open" is for everything, as
        /// private.open = true.
        default: AccessDefault = "private-needs-token" => choice(DEFAULTS);
        /// Front servers (networks or addresses, "unix:" for all that come over a unix socket) whose
        /// X-Forwarded-For says where a request comes from: of the addresses in it the last one that
        /// is not in this list counts. By it requests are told apart, and rules name addresses by it.
        trusted_proxies: Vec<FrontServer> = ["127.0.0.1/32", "::1/128", "unix:"]
            => list(front_server(), &[',']);
    }
}

impl Access {
    /// Whether the two keys that can open everything agree.
    pub(super) fn check(&self, private: &Private, reader: &mut Reader<'_>) {
        if private.open && self.default == AccessDefault::Closed {
            reader.conflict(
                "access.default",
                "is \"closed\", and private.open = true serves private modules to everyone; keep one of them",
            );
        }
    }
}
