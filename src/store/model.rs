//! What is known of what is kept: facts as types. How they are written is the catalogs' business.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;

use super::absent::{AbsentSet, AbsentSlot};
use crate::clock::Timestamp;
use crate::gomod::{H1, info};
use crate::protocol::{FileKey, MetaKey};

/// A SHA-256. Its text form is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// That of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Sha256(sha2::Sha256::digest(bytes).into())
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(digest: [u8; 32]) -> Self {
        Sha256(digest)
    }
}

impl From<sha2::Sha256> for Sha256 {
    fn from(hash: sha2::Sha256) -> Self {
        Sha256(hash.finalize().into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = const_hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const_hex::decode_to_array(text).map(Sha256)
    }
}

/// The text form in JSON, the 32 bytes elsewhere.
impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom),
            false => <[u8; 32]>::deserialize(deserializer).map(Sha256),
        }
    }
}

/// What a file was verified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// The checksum database.
    Sumdb,
    /// The h1 that it had when it was first seen.
    FirstSeen,
    /// Nothing but its own form.
    None,
}

impl Verified {
    /// As in the `Larder-Verified` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Verified::Sumdb => "sumdb",
            Verified::FirstSeen => "first-seen",
            Verified::None => "none",
        }
    }
}

/// A kept file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256,
    /// Of a `.mod` or `.zip`.
    pub h1: Option<H1>,
    /// Which origin it came from, as shown to people.
    pub from: String,
    /// When it was first kept.
    pub seen: Timestamp,
    /// What it was verified by.
    pub verified: Verified,
    /// Of `sumdb`, which database.
    pub by: Option<String>,
}

/// The checksum that holds for a file which no database covers: the first one seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeenRecord {
    /// What it must be.
    pub h1: H1,
    /// Which origin it came from, as shown to people.
    pub from: String,
    /// When it was first seen.
    pub seen: Timestamp,
    /// It holds because the database did not know the file (`sumdb.on_unknown = "first-seen"`): the database is asked
    /// again.
    pub unknown: bool,
    /// An operator has accepted that it changes: the next one that comes takes its place.
    pub accept: bool,
}

/// A kept file that its database is still to be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord {
    /// When it was served without an answer of the database.
    pub since: Timestamp,
    /// How often in a row the database has said since that it does not know it.
    pub unknown: u32,
    /// When the database is to be asked again at the earliest.
    pub not_before: Timestamp,
}

impl PendingRecord {
    /// Due at once.
    pub fn since(since: Timestamp) -> Self {
        PendingRecord {
            since,
            unknown: 0,
            not_before: since,
        }
    }
}

/// What is recorded together with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Companions {
    /// This is its first-seen checksum.
    pub first_seen: Option<FirstSeenRecord>,
    /// It was served since then without an answer of its database.
    pub pending_since: Option<Timestamp>,
}

/// What a kept file was verified by, later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// As in the header.
    pub verified: Verified,
    /// Of `sumdb`, which database.
    pub by: Option<String>,
    /// This is its first-seen checksum.
    pub first_seen: Option<FirstSeenRecord>,
}

/// A token that opens private modules, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Of the token as its holder has it.
    pub sha256: Sha256,
    /// When it was made.
    pub created: Timestamp,
    /// What the operator calls it.
    pub name: String,
    /// When it ends by itself.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The one that it has taken the place of, while that still holds.
    #[serde(default)]
    pub replaced: Option<ReplacedToken>,
    /// The modules that it opens, as GOPRIVATE; all that are private without that.
    #[serde(default)]
    pub read: Option<String>,
    /// What the operator has to say of it.
    #[serde(default)]
    pub note: Option<String>,
    /// The beginning of the last day (UTC) on which it was used.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
}

/// A token that has been rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedToken {
    /// Of the token as its holder has it.
    pub sha256: Sha256,
    /// It is as good as the new one until then.
    pub until: Timestamp,
}

/// Names a list that is in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFile {
    /// Bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256,
}

impl ListFile {
    /// Of a file with this content.
    pub fn of(body: &[u8]) -> Self {
        ListFile {
            size: body.len() as u64,
            sha256: Sha256::of(body),
        }
    }

    /// Whether the file has this content.
    pub fn is_of(&self, body: &[u8]) -> bool {
        self.size == body.len() as u64 && self.sha256 == Sha256::of(body)
    }
}

/// The last good answer of a resource that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecord {
    /// What is served, unless it is in a file.
    pub body: String,
    /// A list that is served from its file.
    pub file: Option<ListFile>,
    /// When an origin last said so.
    pub fetched: Timestamp,
    /// Which origin, as shown to people.
    pub from: String,
    /// Of a list: the newest of its lines that have a time (pseudo-versions and such), needed to derive `@latest` as the
    /// client does.
    pub unlisted: String,
    /// The `ETag` that the origin gave.
    pub etag: Option<String>,
    /// The `Last-Modified` that the origin gave.
    pub modified: Option<String>,
}

impl MetaRecord {
    /// A query's answer as it may stand for the `.info` of the version it names: without what depends on the query.
    pub fn as_fallback(&self) -> Self {
        let body = info::stand_in(self.body.as_bytes())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| self.body.clone());
        MetaRecord {
            body,
            ..self.clone()
        }
    }
}

/// Something known of a checksum database, such as its head: `name` is a short path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SumdbKey {
    /// The database's name as one element of a path, so that none lies within another.
    pub database: String,
    /// Which of its facts.
    pub name: String,
}

/// What is known of the store itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateKey {
    /// There once the catalog knows all files: from the beginning, or after a rebuild.
    Complete,
    /// By which rules the kept files were last looked through for what is to be verified.
    Rules,
}

impl StateKey {
    const ALL: [StateKey; 2] = [StateKey::Complete, StateKey::Rules];

    fn as_str(self) -> &'static str {
        match self {
            StateKey::Complete => "complete",
            StateKey::Rules => "rules",
        }
    }
}

/// The kinds of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FactKind {
    /// Kept files.
    File,
    /// Lists, `@latest`, queries.
    Metadata,
    /// What queries said of the versions they resolved to: good enough for their `.info` when nobody can be asked.
    FallbackInfo,
    /// First-seen checksums.
    FirstSeen,
    /// Files that a database is still to be asked about.
    Pending,
    /// Tokens.
    Token,
    /// What every source has said does not exist.
    Absent,
    /// What is known of checksum databases.
    Sumdb,
    /// What is known of the store itself.
    State,
}

impl FactKind {
    /// All kinds.
    pub const ALL: [FactKind; 9] = [
        FactKind::File,
        FactKind::Metadata,
        FactKind::FallbackInfo,
        FactKind::FirstSeen,
        FactKind::Pending,
        FactKind::Token,
        FactKind::Absent,
        FactKind::Sumdb,
        FactKind::State,
    ];

    /// With this begin the names of facts of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            FactKind::File => "file/",
            FactKind::Metadata => "meta/",
            FactKind::FallbackInfo => "fallback-info/",
            FactKind::FirstSeen => "first-seen/",
            FactKind::Pending => "pending/",
            FactKind::Token => "token/",
            FactKind::Absent => "absent/",
            FactKind::Sumdb => "sumdb/",
            FactKind::State => "state/",
        }
    }
}

/// Names a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FactKey {
    /// A kept file.
    File(FileKey),
    /// A list, `@latest` or a query.
    Metadata(MetaKey),
    /// What a query said of a version: its `.info`.
    FallbackInfo(FileKey),
    /// A file's first-seen checksum.
    FirstSeen(FileKey),
    /// A file's pending verification.
    Pending(FileKey),
    /// A token by the operator's name for it.
    Token(String),
    /// Names that share a slot by their hash.
    Absent(AbsentSlot),
    /// Something of a checksum database.
    Sumdb(SumdbKey),
    /// Something of the store itself.
    State(StateKey),
}

impl FactKey {
    /// Which kind of fact it names.
    pub fn kind(&self) -> FactKind {
        match self {
            FactKey::File(_) => FactKind::File,
            FactKey::Metadata(_) => FactKind::Metadata,
            FactKey::FallbackInfo(_) => FactKind::FallbackInfo,
            FactKey::FirstSeen(_) => FactKind::FirstSeen,
            FactKey::Pending(_) => FactKind::Pending,
            FactKey::Token(_) => FactKind::Token,
            FactKey::Absent(_) => FactKind::Absent,
            FactKey::Sumdb(_) => FactKind::Sumdb,
            FactKey::State(_) => FactKind::State,
        }
    }

    /// Reads a name back; `None` if it names no fact.
    pub fn parse(name: &str) -> Option<Self> {
        let kind = FactKind::ALL
            .into_iter()
            .find(|kind| name.starts_with(kind.prefix()))?;
        let rest = &name[kind.prefix().len()..];
        Some(match kind {
            FactKind::File => FactKey::File(FileKey::from_path(rest)?),
            FactKind::Metadata => FactKey::Metadata(MetaKey::from_path(rest)?),
            FactKind::FallbackInfo => FactKey::FallbackInfo(FileKey::from_path(rest)?),
            FactKind::FirstSeen => FactKey::FirstSeen(FileKey::from_path(rest)?),
            FactKind::Pending => FactKey::Pending(FileKey::from_path(rest)?),
            FactKind::Token => FactKey::Token(rest.to_owned()),
            FactKind::Absent => FactKey::Absent(rest.parse().ok()?),
            FactKind::Sumdb => {
                let (database, name) = rest.split_once('/')?;
                FactKey::Sumdb(SumdbKey {
                    database: database.to_owned(),
                    name: name.to_owned(),
                })
            }
            FactKind::State => {
                let mut all = StateKey::ALL.into_iter();
                FactKey::State(all.find(|key| key.as_str() == rest)?)
            }
        })
    }
}

/// The name: the kind's prefix and a path, as in requests where there is one.
impl fmt::Display for FactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().prefix())?;
        match self {
            FactKey::File(key)
            | FactKey::FallbackInfo(key)
            | FactKey::FirstSeen(key)
            | FactKey::Pending(key) => key.fmt(f),
            FactKey::Metadata(key) => key.fmt(f),
            FactKey::Token(name) => f.write_str(name),
            FactKey::Absent(slot) => slot.fmt(f),
            FactKey::Sumdb(key) => write!(f, "{}/{}", key.database, key.name),
            FactKey::State(key) => f.write_str(key.as_str()),
        }
    }
}

/// Something known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A file is kept: whole, durable and verified.
    File(FileKey, FileRecord),
    /// What a resource that changes last was.
    Metadata(MetaKey, MetaRecord),
    /// What a query said of a version: its `.info`.
    FallbackInfo(FileKey, MetaRecord),
    /// A file must have this checksum.
    FirstSeen(FileKey, FirstSeenRecord),
    /// A database is to be asked about a file.
    Pending(FileKey, PendingRecord),
    /// A token opens private modules.
    Token(TokenRecord),
    /// Names do not exist.
    Absent(AbsentSlot, AbsentSet),
    /// A database has said this.
    Sumdb(SumdbKey, Bytes),
    /// The store is so.
    State(StateKey, String),
}

impl Fact {
    /// Its name.
    pub fn key(&self) -> FactKey {
        match self {
            Fact::File(key, _) => FactKey::File(key.clone()),
            Fact::Metadata(key, _) => FactKey::Metadata(key.clone()),
            Fact::FallbackInfo(key, _) => FactKey::FallbackInfo(key.clone()),
            Fact::FirstSeen(key, _) => FactKey::FirstSeen(key.clone()),
            Fact::Pending(key, _) => FactKey::Pending(key.clone()),
            Fact::Token(record) => FactKey::Token(record.name.clone()),
            Fact::Absent(slot, _) => FactKey::Absent(*slot),
            Fact::Sumdb(key, _) => FactKey::Sumdb(key.clone()),
            Fact::State(key, _) => FactKey::State(*key),
        }
    }

    /// What it says, as JSON for people.
    pub fn to_json(&self) -> serde_json::Value {
        let value = match self {
            Fact::File(_, record) => serde_json::to_value(record),
            Fact::Metadata(_, record) | Fact::FallbackInfo(_, record) => {
                serde_json::to_value(record)
            }
            Fact::FirstSeen(_, record) => serde_json::to_value(record),
            Fact::Pending(_, record) => serde_json::to_value(record),
            Fact::Token(record) => serde_json::to_value(record),
            Fact::Absent(_, set) => serde_json::to_value(set),
            Fact::Sumdb(_, value) => Ok(String::from_utf8_lossy(value).into()),
            Fact::State(_, value) => Ok(value.as_str().into()),
        };
        // Plain structs with string keys have no way to fail.
        value.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in [
            "file/github.com/!burnt!sushi/toml/@v/v1.0.0-!r!c1.zip",
            "meta/example.com/m/@v/list",
            "meta/example.com/m/@latest",
            "meta/example.com/m/@v/feature!x.info",
            "fallback-info/example.com/m/@v/v1.0.0.info",
            "first-seen/example.com/m/@v/v1.0.0.mod",
            "pending/example.com/m/v2/@v/v2.0.0.zip",
            "token/ci",
            "absent/1f0a",
            "sumdb/sum.example.com%2fx/head",
            "sumdb/sum.example.com/lookup/example.com/m@v1.0.0",
            "state/rules",
        ] {
            let key = FactKey::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(key.to_string(), name);
        }
        for name in [
            "file/example.com/m/@v/master.info",
            "file/example.com/m/@v/v2.0.0.mod",
            "meta/example.com/m/@v/v1.0.0.zip",
            "state/other",
            "absent/x",
            "absent/2000",
            "absent/1F0a",
            "absent/+1f0",
            "totals",
            "",
        ] {
            assert_eq!(FactKey::parse(name), None, "{name}");
        }
    }

    #[test]
    fn hashes_are_text_for_people_and_bytes_elsewhere() {
        let sha256 = Sha256::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256.to_string(), text);
        assert_eq!(text.parse(), Ok(sha256));
        assert!("e3b0".parse::<Sha256>().is_err());
        assert_eq!(
            serde_json::to_string(&sha256).unwrap(),
            format!("\"{text}\"")
        );
        assert_eq!(postcard::to_stdvec(&sha256).unwrap().len(), 32);
    }
}
