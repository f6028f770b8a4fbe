//! The command line as people write it: flags may stand before the command, other programs have other names for ours,
//! and a command's help has the flags that mean something to it.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::command::Cli;

/// The flags that every command takes which needs a configuration, by their names inside the parser.
const FLAGS: [&str; 6] = [
    "config", "listen", "data_dir", "upstream", "private", "sumdb",
];

/// What other programs call our flags.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "--listen",
        &[
            "--port",
            "-p",
            "--addr",
            "--address",
            "--bind",
            "--host",
            "--http",
            "-l",
        ],
    ),
    (
        "--data-dir",
        &[
            "--data",
            "--dir",
            "-d",
            "--datadir",
            "--storage",
            "--store",
            "--cache",
            "--cache-dir",
        ],
    ),
    (
        "--upstream",
        &["--proxy", "--goproxy", "--mirror", "--chain", "-u"],
    ),
    ("--private", &["--goprivate", "--gonoproxy"]),
    ("--sumdb", &["--gosumdb", "--checksum-db"]),
    ("--config", &["--conf", "--config-file", "--file", "-f"]),
];

/// Flags that are keys of the configuration here.
const KEYS: &[(&str, &[&str])] = &[
    (
        "LARDER_LOG__LEVEL=debug, or log.level in the configuration file",
        &["--log-level", "--loglevel", "--verbose", "-v", "--debug"],
    ),
    (
        "LARDER_LOG__FORMAT=json, or log.format in the configuration file",
        &["--log-format", "--json"],
    ),
    (
        "LARDER_SERVER__BASE_PATH=/go, or server.base_path in the configuration file",
        &["--base-path", "--path-prefix", "--prefix"],
    ),
];

/// The parser.
pub fn command() -> clap::Command {
    shown(Cli::command(), &[])
}

/// Reads a command line.
pub fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let parsed = command().try_get_matches_from(&args);
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) if is_help_of_help(&args, &error) => {
            let args = &args[..args.len() - 1];
            command().try_get_matches_from(args)?
        }
        Err(error) => return Err(explained(error, &args)),
    };
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Some(overrides) = cli.command.overrides() {
        overrides.fill(&cli.before);
    }
    Ok(cli)
}

/// Hides, in the help of each command, the flags that mean nothing to it. They are taken all the same: whoever gives
/// every command the same flags should not have to stop.
fn shown(command: clap::Command, path: &[String]) -> clap::Command {
    let first = path.first().map(String::as_str);
    let wanted: &[&str] = match first {
        None => &["config"],
        Some("index" | "token" | "first-seen" | "reload") => &["config", "data_dir"],
        Some("sumdb") => &["config", "data_dir", "upstream", "sumdb"],
        Some(_) => &FLAGS,
    };
    let command = command.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let hidden = FLAGS.contains(&id) && !wanted.contains(&id);
        if hidden { arg.hide(true) } else { arg }
    });
    command.mut_subcommands(|sub| {
        let path: Vec<_> = path
            .iter()
            .cloned()
            .chain([sub.get_name().to_owned()])
            .collect();
        shown(sub, &path)
    })
}

/// `larder help --help`, `larder token help -h`.
fn is_help_of_help(args: &[OsString], error: &clap::Error) -> bool {
    let is = |arg: Option<&OsString>, words: &[&str]| {
        arg.and_then(|arg| arg.to_str())
            .is_some_and(|arg| words.contains(&arg))
    };
    let fault = !matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    fault && is(args.last(), &["--help", "-h"]) && args.iter().any(|arg| is(Some(arg), &["help"]))
}

/// With our name for what other programs call otherwise, instead of the parser's guess by letters.
fn explained(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = given.split('=').next().unwrap_or_default().to_owned();
    let ours = |table: &'static [(&'static str, &[&str])]| {
        let mut rows = table.iter();
        rows.find(|(_, others)| others.contains(&name.as_str()))
            .map(|(ours, _)| *ours)
    };
    let tip = match (ours(OTHERS), ours(KEYS)) {
        (Some("--listen"), _) => format!("write --listen {}", address(&name, args)),
        (Some(flag), _) => format!("the flag for that is {flag}"),
        (None, Some(key)) => format!("there is no flag for that: set {key}"),
        (None, None) => return error,
    };
    error.remove(ContextKind::SuggestedArg);
    // It has the guess in it.
    error.remove(ContextKind::Usage);
    let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
    error.insert(ContextKind::Suggested, tips);
    error
}

/// What `--listen` wants, with the port that was given if one was.
fn address(name: &str, args: &[OsString]) -> String {
    let mut args = args.iter().filter_map(|arg| arg.to_str());
    let value = args
        .find_map(|arg| arg.strip_prefix(name))
        .map(|rest| rest.strip_prefix('=').unwrap_or(rest).to_owned());
    let value = match value {
        Some(value) if value.is_empty() => args.next().unwrap_or_default().to_owned(),
        value => value.unwrap_or_default(),
    };
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    match value.rsplit_once(':') {
        Some((_, port)) if is_port(port) => value,
        _ if is_port(&value) => format!("127.0.0.1:{value} (or :{value} for all addresses)"),
        _ => "ADDR:PORT, as in --listen 127.0.0.1:3080".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        let words = line.split_whitespace();
        parse(words.map(OsString::from).collect())
    }

    fn said(line: &str) -> String {
        match parsed(line) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_parser_is_in_order() {
        command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_the_command() {
        let mut cli = parsed("larder -c a.toml --listen :1 serve --listen :2").unwrap();
        let overrides = cli.command.overrides().unwrap();
        assert_eq!(overrides.config, Some("a.toml".into()));
        assert_eq!(overrides.listen.as_deref(), Some(":2"));
        let mut cli = parsed("larder --sumdb off --data-dir d token list -c b.toml").unwrap();
        let overrides = cli.command.overrides().unwrap();
        assert_eq!(overrides.data_dir.as_deref(), Some("d"));
        assert_eq!(overrides.sumdb, ["off"]);
        assert_eq!(overrides.config, Some("b.toml".into()));
        assert!(parsed("larder version").is_ok());
    }

    #[test]
    fn help_has_what_means_something() {
        for line in ["larder help", "larder help --help", "larder help -h"] {
            let error = parsed(line).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{line}");
            assert!(error.to_string().contains("serve"), "{line}");
        }
        let error = parsed("larder token help --help").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        let help = said("larder token revoke --help");
        assert!(
            help.contains("--data-dir") && help.contains("--config"),
            "{help}"
        );
        assert!(
            !help.contains("--private") && !help.contains("--listen"),
            "{help}"
        );
        let help = said("larder serve --help");
        assert!(
            help.contains("--private") && help.contains("--listen"),
            "{help}"
        );
        let help = said("larder first-seen accept --help");
        assert!(help.contains("<PATH@VERSION>"), "{help}");
        // Hidden is not refused.
        assert!(parsed("larder token list --private x.example.com").is_ok());
    }

    #[test]
    fn names_of_other_programs() {
        for (line, tip) in [
            ("larder serve --port 8080", "--listen 127.0.0.1:8080"),
            ("larder serve --port=8080", "--listen 127.0.0.1:8080"),
            ("larder serve -p 8080", "--listen 127.0.0.1:8080"),
            ("larder serve --addr :8080", "write --listen :8080"),
            ("larder serve --port", "--listen ADDR:PORT"),
            ("larder serve --dir x", "--data-dir"),
            ("larder serve --goproxy https://x", "--upstream"),
            ("larder serve --log-level debug", "LARDER_LOG__LEVEL"),
        ] {
            let said = said(line);
            assert!(said.contains(tip), "{line}: {said}");
            assert!(!said.contains("--private"), "{line}: {said}");
        }
        let said = said("larder serve --upstraem x");
        assert!(said.contains("--upstream"), "{said}");
    }

    #[test]
    fn versions_are_judged_at_once() {
        for line in [
            "larder first-seen accept a/b",
            "larder first-seen accept example.com/x@1.2",
            "larder first-seen remove x@v1.0.0",
        ] {
            let error = parsed(line).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
            let said = error.to_string();
            assert!(said.contains("example.com/module@v1.2.3"), "{said}");
        }
        assert!(parsed("larder first-seen remove example.com/x@v1.0.0").is_ok());
    }
}
