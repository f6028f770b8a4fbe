//! The environment: `LARDER_` + section + `__` + key for every key, and the short twins of flags.

use std::collections::BTreeSet;

use super::codec::Raw;
use super::problem::Source;
use super::reader::Reader;
use super::section::{Key, Section};
use super::suggest::nearest;

/// Names the configuration file.
pub(super) const CONFIG: &str = "LARDER_CONFIG";
const PREFIX: &str = "LARDER_";

/// Lays the environment over the file. A variable that is set to nothing is not set.
pub(super) fn read(sections: &[Section], reader: &mut Reader<'_>) {
    for key in keys(sections) {
        let long = key.env();
        let short = key.twin.map(|twin| twin.env);
        let long_value = set(reader, &long);
        let short_value = short.and_then(|short| set(reader, short));
        if let (Some(one), Some(other), Some(short)) = (&long_value, &short_value, short)
            && one != other
        {
            reader.warnings.push(format!(
                "{short} and {long} are both set and differ; {short} is used"
            ));
        }
        // The short one last, so that it goes before the other.
        for (name, value) in [(Some(long.as_str()), long_value), (short, short_value)] {
            if let (Some(name), Some(value)) = (name, value) {
                reader.put(key.path(), Raw::Word(value), Source::Env(name.into()));
            }
        }
    }
}

/// Warns of variables that look like ours and are not. `used` are names that the configuration
/// mentions itself (`password_env`).
pub(super) fn warn_of_unknown(
    sections: &[Section],
    used: &BTreeSet<String>,
    reader: &mut Reader<'_>,
) {
    let mut known: Vec<String> = vec![CONFIG.into()];
    for key in keys(sections) {
        known.push(key.env());
        known.extend(key.twin.map(|twin| twin.env.to_owned()));
    }
    for name in reader.env.keys() {
        if !name.starts_with(PREFIX) || known.contains(name) || used.contains(name) {
            continue;
        }
        let suggestion = nearest(name, known.iter().map(String::as_str))
            .map(|meant| format!("; did you mean {meant}?"))
            .unwrap_or_default();
        reader.warnings.push(format!(
            "{name}: there is no such setting, so it is ignored{suggestion}"
        ));
    }
}

/// The value of a variable, unless it is empty.
fn set(reader: &Reader<'_>, name: &str) -> Option<String> {
    reader
        .env
        .get(name)
        .filter(|value| !value.trim().is_empty())
        .cloned()
}

fn keys(sections: &[Section]) -> impl Iterator<Item = &Key> {
    sections.iter().flat_map(|section| &section.keys)
}
