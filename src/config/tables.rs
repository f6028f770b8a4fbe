//! Arrays of tables (`[[credentials]]`, `[[routes]]`): what reading and showing them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::codec::{Checked, Codec, Raw, path, quote, text};
use super::files::in_file;
use super::origin::ValueSource;
use super::problem::{Problem, ProblemKind};
use super::raw::{RawField, RawTable};
use super::reader::Reader;
use super::secret::Secret;
use super::suggest::nearest;

/// An array of tables: `[[credentials]]`.
#[derive(Debug)]
pub(super) struct Array {
    pub name: &'static str,
    /// Documentation, a line each.
    pub doc: &'static [&'static str],
    pub fields: &'static [Field],
}

/// A key of such a table.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    /// A value as somebody might write it, as TOML.
    pub example: &'static str,
    /// Documentation.
    pub doc: &'static str,
}

/// Declares a key of a table.
pub(super) const fn field(name: &'static str, example: &'static str, doc: &'static str) -> Field {
    Field { name, example, doc }
}

/// How a secret was given, to show that and not the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The key: `password_file`.
    pub field: &'static str,
    /// What it says, unless that is the secret itself.
    place: Option<String>,
}

impl Origin {
    /// The file that the secret stands in, if it stands in one.
    pub(super) fn file(&self) -> Option<&Path> {
        let place = self.place.as_deref()?;
        self.field.ends_with("_file").then(|| Path::new(place))
    }
}

/// Reads every table with `one`; nothing if one is wrong, which the reader then knows. `used` gets
/// the names of variables that hold secrets.
pub(super) fn read<T>(
    array: &'static Array,
    file: &Path,
    tables: Vec<RawTable>,
    used: &mut BTreeSet<String>,
    reader: &mut Reader<'_>,
    mut one: impl FnMut(&mut Table<'_, '_>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut all = Some(Vec::new());
    for raw in tables {
        used.extend(mentioned(&raw));
        let mut table = Table::new(array, file, raw, &mut *reader);
        let value = one(&mut table).filter(|_| !table.failed());
        all = all.zip(value).map(|(mut all, value)| {
            all.push(value);
            all
        });
    }
    all
}

/// Variables that a table names, be the rest of it right or wrong.
fn mentioned(table: &RawTable) -> impl Iterator<Item = String> {
    table
        .fields
        .iter()
        .filter(|field| field.name.ends_with("_env"))
        .filter_map(|field| match &field.raw {
            Raw::Text(name) => Some(name.trim().to_owned()),
            _ => None,
        })
}

/// A table that is being read: hands out typed values and collects every fault on the way.
#[derive(Debug)]
pub(super) struct Table<'t, 'a> {
    array: &'static Array,
    file: &'t Path,
    line: usize,
    fields: BTreeMap<String, RawField>,
    reader: &'t mut Reader<'a>,
    /// How many problems there were before this table.
    before: usize,
}

impl<'t, 'a> Table<'t, 'a> {
    /// Tells unknown keys right away.
    fn new(
        array: &'static Array,
        file: &'t Path,
        raw: RawTable,
        reader: &'t mut Reader<'a>,
    ) -> Self {
        let mut table = Self {
            array,
            file,
            line: raw.line,
            fields: BTreeMap::new(),
            before: reader.problems.len(),
            reader,
        };
        let names = || array.fields.iter().map(|field| field.name);
        for field in raw.fields {
            if names().any(|name| name == field.name) {
                table.fields.insert(field.name.clone(), field);
                continue;
            }
            let message = match nearest(&field.name, names()) {
                Some(meant) => format!("there is no such key; did you mean {meant}?"),
                None => format!(
                    "there is no such key; there are {}",
                    names().collect::<Vec<_>>().join(", ")
                ),
            };
            table.tell_at(field.line, &field.name, ProblemKind::UnknownKey, message);
        }
        table
    }

    /// Where the table stands.
    pub(super) fn source(&self) -> ValueSource {
        self.source_at(self.line)
    }

    /// Whether a fault of this table was told.
    pub(super) fn failed(&self) -> bool {
        self.reader.problems.len() > self.before
    }

    /// Tells a fault of the table; `field` may be empty, for the table as a whole.
    pub(super) fn tell(&mut self, field: &str, message: impl Into<String>) {
        self.tell_at(self.line, field, ProblemKind::Conflict, message);
    }

    /// Tells that of these keys only one may be there.
    pub(super) fn tell_exclusive(&mut self, names: &[&str]) {
        self.tell(
            "",
            format!("{} exclude each other; keep one", names.join(" and ")),
        );
    }

    /// Whether a key is written, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Those of these keys that are written, right or wrong.
    pub(super) fn written(&self, names: &[&'static str]) -> Vec<&'static str> {
        let names = names.iter().copied();
        names.filter(|name| self.has(name)).collect()
    }

    /// The value of a key that must be there; `why` is the end of a sentence about that.
    pub(super) fn required<C: Codec>(
        &mut self,
        name: &str,
        codec: &C,
        why: &str,
    ) -> Option<C::Value> {
        if !self.has(name) {
            self.tell(name, format!("is missing; {why}"));
        }
        self.value(name, codec)
    }

    /// The value of a key; nothing if it is not there, or wrong.
    pub(super) fn value<C: Codec>(&mut self, name: &str, codec: &C) -> Option<C::Value> {
        let field = self.fields.get(name)?;
        let line = field.line;
        let source = self.source_at(line);
        match codec.read(&field.raw, self.reader.context(&source)) {
            Ok(value) => Some(value),
            Err(message) => {
                self.tell_at(line, name, ProblemKind::BadValue, message);
                None
            }
        }
    }

    /// The secret of a key and how it was given: a text, or by `_file` or `_env` the name of a file
    /// or variable. Messages never quote it. `check` gives the end of the sentence "the secret …".
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        check: fn(&str) -> Result<(), &'static str>,
    ) -> Option<(Secret, Origin)> {
        let found = if name.ends_with("_file") {
            let path = self.value(name, &path())?;
            let place = path.to_string_lossy().into_owned();
            in_file(&path).map(|secret| (secret, Some(place)))
        } else if name.ends_with("_env") {
            let variable = self.value(name, &text(|name| Ok(name.into())))?;
            match self.reader.env.get(&variable) {
                Some(secret) if !secret.is_empty() => Ok((secret.clone(), Some(variable))),
                _ => Err(format!(
                    "the environment variable {variable:?} is not set, or empty"
                )),
            }
        } else {
            match &self.fields.get(name)?.raw {
                Raw::Text(secret) if !secret.is_empty() => Ok((secret.clone(), None)),
                Raw::Text(_) => Err("is empty".into()),
                _ => Err("is not a text in quotes".into()),
            }
        };
        let checked = found.and_then(|(secret, place)| {
            check(&secret).map_err(|reason| format!("the secret {reason}"))?;
            let origin = Origin { field: name, place };
            Ok((Secret::new(secret), origin))
        });
        match checked {
            Ok(secret) => Some(secret),
            Err(message) => {
                let line = self.fields.get(name).map_or(self.line, |field| field.line);
                self.tell_at(line, name, ProblemKind::BadValue, message);
                None
            }
        }
    }

    fn source_at(&self, line: usize) -> ValueSource {
        ValueSource::File {
            path: self.file.into(),
            line,
        }
    }

    fn tell_at(
        &mut self,
        line: usize,
        field: &str,
        cause: ProblemKind,
        message: impl Into<String>,
    ) {
        self.reader.problems.push(Problem {
            source: self.source_at(line),
            key: key(self.array, field),
            cause,
            message: message.into(),
        });
    }
}

/// `credentials.host`, or the table as a whole if the field is empty.
pub(super) fn key(array: &Array, field: &str) -> String {
    if field.is_empty() {
        array.name.into()
    } else {
        format!("{}.{field}", array.name)
    }
}

/// The name of a user, as Basic authentication can carry it.
pub(super) fn username() -> Checked {
    text(|name| match name {
        "" => Err("is no name of a user".into()),
        name if name.contains(':') => {
            Err("contains a colon, which Basic authentication cannot carry".into())
        }
        name => Ok(name.into()),
    })
}

/// A table in TOML, as it is shown.
#[derive(Debug)]
pub(super) struct Shown(String);

impl Shown {
    /// The head of the table, with its source as a comment if `sources` is set.
    pub(super) fn new(array: &Array, source: &ValueSource, sources: bool) -> Self {
        let mut toml = format!("[[{}]]", array.name);
        if sources {
            let _ = write!(toml, "   # {source}");
        }
        toml.push('\n');
        Self(toml)
    }

    /// A key and its value in TOML.
    pub(super) fn line(&mut self, name: &str, toml: &str) {
        let _ = writeln!(self.0, "{name} = {toml}");
    }

    /// A key and a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.line(name, &quote(value));
    }

    /// How a secret was given: masked if it stands in the file itself.
    pub(super) fn secret(&mut self, secret: &Secret, origin: &Origin) {
        match &origin.place {
            Some(place) => self.text(origin.field, place),
            None => self.text(origin.field, &secret.to_string()),
        }
    }

    /// The whole table.
    pub(super) fn finish(self) -> String {
        self.0
    }
}
