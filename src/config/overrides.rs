//! What the command line says.

use std::fmt;
use std::path::PathBuf;

use super::environment;
use super::origin::ValueSource;
use super::raw::{Environment, Raw};
use super::reader::Reader;
use super::secret::mask_user_info;

/// The flags that every command takes which needs a configuration. A flag that is given goes before
/// everything else, even if it is given empty (`--private ""`).
///
/// The environment twins are not read by the parser of the command line but in [`super::load`], so
/// that the source of a value is told rightly.
#[derive(Clone, Default, PartialEq, Eq, clap::Args)]
// Else this comment became the description of the command that has the flags.
#[command(about = None, long_about = None)]
pub struct Overrides {
    /// The configuration file (TOML) [env: LARDER_CONFIG]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The address to listen on; port 0 lets the system choose [env: LARDER_LISTEN] [default: 127.0.0.1:3080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,

    /// The directory everything is kept in [env: LARDER_DATA_DIR] [default: that of the platform]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// Where modules come from, written as GOPROXY [env: LARDER_UPSTREAM] [default: as the Go toolchain is set]
    #[arg(long, value_name = "CHAIN")]
    pub upstream: Option<String>,

    /// Private modules, written as GOPRIVATE: never asked of a public upstream [env: LARDER_PRIVATE]
    #[arg(long, value_name = "PATTERNS")]
    pub private: Option<String>,

    /// A checksum database, may be repeated; "off" for none [env: LARDER_SUMDB] [default: sum.golang.org]
    #[arg(long, value_name = "off|NAME|\"NAME+HASH+KEY [URL]\"")]
    pub sumdb: Vec<String>,
}

impl Overrides {
    /// The configuration file that is named here or else in the environment; none else is looked for.
    pub(super) fn file(&self, env: &Environment) -> Option<PathBuf> {
        match (&self.config, env.get(environment::CONFIG)) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(path)) if !path.trim().is_empty() => Some(PathBuf::from(path)),
            _ => None,
        }
    }

    /// Takes from `before` what is not given here.
    pub fn fill(&mut self, before: &Overrides) {
        let Overrides {
            config,
            listen,
            data_dir,
            upstream,
            private,
            sumdb,
        } = before.clone();
        self.config = self.config.take().or(config);
        self.listen = self.listen.take().or(listen);
        self.data_dir = self.data_dir.take().or(data_dir);
        self.upstream = self.upstream.take().or(upstream);
        self.private = self.private.take().or(private);
        if self.sumdb.is_empty() {
            self.sumdb = sumdb;
        }
    }

    /// Lays the flags over everything else.
    pub(super) fn read(&self, reader: &mut Reader<'_>) {
        for (key, flag, value) in [
            ("server.listen", "--listen", &self.listen),
            ("store.data_dir", "--data-dir", &self.data_dir),
            ("upstream.chain", "--upstream", &self.upstream),
            ("modules.private", "--private", &self.private),
        ] {
            if let Some(value) = value {
                reader.put(
                    key.into(),
                    Raw::Word(value.clone()),
                    ValueSource::Flag(flag),
                );
            }
        }
        if !self.sumdb.is_empty() {
            let words = Raw::Words(self.sumdb.clone());
            reader.put(
                "sumdb.databases".into(),
                words,
                ValueSource::Flag("--sumdb"),
            );
        }
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("upstream", &self.upstream.as_deref().map(mask_user_info))
            .field("private", &self.private)
            .field("sumdb", &self.sumdb)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    /// A command of its own words.
    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        overrides: Overrides,
    }

    #[test]
    fn a_command_keeps_its_description() {
        let command = Cli::command();
        let about = command.get_about().map(ToString::to_string);
        assert_eq!(about.as_deref(), Some("A command of its own words"));
        assert!(command.get_long_about().is_none());
    }

    #[test]
    fn flags_are_read_from_a_command_line() {
        let cli = Cli::try_parse_from([
            "larder",
            "--config",
            "larder.toml",
            "--listen",
            ":0",
            "--data-dir",
            "data",
            "--upstream",
            "https://me:pw@proxy.example.com,direct",
            "--private",
            "",
            "--sumdb",
            "off",
            "--sumdb",
            "a+b+c https://x",
        ])
        .expect("a command line");
        let overrides = cli.overrides;
        assert_eq!(overrides.config, Some("larder.toml".into()));
        assert_eq!(overrides.private, Some(String::new()));
        assert_eq!(overrides.sumdb, ["off", "a+b+c https://x"]);
        assert!(!format!("{overrides:?}").contains("pw"));
    }
}
