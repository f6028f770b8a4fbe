//! Module paths, import paths and the names of files in module zips (protocol.md 2.1 and 2.2,
//! x/mod/module `CheckPath`, `CheckImportPath`, `CheckFilePath`).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_general_category::{GeneralCategory, get_general_category};

use super::{escape, semver};

/// Longest module path, counted in its escaped form (design.md 9).
pub const MAX_PATH: usize = 1000;
/// Longest element of a module path, counted in its escaped form: file systems take no more.
pub const MAX_ELEMENT: usize = 255;

/// The module that carries Go toolchains.
const TOOLCHAIN: &str = "golang.org/toolchain";

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// x/mod/module `checkPath`.
    #[error("the path is empty")]
    Empty,
    /// x/mod/module `checkPath`: it could be taken for an option.
    #[error("the path starts with a dash")]
    LeadingDash,
    /// x/mod/module `checkPath`.
    #[error("the path starts with a slash")]
    LeadingSlash,
    /// x/mod/module `checkPath`.
    #[error("the path has a double slash")]
    DoubleSlash,
    /// x/mod/module `checkPath`.
    #[error("the path ends with a slash")]
    TrailingSlash,
    /// x/mod/module `checkElem`.
    #[error("the path has an element of nothing but dots")]
    OnlyDots,
    /// x/mod/module `checkElem`, module paths only.
    #[error("a path element starts with a dot")]
    LeadingDot,
    /// x/mod/module `checkElem`.
    #[error("a path element ends with a dot")]
    TrailingDot,
    /// x/mod/module `checkElem`; the sets are in protocol.md 2.1.
    #[error("the path has the character {0:?}, which is not allowed there")]
    BadChar(char),
    /// x/mod/module `checkElem`, `badWindowsNames`.
    #[error("{0:?} is not allowed as a path element: it is a device name on Windows")]
    WindowsName(String),
    /// x/mod/module `checkElem`, not for files.
    #[error("a path element ends with a tilde and digits, like a Windows short name")]
    WindowsShortName,
    /// x/mod/module `CheckPath`.
    #[error("the first path element has no dot, so it is not a host name")]
    NoDotInHost,
    /// x/mod/module `CheckPath`, `firstPathOK`.
    #[error("the host name has the character {0:?}, which is not allowed there")]
    BadHostChar(char),
    /// x/mod/module `CheckPath`, `SplitPathVersion`.
    #[error(
        "the major version suffix of the path is malformed (\"/v2\" and above, no dots, no leading zeros; \".v1\" on gopkg.in)"
    )]
    BadMajor,
    /// x/mod/module `unescapeString`.
    #[error("an upper-case letter must be escaped as \"!\" and its lower-case form")]
    BadEscape,
    /// design.md 9.
    #[error("the path is too long (over {MAX_PATH} bytes, or an element over {MAX_ELEMENT} bytes)")]
    TooLong,
}

/// A valid module path (x/mod/module `CheckPath`) of bounded length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModulePath(Arc<str>);

impl ModulePath {
    /// Checks a path as it stands in a go.mod.
    pub fn parse(s: &str) -> Result<Self, PathError> {
        check_module_path(s)?;
        Ok(Self(s.into()))
    }

    /// Checks a path as it stands in a URL or on disk, where `!x` means `X` (x/mod/module `UnescapePath`).
    pub fn unescape(escaped: &str) -> Result<Self, PathError> {
        Self::parse(&escape::unbang(escaped).ok_or(PathError::BadEscape)?)
    }

    /// The path as it stands in a go.mod.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with every `X` as `!x`.
    pub fn escaped(&self) -> Cow<'_, str> {
        escape::bang(&self.0)
    }

    /// The suffix that names the major version: "", "/v2", ".v3", ".v3-unstable".
    pub fn path_major(&self) -> &str {
        split_path_version(&self.0).map_or("", |(_, major)| major)
    }

    /// The path without its [`path_major`](Self::path_major).
    pub fn prefix(&self) -> &str {
        split_path_version(&self.0).map_or(&self.0, |(prefix, _)| prefix)
    }

    /// Whether this is `golang.org/toolchain`, which carries Go releases (protocol.md 3).
    pub fn is_toolchain(&self) -> bool {
        &*self.0 == TOOLCHAIN
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModulePath {
    type Err = PathError;
    fn from_str(s: &str) -> Result<Self, PathError> {
        Self::parse(s)
    }
}

impl AsRef<str> for ModulePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ModulePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// x/mod/module `CheckPath`, and the bounds on length.
pub fn check_module_path(path: &str) -> Result<(), PathError> {
    check_path(path, Kind::Module)?;
    // A path with an empty first element has been refused above.
    let host = path.split('/').next().unwrap_or(path);
    if !host.contains('.') {
        return Err(PathError::NoDotInHost);
    }
    let bad = |c: &char| !matches!(c, '-' | '.' | '0'..='9' | 'a'..='z');
    if let Some(c) = host.chars().find(bad) {
        return Err(PathError::BadHostChar(c));
    }
    if split_path_version(path).is_none() {
        return Err(PathError::BadMajor);
    }
    let too_long = |element| escape::banged_len(element) > MAX_ELEMENT;
    if escape::banged_len(path) > MAX_PATH || path.split('/').any(too_long) {
        return Err(PathError::TooLong);
    }
    Ok(())
}

/// x/mod/module `CheckImportPath`.
pub fn check_import_path(path: &str) -> Result<(), PathError> {
    check_path(path, Kind::Import)
}

/// x/mod/module `CheckFilePath`: the name of a file below a module's root.
pub fn check_file_path(path: &str) -> Result<(), PathError> {
    check_path(path, Kind::File)
}

/// Whether a version string can be a file name: one valid file-path element of ASCII characters
/// (x/mod/module `EscapeVersion`, where `!` is refused besides).
pub(super) fn is_version_element(version: &str) -> bool {
    version.is_ascii() && !version.contains('!') && check_element(version, Kind::File).is_ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Module = 1,
    Import = 2,
    File = 4,
}

fn check_path(path: &str, kind: Kind) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.starts_with('-') && kind != Kind::File {
        return Err(PathError::LeadingDash);
    }
    if path.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    if path.starts_with('/') {
        return Err(PathError::LeadingSlash);
    }
    path.split('/')
        .try_for_each(|element| check_element(element, kind))
}

fn check_element(element: &str, kind: Kind) -> Result<(), PathError> {
    if element.is_empty() {
        return Err(PathError::DoubleSlash);
    }
    if element.bytes().all(|b| b == b'.') {
        return Err(PathError::OnlyDots);
    }
    if element.starts_with('.') && kind == Kind::Module {
        return Err(PathError::LeadingDot);
    }
    if element.ends_with('.') {
        return Err(PathError::TrailingDot);
    }
    // Nearly every name is ASCII, and zips have many: those go by a table.
    let plain = |b: u8| ALLOWED[usize::from(b)] & kind as u8 != 0;
    if !element.bytes().all(plain)
        && let Some(c) = element.chars().find(|&c| !allowed(c, kind))
    {
        return Err(PathError::BadChar(c));
    }

    let short = element.split('.').next().unwrap_or(element);
    if is_windows_device(short) {
        return Err(PathError::WindowsName(short.to_owned()));
    }
    if kind == Kind::File {
        return Ok(());
    }
    if let Some((_, digits)) = short.rsplit_once('~')
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(PathError::WindowsShortName);
    }
    Ok(())
}

fn allowed(c: char, kind: Kind) -> bool {
    match u8::try_from(c) {
        Ok(b) if b.is_ascii() => ALLOWED[usize::from(b)] & kind as u8 != 0,
        _ => kind == Kind::File && is_letter(c),
    }
}

/// The ASCII characters allowed in an element, as a set of kinds for each.
const ALLOWED: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        let kinds = match c {
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                Kind::Module as u8 | Kind::Import as u8 | Kind::File as u8
            }
            b'+' => Kind::Import as u8 | Kind::File as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'(' | b')' | b',' | b'=' | b'@' | b'[' | b']'
            | b'^' | b'{' | b'}' | b' ' => Kind::File as u8,
            _ => 0,
        };
        table[b] = kinds;
        b += 1;
    }
    table
};

/// Go's `unicode.IsLetter`: the general category L, here of Unicode 16. A client may know fewer
/// letters; it then refuses by itself what we let pass.
fn is_letter(c: char) -> bool {
    matches!(
        get_general_category(c),
        GeneralCategory::UppercaseLetter
            | GeneralCategory::LowercaseLetter
            | GeneralCategory::TitlecaseLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::OtherLetter
    )
}

/// The names Windows keeps for devices. Go compares by Unicode folding, but no character outside
/// ASCII folds with a letter of these names.
fn is_windows_device(s: &str) -> bool {
    let Some((name, rest)) = s.split_at_checked(3) else {
        return false;
    };
    let is = |device: &str| name.eq_ignore_ascii_case(device);
    match rest.as_bytes() {
        [] => is("con") || is("prn") || is("aux") || is("nul"),
        [b'1'..=b'9'] => is("com") || is("lpt"),
        _ => false,
    }
}

/// Splits off the major version suffix: `(prefix, suffix)` with `prefix + suffix == path`; `None`
/// if the suffix is one that no module path may have (x/mod/module `SplitPathVersion`).
pub fn split_path_version(path: &str) -> Option<(&str, &str)> {
    if path.starts_with("gopkg.in/") {
        return split_gopkg_in(path);
    }
    let head = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if head.len() == path.len() || !head.ends_with("/v") {
        return Some((path, ""));
    }
    let (prefix, major) = path.split_at(head.len() - 2);
    let number = &major[2..];
    if number.contains('.') || number.starts_with('0') || number == "1" {
        return None;
    }
    Some((prefix, major))
}

fn split_gopkg_in(path: &str) -> Option<(&str, &str)> {
    let stable = path.strip_suffix("-unstable").unwrap_or(path);
    let head = stable.trim_end_matches(|c: char| c.is_ascii_digit());
    if !head.ends_with(".v") {
        return None;
    }
    let (prefix, major) = path.split_at(head.len() - 2);
    // Go compares the suffix with ".v0" whole, so ".v0-unstable" is malformed.
    if stable.len() == head.len() || (major.starts_with(".v0") && major != ".v0") {
        return None;
    }
    Some((prefix, major))
}

/// Whether a version may stand behind a path with this major suffix (x/mod/module
/// `MatchPathMajor`). It passes some impossible `+incompatible` versions, as Go's does; see
/// [`Version::fits`](super::Version::fits).
pub fn match_path_major(version: &str, path_major: &str) -> bool {
    let path_major = match path_major.strip_suffix("-unstable") {
        Some(stable) if path_major.starts_with(".v") => stable,
        _ => path_major,
    };
    // Pseudo-versions of gopkg.in .v1 paths were once made with v0.0.0.
    if version.starts_with("v0.0.0-") && path_major == ".v1" {
        return true;
    }
    let major = semver::major(version);
    match path_major.strip_prefix(['/', '.']) {
        Some(wanted) => major == wanted,
        None => {
            path_major.is_empty()
                && (major == "v0" || major == "v1" || semver::build(version) == "+incompatible")
        }
    }
}

/// The major version that a suffix asks for: `v2` of `/v2` and of `.v2-unstable`, "" of none
/// (x/mod/module `PathMajorPrefix`).
pub fn path_major_prefix(path_major: &str) -> &str {
    let stable = match path_major.strip_suffix("-unstable") {
        Some(stable) if path_major.starts_with(".v") => stable,
        _ => path_major,
    };
    stable.strip_prefix(['/', '.']).unwrap_or(stable)
}

#[cfg(test)]
mod tests;
