//! Whether a body can be what was asked for: the rules for `.info` and `.mod`, as [`super::zip`] has those for zips.

use super::{ModulePath, Version, info, modfile};

/// An `.info` must name the version that was asked for (protocol.md 1.2). The error is a text for people.
pub fn info(version: &Version, body: &[u8]) -> Result<(), String> {
    let found = info::parse_info(body).map_err(|error| format!("not a valid .info: {error}"))?;
    if found.version == *version {
        return Ok(());
    }
    let found = found.version;
    Err(format!(
        ".info of version {found} when {version} was asked for"
    ))
}

/// The `.info` that a query is answered with must name a version that can be one of this module. The error is a text for
/// people.
pub fn resolved(module: &ModulePath, body: &[u8]) -> Result<(), String> {
    let info = info::parse_info(body).map_err(|error| format!("not a valid .info: {error}"))?;
    if !info.version.fits(module) {
        let version = info.version;
        return Err(format!(
            ".info of version {version}, which cannot be one of this module"
        ));
    }
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(_) => Err("not UTF-8".to_owned()),
    }
}

/// A go.mod must have a module line. The path in it may be another one (forks that stand in for it); only that of
/// toolchains may be the bare path (protocol.md 7.3). The error is a text for people.
pub fn go_mod(module: &ModulePath, body: &[u8]) -> Result<(), String> {
    let bare_toolchain = module.is_toolchain() && body.trim_ascii() == module.as_str().as_bytes();
    if bare_toolchain || modfile::module_path(body).is_some() {
        return Ok(());
    }
    Err("a go.mod without a module line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c43_c44_what_was_asked_for_and_nothing_else() {
        let version = Version::parse("v1.0.0").unwrap();
        assert!(info(&version, br#"{"Version":"v1.0.0"}"#).is_ok());
        assert!(info(&version, br#"{"Version":"v1.0.1"}"#).is_err());
        assert!(info(&version, b"<html>").is_err());
        let module = ModulePath::parse("example.com/m").unwrap();
        assert!(go_mod(&module, b"module example.com/fork\n").is_ok());
        assert!(go_mod(&module, b"<html>").is_err());
        assert!(go_mod(&module, b"example.com/m\n").is_err());
        let toolchain = ModulePath::parse("golang.org/toolchain").unwrap();
        assert!(go_mod(&toolchain, b"golang.org/toolchain\n").is_ok());
    }
}
