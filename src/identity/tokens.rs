//! Tokens: who has one may have private modules where these are not for everyone. The token is shown once, when it is
//! made; what is kept and compared is its SHA-256.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::clock::{SharedClock, Timestamp};
use crate::gomod::Patterns;
use crate::policy::{Identity, Proof};
use crate::store::{ReplacedToken, Sha256, Store, StoreError, TokenFile, TokenRecord};

/// Tokens at the most.
pub const MOST_TOKENS: usize = 10_000;
/// What every token begins with, so that one can be recognised where it should not be.
const PREFIX: &str = "lrd_";
/// Random bytes of a token.
const BYTES: usize = 32;
/// Characters of a token: the prefix, and the bytes in base64.
const LENGTH: usize = PREFIX.len() + (BYTES * 4).div_ceil(3);
/// Characters of a name at the most.
const LONGEST_NAME: usize = 64;
/// The use of a token is known by the day. Milliseconds.
const DAY: u64 = 86_400_000;

/// What an operator calls a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

/// Why a text is no name for a token. Does not repeat the text: it may be a token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadTokenName {
    /// Too short, too long, or with other characters.
    #[error("a name is 1 to 64 letters, digits, dots, underscores and hyphens")]
    Form,
    /// Names are shown and logged.
    #[error("what begins with lrd_ is a token, not the name of one")]
    Token,
}

impl FromStr for TokenName {
    type Err = BadTokenName;

    fn from_str(text: &str) -> Result<Self, BadTokenName> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(fine) {
            return Err(BadTokenName::Form);
        }
        if text.starts_with(PREFIX) {
            return Err(BadTokenName::Token);
        }
        Ok(TokenName(text.to_owned()))
    }
}

impl TryFrom<String> for TokenName {
    type Error = BadTokenName;

    fn try_from(text: String) -> Result<Self, BadTokenName> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> String {
        name.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a token was not made or not revoked.
#[derive(Debug, Error)]
pub enum TokenError {
    /// A name stands for one token.
    #[error(
        "there is a token named {0} already; revoke it first, or choose another name: larder token revoke {0}"
    )]
    Taken(TokenName),
    /// There is none of this name.
    #[error("there is no token named {0}; larder token list shows those there are")]
    Unknown(TokenName),
    /// As many as may be.
    #[error("there are {MOST_TOKENS} tokens, and more may not be; revoke some that are not used")]
    TooMany,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes to make a token of")]
    NoRandomness,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It opens nothing until the next start, but the copy would bring it back.
    #[error("the file \"tokens\" in the data directory could not be written: {0}; try again")]
    Copy(std::io::Error),
}

/// A token that is known.
#[derive(Clone)]
struct KnownToken {
    name: TokenName,
    /// Of who has it.
    identity: Arc<Identity>,
    until: Option<Timestamp>,
    /// Another one of its name has taken its place.
    is_replaced: bool,
    /// The last day on which it was used, as a timestamp; 0 for never. That of both of a name.
    used: Arc<AtomicU64>,
}

impl KnownToken {
    /// The token of a record, and the one before it.
    fn of(record: &TokenRecord) -> impl Iterator<Item = (Sha256, Self)> {
        let name: Option<TokenName> = record.name.parse().ok();
        let expires = record.expires;
        let identity = Identity::by(Proof::Token(record.name.as_str().into()));
        let scope = record.read.as_deref().map(Patterns::parse);
        let identity = Arc::new(identity.for_modules(scope));
        let used = Arc::new(AtomicU64::new(record.last_used.map_or(0, |at| at.0)));
        let known = move |until: Option<Timestamp>, is_replaced| {
            Some(KnownToken {
                name: name.clone()?,
                identity: Arc::clone(&identity),
                until,
                is_replaced,
                used: Arc::clone(&used),
            })
        };
        let current = known(expires, false).map(|token| (record.sha256, token));
        let replaced = record.replaced.as_ref();
        let replaced = replaced.and_then(|old| Some((old.sha256, known(Some(old.until), true)?)));
        current.into_iter().chain(replaced)
    }
}

/// What a new token is for.
#[derive(Clone, Debug, Default)]
pub struct TokenTerms {
    /// How long it opens anything; until it is revoked if nothing is said.
    pub lifetime: Option<Duration>,
    /// The modules that it opens; all that are private if nothing is said.
    pub read: Option<Patterns>,
    /// What the operator has to say of it.
    pub note: Option<String>,
}

/// A token that was just made. It is known to nobody else, and cannot be had again.
pub struct NewToken {
    /// What clients send.
    pub token: String,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// The tokens that are known.
pub struct Tokens {
    store: Store,
    /// A second copy of what the index has of them.
    copy: TokenFile,
    clock: SharedClock,
    /// By the SHA-256 of each. Guards no await.
    known: RwLock<HashMap<Sha256, KnownToken>>,
    /// One change at a time, so that memory and index agree.
    changing: Mutex<()>,
}

impl Tokens {
    /// Those that are kept: in the index, or, if that had to be made anew, in their copy.
    pub async fn load(
        store: Store,
        copy: TokenFile,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        let in_copy = copy.read().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the copy of the tokens (the file \"tokens\") cannot be read");
            None
        });
        let mut kept = store.tokens().await?;
        let lost = kept.is_empty();
        let mut restored = 0_usize;
        for token in in_copy.iter().flatten() {
            // A damaged one is as good as lost.
            let damaged = kept
                .iter()
                .any(|(name, record)| *name == token.name && record.is_none());
            if lost || damaged {
                store.put_token(token).await?;
                restored += 1;
            }
        }
        if restored > 0 {
            tracing::warn!(
                restored,
                "the index had lost tokens; they are restored from their copy (the file \"tokens\")"
            );
            kept = store.tokens().await?;
        }
        let kept: Vec<TokenRecord> = kept.into_iter().filter_map(|(_, record)| record).collect();
        let known = kept.iter().flat_map(KnownToken::of).collect();
        let tokens = Tokens {
            known: RwLock::new(known),
            store,
            copy,
            clock,
            changing: Mutex::default(),
        };
        let same = |copied: &Vec<TokenRecord>| {
            copied.len() == kept.len() && kept.iter().all(|token| copied.contains(token))
        };
        if !in_copy.as_ref().map_or(kept.is_empty(), same) {
            tokens.copied(kept).await;
        }
        Ok(tokens)
    }

    /// Writes the copy anew. Without it the tokens are as good, until the index is damaged.
    async fn copied(&self, tokens: Vec<TokenRecord>) {
        if let Err(error) = self.copy.write(tokens).await {
            tracing::warn!(%error, "the copy of the tokens (the file \"tokens\") could not be written");
        }
    }

    /// What the copy should have.
    async fn whole(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let kept = self.store.tokens().await?;
        Ok(kept.into_iter().filter_map(|(_, record)| record).collect())
    }

    /// Who has a token that has not expired. The look-up is by its hash, so how long it takes says nothing of the tokens
    /// there are.
    pub fn identity(&self, token: &str) -> Option<Arc<Identity>> {
        if !is_token(token) {
            return None;
        }
        let known = self.known.read();
        let known = known.get(&digest(token))?;
        let now = self.clock.now();
        if known.until.is_some_and(|until| until <= now) {
            return None;
        }
        let today = now.0 - now.0 % DAY;
        // Written once a day: hits come here.
        if known.used.load(Ordering::Relaxed) != today {
            known.used.store(today, Ordering::Relaxed);
        }
        Some(Arc::clone(&known.identity))
    }

    /// Keeps on which day each was used last, where that is not kept yet.
    pub async fn keep_last_use(&self) -> Result<(), StoreError> {
        let used: HashMap<String, Timestamp> = {
            let known = self.known.read();
            let used = known.values().map(|token| {
                let day = token.used.load(Ordering::Relaxed);
                (token.name.0.clone(), Timestamp(day))
            });
            used.filter(|(_, day)| day.0 > 0).collect()
        };
        if used.is_empty() {
            return Ok(());
        }
        // Else one that is revoked meanwhile would be kept anew.
        let _changing = self.changing.lock().await;
        for (name, record) in self.store.tokens().await? {
            let (Some(mut record), Some(day)) = (record, used.get(&name)) else {
                continue;
            };
            if record.last_used.is_none_or(|kept| kept < *day) {
                record.last_used = Some(*day);
                self.store.put_token(&record).await?;
            }
        }
        Ok(())
    }

    /// How many there are, expired ones among them.
    pub fn count(&self) -> usize {
        let known = self.known.read();
        known.values().filter(|token| !token.is_replaced).count()
    }

    /// The time by which they expire.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What is kept of each, by names; nothing where that is damaged.
    pub async fn list(&self) -> Result<Vec<(String, Option<TokenRecord>)>, StoreError> {
        self.store.tokens().await
    }

    /// Makes a token on these terms.
    pub async fn make(&self, name: &TokenName, terms: TokenTerms) -> Result<NewToken, TokenError> {
        let _changing = self.changing.lock().await;
        if self.count() >= MOST_TOKENS {
            return Err(TokenError::TooMany);
        }
        let token = random()?;
        let created = self.clock.now();
        let record = TokenRecord {
            sha256: digest(&token),
            created,
            name: name.to_string(),
            expires: terms.lifetime.map(|lifetime| created.plus(lifetime)),
            replaced: None,
            read: terms.read.map(|read| read.to_string()),
            note: terms.note,
            last_used: None,
        };
        if !self.store.add_token(&record).await? {
            return Err(TokenError::Taken(name.clone()));
        }
        self.known.write().extend(KnownToken::of(&record));
        self.copied(self.whole().await?).await;
        let expires = record.expires;
        Ok(NewToken { token, expires })
    }

    /// Makes a new token in the place of the one of this name, which goes on for `overlap`, so that its holders can be
    /// given the new one. It lives for as long as that one was made for, unless something else is said, and opens the same.
    pub async fn rotate(
        &self,
        name: &TokenName,
        overlap: Duration,
        lifetime: Option<Duration>,
    ) -> Result<NewToken, TokenError> {
        let _changing = self.changing.lock().await;
        let mut kept = self.store.tokens().await?.into_iter();
        let Some((_, old)) = kept.find(|(known, _)| *known == name.0) else {
            return Err(TokenError::Unknown(name.clone()));
        };
        let token = random()?;
        let created = self.clock.now();
        // A damaged one opens nothing, and has nothing to pass on.
        let made_for = old.as_ref().and_then(|old| {
            let expires = old.expires?;
            Some(Duration::from_millis(
                expires.0.saturating_sub(old.created.0),
            ))
        });
        let (read, note, last_used) = match &old {
            Some(old) => (old.read.clone(), old.note.clone(), old.last_used),
            None => (None, None, None),
        };
        let replaced = old.map(|old| {
            let until = created.plus(overlap);
            ReplacedToken {
                sha256: old.sha256,
                until: old.expires.map_or(until, |expires| expires.min(until)),
            }
        });
        let record = TokenRecord {
            sha256: digest(&token),
            created,
            name: name.to_string(),
            expires: lifetime.or(made_for).map(|lifetime| created.plus(lifetime)),
            replaced: replaced.filter(|_| !overlap.is_zero()),
            read,
            note,
            last_used,
        };
        // The copy first: it must not bring back the old one.
        let mut whole = self.whole().await?;
        whole.retain(|token| token.name != name.0);
        whole.push(record.clone());
        self.copy.write(whole).await.map_err(TokenError::Copy)?;
        self.store.put_token(&record).await?;
        {
            let mut known = self.known.write();
            known.retain(|_, token| token.name != *name);
            known.extend(KnownToken::of(&record));
        }
        let expires = record.expires;
        Ok(NewToken { token, expires })
    }

    /// Ends a token: in memory first, so that it opens nothing any more even if the store fails.
    pub async fn revoke(&self, name: &TokenName) -> Result<(), TokenError> {
        let _changing = self.changing.lock().await;
        self.known.write().retain(|_, known| known.name != *name);
        // The copy first: it must not bring back what was revoked.
        let mut left = self.whole().await?;
        left.retain(|token| token.name != name.0);
        self.copy.write(left).await.map_err(TokenError::Copy)?;
        if !self.store.remove_token(&name.0).await? {
            return Err(TokenError::Unknown(name.clone()));
        }
        Ok(())
    }
}

/// Whether a text has the form of a token of ours.
pub fn is_token(text: &str) -> bool {
    text.len() == LENGTH && text.starts_with(PREFIX)
}

fn random() -> Result<String, TokenError> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TokenError::NoRandomness)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// That of a token as its holder has it.
fn digest(token: &str) -> Sha256 {
    Sha256::of(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "a".repeat(LONGEST_NAME);
        for good in ["a", "ci", "Team.A_b-1", "..", "lrd", &longest] {
            assert_eq!(good.parse::<TokenName>().unwrap().to_string(), good);
        }
        let too_long = format!("{longest}a");
        for bad in ["", "a b", "a/b", "ü", "a\n", &too_long] {
            assert_eq!(bad.parse::<TokenName>(), Err(BadTokenName::Form), "{bad}");
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([7; BYTES]));
        assert_eq!(token.len(), LENGTH);
        assert_eq!(token.parse::<TokenName>(), Err(BadTokenName::Token));
        // What comes through the socket is held to the same, and not repeated.
        let error = serde_json::from_str::<TokenName>(&format!("{token:?}")).unwrap_err();
        assert!(!error.to_string().contains(&token), "{error}");
    }

    fn clock() -> SharedClock {
        std::sync::Arc::new(crate::clock::SystemClock)
    }

    #[tokio::test]
    async fn a_token_is_known_from_its_making_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock()).unwrap();
        let copy = || TokenFile::new(folder.path());
        let load = || Tokens::load(data.store.clone(), copy(), clock());
        let tokens = load().await.unwrap();
        let (ci, team) = ("ci".parse().unwrap(), "team".parse().unwrap());
        let token = tokens.make(&ci, TokenTerms::default()).await.unwrap().token;
        let other = tokens
            .make(&team, TokenTerms::default())
            .await
            .unwrap()
            .token;
        assert_ne!(token, other);
        assert_eq!(token.len(), LENGTH);
        assert!(tokens.identity(&token).is_some() && tokens.identity(&other).is_some());
        for wrong in ["", "lrd_", &token[..LENGTH - 1], &format!("{token}A")] {
            assert!(tokens.identity(wrong).is_none(), "{wrong}");
        }
        assert!(tokens.identity(&token.to_ascii_uppercase()).is_none());
        assert!(matches!(
            tokens.make(&ci, TokenTerms::default()).await,
            Err(TokenError::Taken(name)) if name == ci
        ));
        let kept = tokens.list().await.unwrap();
        let (name, record) = &kept[0];
        assert_eq!((kept.len(), name.as_str()), (2, "ci"));
        assert_eq!(record.as_ref().unwrap().sha256, digest(&token));

        // As after a restart.
        let tokens = load().await.unwrap();
        assert!(tokens.identity(&token).is_some() && tokens.identity(&other).is_some());
        tokens.revoke(&ci).await.unwrap();
        assert!(tokens.identity(&token).is_none() && tokens.identity(&other).is_some());
        assert!(matches!(
            tokens.revoke(&ci).await,
            Err(TokenError::Unknown(_))
        ));
        let again = tokens.make(&ci, TokenTerms::default()).await.unwrap().token;
        let tokens = load().await.unwrap();
        assert!(tokens.identity(&again).is_some() && tokens.identity(&token).is_none());
        assert_eq!(tokens.count(), 2);

        // The index is lost: what is in the copy is there, and what was revoked is not.
        drop(tokens);
        data.store.close().await;
        drop(data);
        std::fs::remove_dir_all(folder.path().join("index")).unwrap();
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock()).unwrap();
        let load = || Tokens::load(data.store.clone(), copy(), clock());
        let tokens = load().await.unwrap();
        assert!(
            tokens.identity(&again).is_some()
                && tokens.identity(&other).is_some()
                && tokens.identity(&token).is_none()
        );
        assert_eq!(tokens.list().await.unwrap().len(), 2);
        // The copy is lost: it is made again.
        std::fs::remove_file(folder.path().join("tokens")).unwrap();
        load().await.unwrap();
        assert_eq!(copy().read().await.unwrap().unwrap().len(), 2);
        // All are revoked: nothing comes back.
        tokens.revoke(&ci).await.unwrap();
        tokens.revoke(&team).await.unwrap();
        assert_eq!(load().await.unwrap().count(), 0);
    }

    #[tokio::test]
    async fn tokens_expire_and_are_rotated_without_a_gap() {
        const HOUR: Duration = Duration::from_secs(3600);
        let folder = tempfile::tempdir().unwrap();
        let hand = Arc::new(crate::clock::Manual::at(Timestamp(1_000_000)));
        let clock: SharedClock = hand.clone();
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock).unwrap();
        let load = || {
            let copy = TokenFile::new(folder.path());
            Tokens::load(data.store.clone(), copy, Arc::clone(&clock))
        };
        let tokens = load().await.unwrap();
        let ci = "ci".parse().unwrap();
        assert!(matches!(
            tokens.rotate(&ci, HOUR, None).await,
            Err(TokenError::Unknown(_))
        ));
        let for_ten_hours = TokenTerms {
            lifetime: Some(10 * HOUR),
            read: Some(Patterns::parse("git.example.com")),
            note: Some("the nightly build".to_owned()),
        };
        let first = tokens.make(&ci, for_ten_hours).await.unwrap().token;
        hand.pass(9 * HOUR + HOUR / 2);
        let second = tokens.rotate(&ci, HOUR, None).await.unwrap().token;
        let holds = |tokens: &Tokens| [&first, &second].map(|it| tokens.identity(it).is_some());
        assert_eq!(holds(&tokens), [true, true]);
        assert_eq!(tokens.count(), 1);
        let scope = |token| tokens.identity(token).unwrap().scope.clone();
        assert_eq!(scope(&first), Some(Patterns::parse("git.example.com")));
        assert_eq!(scope(&first), scope(&second));
        // The old one has half an hour of its own left, whatever the overlap.
        hand.pass(HOUR / 2);
        assert_eq!(holds(&tokens), [false, true]);
        let tokens = load().await.unwrap();
        assert_eq!(holds(&tokens), [false, true]);
        // It lives for as long as the first one was made for.
        hand.pass(9 * HOUR);
        assert_eq!(holds(&tokens), [false, true]);
        hand.pass(HOUR / 2);
        assert_eq!(holds(&tokens), [false, false]);
        assert!(matches!(
            tokens.make(&ci, TokenTerms::default()).await,
            Err(TokenError::Taken(_))
        ));

        let third = tokens.rotate(&ci, HOUR, Some(HOUR)).await.unwrap().token;
        let fourth = tokens
            .rotate(&ci, Duration::ZERO, None)
            .await
            .unwrap()
            .token;
        assert!(tokens.identity(&third).is_none() && tokens.identity(&fourth).is_some());
        let fifth = tokens.rotate(&ci, HOUR, None).await.unwrap().token;
        assert!(tokens.identity(&fourth).is_some() && tokens.identity(&fifth).is_some());
        tokens.revoke(&ci).await.unwrap();
        assert!(tokens.identity(&fourth).is_none() && tokens.identity(&fifth).is_none());
    }

    #[tokio::test]
    async fn the_last_use_is_kept_by_the_day() {
        let folder = tempfile::tempdir().unwrap();
        let hand = Arc::new(crate::clock::Manual::at(Timestamp(20_000 * DAY + 5)));
        let clock: SharedClock = hand.clone();
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock).unwrap();
        let load = || {
            let copy = TokenFile::new(folder.path());
            Tokens::load(data.store.clone(), copy, Arc::clone(&clock))
        };
        let tokens = load().await.unwrap();
        let (ci, idle) = ("ci".parse().unwrap(), "idle".parse().unwrap());
        let first = tokens.make(&ci, TokenTerms::default()).await.unwrap();
        tokens.make(&idle, TokenTerms::default()).await.unwrap();
        let used = async |tokens: &Tokens| {
            tokens.keep_last_use().await.unwrap();
            let kept = tokens.list().await.unwrap().into_iter();
            let day = |record: TokenRecord| record.last_used.map(|at| at.0 / DAY);
            kept.map(|(_, record)| day(record.unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(used(&tokens).await, [None, None]);
        tokens.identity(&first.token).unwrap();
        assert_eq!(used(&tokens).await, [Some(20_000), None]);
        hand.pass(Duration::from_millis(3 * DAY));
        let second = tokens.rotate(&ci, Duration::from_secs(60), None).await;
        assert_eq!(used(&tokens).await, [Some(20_000), None]);
        tokens.identity(&second.unwrap().token).unwrap();
        assert_eq!(used(&tokens).await, [Some(20_003), None]);
        // After a restart, and nobody comes back by it.
        let tokens = load().await.unwrap();
        assert_eq!(used(&tokens).await, [Some(20_003), None]);
        tokens.identity(&first.token).unwrap();
        tokens.revoke(&ci).await.unwrap();
        assert_eq!(used(&tokens).await, [None]);
    }

    #[tokio::test]
    async fn there_is_an_end_to_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let data = crate::store::DataDir::open(folder.path(), 0, 1 << 20, &clock()).unwrap();
        let copy = TokenFile::new(folder.path());
        let tokens = Tokens::load(data.store.clone(), copy, clock())
            .await
            .unwrap();
        let name: TokenName = "a".parse().unwrap();
        let many = (0..MOST_TOKENS).map(|n| {
            let token = KnownToken {
                name: name.clone(),
                identity: Arc::new(Identity::by(Proof::Token("a".into()))),
                until: None,
                is_replaced: false,
                used: Arc::default(),
            };
            (digest(&n.to_string()), token)
        });
        tokens.known.write().extend(many);
        assert!(matches!(
            tokens.make(&name, TokenTerms::default()).await,
            Err(TokenError::TooMany)
        ));
    }
}
