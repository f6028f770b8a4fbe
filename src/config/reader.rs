//! Lays the layers over each other and hands out typed values, collecting every fault on the way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::codec::{Codec, Context};
use super::digest::FileDigest;
use super::origin::{Shadowed, Sources, Value, ValueSource};
use super::problem::{Problem, ProblemKind};
use super::raw::{Environment, Raw, parse_default};
use super::secret::mask_user_info;

/// A value somebody wrote.
#[derive(Debug)]
struct Written {
    raw: Raw,
    source: ValueSource,
}

/// The layers of a configuration, and what was found while reading them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub env: &'a Environment,
    /// Where relative paths in the file start from.
    pub base: Option<PathBuf>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
    pub shadowed: Vec<Shadowed>,
    /// Of the file.
    pub digest: Option<FileDigest>,
    /// By key, the lowest layer first.
    layers: BTreeMap<String, Vec<Written>>,
    values: Sources,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a Environment) -> Self {
        Self {
            env,
            base: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            shadowed: Vec::new(),
            digest: None,
            layers: BTreeMap::new(),
            values: Sources::default(),
        }
    }

    /// Lays a value over what is there for this key (`freshness.ttl`).
    pub(super) fn put(&mut self, key: String, raw: Raw, source: ValueSource) {
        self.layers
            .entry(key)
            .or_default()
            .push(Written { raw, source });
    }

    /// The value of a key: that of the highest layer, else the default. Nothing, and a problem more,
    /// if it is wrong.
    pub(super) fn value<C: Codec>(
        &mut self,
        section: &str,
        name: &str,
        default: &str,
        codec: &C,
    ) -> Option<C::Value> {
        let key = format!("{section}.{name}");
        let mut layers = self.layers.remove(&key).unwrap_or_default();
        let written = layers.pop();
        let (raw, source) = match written {
            Some(Written { raw, source }) => (raw, source),
            None => (parse_default(default), ValueSource::Default),
        };
        for hidden in layers {
            let in_file = match codec.read(&hidden.raw, self.context(&hidden.source)) {
                Ok(value) => mask_user_info(&codec.show(&hidden.raw, &value)),
                // Not what counts, so not worth refusing to start; but it will be one day.
                Err(message) => {
                    let place = &hidden.source;
                    self.warnings.push(format!(
                        "{place}: {key}: {message} (not used: {source} goes before it)"
                    ));
                    hidden.raw.quoted()
                }
            };
            if let ValueSource::File { .. } = hidden.source {
                self.shadowed.push(Shadowed {
                    key: key.clone(),
                    in_file,
                    by: source.clone(),
                });
            }
        }
        let context = self.context(&source);
        match codec.read(&raw, context) {
            Ok(value) => {
                let source = match (source, codec.derived(context)) {
                    (ValueSource::Default, Some(from)) => ValueSource::Derived(from),
                    (source, _) => source,
                };
                let toml = mask_user_info(&codec.show(&raw, &value));
                self.values.push(Value { key, toml, source });
                Some(value)
            }
            Err(message) => {
                self.problems.push(Problem {
                    source,
                    key,
                    cause: ProblemKind::BadValue,
                    message,
                });
                None
            }
        }
    }

    /// What a codec may look at for a value of this source.
    pub(super) fn context(&self, source: &ValueSource) -> Context<'_> {
        let base = match source {
            ValueSource::File { .. } => self.base.as_deref(),
            _ => None,
        };
        Context {
            env: self.env,
            base,
        }
    }

    /// Where the value of a key came from that has been read.
    pub(super) fn source(&self, key: &str) -> ValueSource {
        self.values
            .get(key)
            .cloned()
            .unwrap_or(ValueSource::Default)
    }

    /// Reports a value that is right alone and does not go with another.
    pub(super) fn conflict(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            source: self.source(key),
            key: key.into(),
            cause: ProblemKind::Conflict,
            message: message.into(),
        });
    }

    /// The values that were read, and where they came from.
    pub(super) fn into_values(self) -> Sources {
        self.values
    }
}
