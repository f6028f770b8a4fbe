//! The configuration file: TOML, read with the place of every key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::digest::FileDigest;
use super::origin::ValueSource;
use super::problem::{Problem, ProblemKind};
use super::raw::{RawArrays, RawField, RawTable, raw};
use super::reader::Reader;
use super::section::Section;
use super::suggest::nearest;
use super::tables::Array;

/// No honest configuration is larger; a device or a log given by mistake is.
const LARGEST: u64 = 4 << 20;

/// Reads the file into the reader's layers. Gives the arrays of tables, or the one problem that keeps
/// everything else from being looked at.
pub(super) fn read(
    path: &Path,
    sections: &[Section],
    arrays: &[&'static Array],
    reader: &mut Reader<'_>,
) -> Result<RawArrays, Vec<Problem>> {
    let text = text(path).map_err(|message| {
        vec![Problem {
            source: ValueSource::File {
                path: path.into(),
                line: 1,
            },
            key: String::new(),
            cause: ProblemKind::Unreadable,
            message,
        }]
    })?;
    reader.digest = Some(FileDigest::of(&text));
    let table = match DeTable::parse(&text) {
        Ok(table) => table.into_inner(),
        Err(error) => return Err(vec![syntax(path, &text, &error)]),
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    reader.base = absolute.parent().map(Path::to_path_buf);
    let mut walk = Walk {
        path,
        text: &text,
        sections,
        arrays,
        reader,
    };
    Ok(walk.root(&table))
}

/// The whole file, or the end of a sentence about why not.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("cannot read the configuration file: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 4 MiB and so hardly a configuration file".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("is not UTF-8 text (line {line})")
    })
}

/// toml's own message, without the excerpt if that line may hold a secret.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let start = error
        .span()
        .map_or(text.len(), |span| span.start.min(text.len()));
    let number = line(text, start);
    let excerpt = text
        .lines()
        .nth(number - 1)
        .unwrap_or_default()
        .to_lowercase();
    let secret = ["password", "bearer", "token", "secret", "@"]
        .iter()
        .any(|word| excerpt.contains(word));
    let message = if secret {
        format!("not valid TOML: {}", error.message())
    } else {
        format!("not valid TOML\n{}", error.to_string().trim_end())
    };
    Problem {
        source: ValueSource::File {
            path: path.into(),
            line: number,
        },
        key: String::new(),
        cause: ProblemKind::Syntax,
        message,
    }
}

/// The line of a byte of the text, from 1.
fn line(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

struct Walk<'w, 'a> {
    path: &'w Path,
    text: &'w str,
    sections: &'w [Section],
    arrays: &'w [&'static Array],
    reader: &'w mut Reader<'a>,
}

impl Walk<'_, '_> {
    fn root(&mut self, table: &DeTable<'_>) -> RawArrays {
        let mut arrays = RawArrays::new();
        for (name, value) in table.iter() {
            let (name, at) = (name.get_ref().as_ref(), name.span().start);
            if let Some(array) = self.arrays.iter().find(|array| array.name == name) {
                arrays.insert(array.name, self.tables(name, at, value));
                continue;
            }
            match (
                self.sections.iter().find(|section| section.name == name),
                value.get_ref(),
            ) {
                (Some(section), DeValue::Table(keys)) => self.section(section, keys, &mut arrays),
                (Some(_), _) => {
                    let mut message =
                        format!("is a section; write it as [{name}] with its keys below");
                    if let Some(path) = self.elsewhere(name) {
                        message.push_str(&format!(", or did you mean {path}?"));
                    }
                    self.problem(at, name, ProblemKind::BadValue, message);
                }
                (None, value) => {
                    let message = self.unknown_at_root(name, value);
                    self.problem(at, name, ProblemKind::UnknownKey, message);
                }
            }
        }
        arrays
    }

    fn section(&mut self, section: &Section, keys: &DeTable<'_>, arrays: &mut RawArrays) {
        for (name, value) in keys.iter() {
            let (name, at) = (name.get_ref().as_ref(), name.span().start);
            let path = format!("{}.{name}", section.name);
            if let Some(array) = self.arrays.iter().find(|array| array.name == path) {
                let tables = self.tables(&path, at, value);
                arrays.insert(array.name, tables);
            } else if section.keys.iter().any(|key| key.name == name) {
                let source = self.source(at);
                self.reader.put(path, raw(value.get_ref()), source);
            } else {
                let message = self.unknown_key(section, name);
                self.problem(at, &path, ProblemKind::UnknownKey, message);
            }
        }
    }

    fn tables(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Vec<RawTable> {
        let mut tables = Vec::new();
        let elements = match value.get_ref() {
            DeValue::Array(elements) => elements,
            _ => {
                self.problem(
                    at,
                    name,
                    ProblemKind::BadValue,
                    format!(
                        "is a list of tables; write each one as [[{name}]] with its keys below"
                    ),
                );
                return tables;
            }
        };
        for element in elements.iter() {
            let DeValue::Table(keys) = element.get_ref() else {
                self.problem(
                    element.span().start,
                    name,
                    ProblemKind::BadValue,
                    format!("every element is a table; write it as [[{name}]]"),
                );
                continue;
            };
            let fields = keys.iter().map(|(key, value)| RawField {
                name: key.get_ref().clone().into_owned(),
                line: line(self.text, key.span().start),
                raw: raw(value.get_ref()),
            });
            let mut fields: Vec<RawField> = fields.collect();
            fields.sort_by_key(|field| field.line);
            tables.push(RawTable {
                line: line(self.text, element.span().start),
                fields,
            });
        }
        tables
    }

    fn unknown_at_root(&self, name: &str, value: &DeValue<'_>) -> String {
        let arrays = self.arrays.iter().map(|array| array.name);
        let sections = self.sections.iter().map(|section| section.name);
        let known = || sections.clone().chain(arrays.clone());
        let has_tables = match value {
            DeValue::Array(elements) => elements.iter().any(|one| one.get_ref().is_table()),
            value => value.is_table(),
        };
        if has_tables {
            return match nearest(name, known()) {
                Some(meant) if arrays.clone().any(|array| array == meant) => {
                    format!("there is no such section; did you mean [[{meant}]]?")
                }
                Some(meant) => format!("there is no such section; did you mean [{meant}]?"),
                None => format!(
                    "there is no such section; there are {}",
                    known().collect::<Vec<_>>().join(", ")
                ),
            };
        }
        // A key without its section, more likely than not.
        match self.elsewhere(name) {
            Some(path) => {
                format!("there is no such key outside of a section; did you mean {path}?")
            }
            None => "there is no such key; every key stands in a section".into(),
        }
    }

    fn unknown_key(&self, section: &Section, name: &str) -> String {
        let names = || section.keys.iter().map(|key| key.name);
        if let Some(meant) = nearest(name, names()) {
            return format!(
                "there is no such key; did you mean {}.{meant}?",
                section.name
            );
        }
        match self.elsewhere(name) {
            Some(path) => format!("there is no such key; did you mean {path}?"),
            None => format!(
                "there is no such key; [{}] has {}",
                section.name,
                names().collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// The path of a key of exactly this name in any section.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut keys = self.sections.iter().flat_map(|section| &section.keys);
        keys.find(|key| key.name == name).map(|key| key.path())
    }

    fn source(&self, at: usize) -> ValueSource {
        ValueSource::File {
            path: self.path.into(),
            line: line(self.text, at),
        }
    }

    fn problem(&mut self, at: usize, key: &str, cause: ProblemKind, message: String) {
        let source = self.source(at);
        self.reader.problems.push(Problem {
            source,
            key: key.into(),
            cause,
            message,
        });
    }
}
