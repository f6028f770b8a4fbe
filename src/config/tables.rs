//! Arrays of tables (`[[credentials]]`, `[[routes]]`): what reading and showing them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::codec::{Checked, Codec, Raw, path, quote, text};
use super::files::{SecretFile, in_file};
use super::origin::ValueSource;
use super::problem::{ConfigErrors, Problem, ProblemKind};
use super::raw::{RawField, RawTable};
use super::reader::Reader;
use super::secret::{Secret, mask_user_info};
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
    /// Documentation, in pieces.
    pub doc: &'static [&'static str],
}

/// Declares an array of tables, `ARRAY`, and a struct of the values that a table has.
///
/// Every key reads `name: Type = example => codec;`, the example being TOML; `name as "key"` where the key is no
/// identifier, and `, needed "why"` where it must be there. Its doc comment is the documentation in the default file.
/// Keys of `secrets` have no codec: each is the secret itself, or with `_file` or `_env` where it is. They exclude each
/// other, [`Table::secret`] reads the one that is there, and their names are a constant of the group's name.
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        struct $Name:ident = $array:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $key:literal)? : $Type:ty = $example:tt => $codec:expr
                    $(, needed $why:literal)? ;
            )*
        }
        $(secrets $GROUP:ident {
            $($(#[doc = $about_secret:literal])* $secret:ident = $secret_example:literal ;)*
        })*
    ) => {
        /// The array of tables and its keys.
        pub(super) static ARRAY: $crate::config::tables::Array = $crate::config::tables::Array {
            name: $array,
            doc: &[$($about),*],
            fields: &[
                $($crate::config::tables::Field {
                    name: $crate::config::tables::key_name!($field $($key)?),
                    example: stringify!($example),
                    doc: &[$($doc),*],
                },)*
                $($($crate::config::tables::Field {
                    name: stringify!($secret),
                    example: stringify!($secret_example),
                    doc: &[$($about_secret),*],
                },)*)*
            ],
        };

        $(const $GROUP: &[&str] = &[$(stringify!($secret)),*];)*

        $(#[doc = $about])*
        struct $Name {
            $($field: Option<$Type>,)*
        }

        impl $Name {
            /// The values of a table; nothing for those that are not there, or wrong, which the reader then knows.
            fn read(table: &mut $crate::config::tables::Table<'_, '_>) -> Self {
                $(
                    let name = $crate::config::tables::key_name!($field $($key)?);
                    $(table.need(name, $why);)?
                    let $field = table.value(name, &$codec);
                )*
                Self { $($field),* }
            }
        }
    };
}

/// The name of a key of a table.
macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

pub(super) use {key_name, table};

/// A table that was read: where it stands, and what it says. Two are equal if they say the same.
#[derive(Debug, Clone)]
pub(super) struct Row {
    array: &'static str,
    pub source: ValueSource,
    /// Key and value in TOML, without secrets.
    shown: Vec<(&'static str, String)>,
    /// The file that the secret stands in, if it stands in one.
    secret_file: Option<PathBuf>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.array == other.array
            && self.shown == other.shown
            && self.secret_file == other.secret_file
    }
}

impl Eq for Row {}

impl Row {
    pub(super) fn secret_file(&self) -> Option<SecretFile> {
        self.secret_file.as_deref().map(SecretFile::new)
    }

    /// The table in TOML, with its source as a comment if `sources` is set.
    pub(super) fn show(&self, sources: bool) -> String {
        let mut toml = format!("[[{}]]", self.array);
        if sources {
            let _ = write!(toml, "   # {}", self.source);
        }
        toml.push('\n');
        for (name, value) in &self.shown {
            let _ = writeln!(toml, "{name} = {value}");
        }
        toml
    }

    /// The fault of a value that is right alone and does not go with another.
    pub(super) fn conflict(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            source: self.source.clone(),
            key: key(self.array, field),
            cause: ProblemKind::Conflict,
            message: message.into(),
        }
    }

    /// The error for a value that only another part of the program can judge, in the same words as ours:
    /// `larder.toml:7: routes.github_app_id: <message>`.
    pub(super) fn refuse(&self, field: &str, message: impl Into<String>) -> ConfigErrors {
        ConfigErrors::new(vec![Problem {
            source: self.source.clone(),
            key: key(self.array, field),
            cause: ProblemKind::BadValue,
            message: message.into(),
        }])
    }
}

/// The tables of a file, by the name of their array.
#[derive(Default)]
pub(super) struct Tables {
    file: PathBuf,
    by_array: BTreeMap<&'static str, Vec<RawTable>>,
}

impl Tables {
    pub(super) fn new(file: &Path, by_array: BTreeMap<&'static str, Vec<RawTable>>) -> Self {
        let file = file.to_owned();
        Self { file, by_array }
    }

    /// The variables that tables name for their secrets.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let tables = self.by_array.values().flatten();
        tables.flat_map(mentioned).collect()
    }

    /// Reads every table of an array with `one`; nothing if one is wrong, which the reader then knows.
    pub(super) fn read<T>(
        &mut self,
        array: &'static Array,
        reader: &mut Reader<'_>,
        mut one: impl FnMut(&mut Table<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut all = Some(Vec::new());
        for raw in self.by_array.remove(array.name).unwrap_or_default() {
            let mut table = Table::new(array, &self.file, raw, &mut *reader);
            let value = one(&mut table).filter(|_| !table.failed());
            all = all.zip(value).map(|(mut all, value)| {
                all.push(value);
                all
            });
        }
        all
    }
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
    /// What was read, in TOML.
    shown: Vec<(&'static str, String)>,
    /// The file of the secret that was read.
    secret_file: Option<PathBuf>,
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
            shown: Vec::new(),
            secret_file: None,
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

    /// What was read, to be kept with the values. The keys are in the order in which they are declared.
    pub(super) fn row(&mut self) -> Row {
        let mut shown = std::mem::take(&mut self.shown);
        let order = |name: &str| self.array.fields.iter().position(|it| it.name == name);
        shown.sort_by_key(|(name, _)| order(name));
        Row {
            array: self.array.name,
            source: self.source_at(self.line),
            shown,
            secret_file: self.secret_file.take(),
        }
    }

    /// A value that nobody wrote and that counts.
    pub(super) fn default_is(&mut self, name: &'static str, value: &str) {
        self.shown.push((name, quote(value)));
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

    /// Tells if a key is not there; `why` is the end of a sentence about that.
    pub(super) fn need(&mut self, name: &str, why: &str) {
        if !self.has(name) {
            self.tell(name, format!("is missing; {why}"));
        }
    }

    /// The value of a key; nothing if it is not there, or wrong.
    pub(super) fn value<C: Codec>(&mut self, name: &'static str, codec: &C) -> Option<C::Value> {
        let field = self.fields.get(name)?;
        let line = field.line;
        let source = self.source_at(line);
        match codec.read(&field.raw, self.reader.context(&source)) {
            Ok(value) => {
                let toml = mask_user_info(&codec.show(&field.raw, &value));
                self.shown.push((name, toml));
                Some(value)
            }
            Err(message) => {
                self.tell_at(line, name, ProblemKind::BadValue, message);
                None
            }
        }
    }

    /// The secret of a key: a text, or by `_file` or `_env` the name of a file or variable. Messages never quote it.
    /// `check` gives the end of the sentence "the secret …".
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        check: fn(&str) -> Result<(), &'static str>,
    ) -> Option<Secret> {
        let found = if name.ends_with("_file") {
            let path = self.value(name, &path())?;
            let found = in_file(&path);
            self.secret_file = Some(path);
            found
        } else if name.ends_with("_env") {
            let variable = self.value(name, &text(|name| Ok(name.into())))?;
            match self.reader.env.get(&variable) {
                Some(secret) if !secret.is_empty() => Ok(secret.clone()),
                _ => Err(format!(
                    "the environment variable {variable:?} is not set, or empty"
                )),
            }
        } else {
            match &self.fields.get(name)?.raw {
                Raw::Text(secret) if !secret.is_empty() => {
                    self.shown.push((name, quote(Secret::MASK)));
                    Ok(secret.clone())
                }
                Raw::Text(_) => Err("is empty".into()),
                _ => Err("is not a text in quotes".into()),
            }
        };
        let checked = found.and_then(|secret| {
            check(&secret).map_err(|reason| format!("the secret {reason}"))?;
            Ok(Secret::new(secret))
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
            key: key(self.array.name, field),
            cause,
            message: message.into(),
        });
    }
}

/// `credentials.host`, or the table as a whole if the field is empty.
fn key(array: &str, field: &str) -> String {
    if field.is_empty() {
        array.into()
    } else {
        format!("{array}.{field}")
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
