//! The configuration in writing: the default file, and the one in effect.

use std::fmt::Write as _;

use super::section::Section;
use super::tables::Array;
use super::{Loaded, arrays, sections};

/// The configuration in effect, a key per line (`freshness.ttl = "60s"`), with the source of each as
/// a comment if `sources` is set. It is TOML that loads to the same configuration, but for secrets,
/// which are masked.
pub fn show(loaded: &Loaded, sources: bool) -> String {
    let mut text = String::new();
    let mut section = "";
    for (key, toml, source) in loaded.sources.iter() {
        let this = key.split('.').next().unwrap_or_default();
        if !section.is_empty() && section != this {
            text.push('\n');
        }
        section = this;
        let _ = write!(text, "{key} = {toml}");
        if sources {
            let _ = write!(text, "   # {source}");
        }
        text.push('\n');
    }
    let listeners = loaded.config.listeners.iter();
    let credentials = loaded.config.credentials.iter();
    let routes = loaded.config.routes.iter();
    let rules = loaded.config.access_rules.iter();
    let providers = loaded.config.access_oidc.iter();
    for table in listeners
        .map(|listener| listener.row.show(sources))
        .chain(credentials.map(|credential| credential.row.show(sources)))
        .chain(routes.map(|route| route.row.show(sources)))
        .chain(rules.map(|rule| rule.row.show(sources)))
        .chain(providers.map(|provider| provider.row.show(sources)))
    {
        text.push('\n');
        text.push_str(&table);
    }
    text
}

const HEAD: &str = "\
# Larder: every setting, with its default.
#
# Nothing here needs to be set. A value in this file goes before the default; before both goes the
# environment (LARDER_, section, two underscores, key: LARDER_FRESHNESS__TTL), and before all of them
# the command line. Durations are written as \"500ms\", \"60s\" or \"1m30s\", sizes as \"64KiB\" or \"512MB\".
# Relative paths start from the directory of this file, \"~/\" is the home directory.
#
# `larder config check` says what is wrong with a file, `larder config show --sources` what is in
# effect and why.
";

/// The default file: every key with its documentation and its default. Loading it changes nothing.
pub fn print_default() -> String {
    let mut text = String::from(HEAD);
    for section in sections() {
        print_section(&section, &mut text);
    }
    for array in arrays() {
        print_array(array, &mut text);
    }
    text
}

fn print_section(section: &Section, text: &mut String) {
    text.push('\n');
    comment(section.doc, text);
    let _ = writeln!(text, "[{}]", section.name);
    for (number, key) in section.keys.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        comment(key.doc, text);
        if !key.allowed.is_empty() {
            let _ = writeln!(text, "# Allowed: {}.", key.allowed);
        }
        if let Some(twin) = key.twin {
            let _ = writeln!(
                text,
                "# Also: {} on the command line, {} in the environment.",
                twin.flag, twin.env
            );
        }
        let _ = writeln!(text, "{} = {}", key.name, key.default);
    }
}

/// A table as a comment, with the documentation of its keys beside them.
fn print_array(array: &Array, text: &mut String) {
    text.push('\n');
    comment(array.doc, text);
    let _ = writeln!(text, "#[[{}]]", array.name);
    for field in array.fields {
        let mut line = format!("#{} = {}", field.name, field.example);
        for doc in wrapped(&field.doc.concat(), BESIDE) {
            let _ = writeln!(text, "{line:<44} # {doc}");
            line = "#".into();
        }
    }
}

/// The width of documentation beside a key.
const BESIDE: usize = 63;

/// A text in lines of at most so many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Documentation lines as comments.
fn comment(lines: &[&str], text: &mut String) {
    for line in lines {
        let line = format!("#{line}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
