//! `[[access.rules]]`: which callers may have which modules.

use super::codec::{flag, list, parsed, pattern_list};
use super::reader::Reader;
use super::tables::{Row, Table, Tables, table};
use crate::gomod::Patterns;
use crate::policy::CallerPattern;

table! {
    /// Which callers may have which modules, a table each; the first rule that names both the caller and
    /// the module decides. A caller that rules name, and none of them for a module, has what those have
    /// who show nothing (access.default); one that no rule names as well, and with a token of larder's
    /// all modules.
    struct Keys = "access.rules" {
        /// Who it is about: token:NAME, oidc:PROVIDER:NAME, cert:NAME, group:NAME (a * in a name stands for
        /// anything), address:NETWORK, or anyone.
        who: Vec<CallerPattern> = ["token:ci-*", "group:dev"] => list(parsed::<CallerPattern>(), &[',']),
            needed "it says whom the rule is about";
        /// The modules that they may have, written as patterns of GOPRIVATE; "*" for all.
        read: Patterns = ["git.example.com/*"] => pattern_list();
        /// The modules that they may not have, whatever else is said.
        not: Patterns = ["git.example.com/secret/*"] => pattern_list();
        /// Whether they may reload the configuration by POST /-/reload, and are told of all private modules.
        admin: bool = false => flag();
    }
}

/// Which modules some callers may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    pub who: Vec<CallerPattern>,
    pub read: Patterns,
    pub not: Patterns,
    pub admin: bool,
    pub(super) row: Row,
}

/// Reads every table; nothing if one is wrong, which the reader then knows.
pub(super) fn read(tables: &mut Tables, reader: &mut Reader<'_>) -> Option<Vec<AccessRule>> {
    tables.read(&ARRAY, reader, one)
}

fn one(table: &mut Table<'_, '_>) -> Option<AccessRule> {
    let keys = Keys::read(table);
    if keys.who.as_ref().is_some_and(Vec::is_empty) {
        table.tell("who", "names nobody; write it as [\"token:ci-*\"]");
    }
    let says_nothing = table.written(&["read", "not"]).is_empty() && keys.admin != Some(true);
    if says_nothing {
        table.tell(
            "read",
            "is missing, and so is not; one of them says which modules the rule is about",
        );
    }
    Some(AccessRule {
        who: keys.who?,
        read: keys.read.unwrap_or_default(),
        not: keys.not.unwrap_or_default(),
        admin: keys.admin.unwrap_or_default(),
        row: table.row(),
    })
}
