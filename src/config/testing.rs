//! What the tests of this room share: loading a configuration from a text.

use super::*;

/// A directory with a `larder.toml`, and an environment that has a home.
pub(super) struct Operator {
    pub directory: tempfile::TempDir,
    pub env: Environment,
    pub overrides: Overrides,
}

impl Operator {
    pub(super) fn new(toml: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("larder.toml");
        std::fs::write(&file, toml).expect("a file");
        let home = directory.path().join("home").to_string_lossy().into_owned();
        Self {
            env: Environment::from([("HOME".into(), home)]),
            overrides: Overrides {
                config: Some(file),
                ..Overrides::default()
            },
            directory,
        }
    }

    pub(super) fn with_env(mut self, variables: &[(&str, &str)]) -> Self {
        self.env.extend(
            variables
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        self
    }

    pub(super) fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.overrides, &self.env)
    }

    /// The errors, with the directory's name taken out.
    pub(super) fn errors(&self) -> String {
        let errors = self.load().expect_err("a wrong configuration").to_string();
        errors.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

pub(super) fn loaded_with(toml: &str, variables: &[(&str, &str)]) -> Loaded {
    let operator = Operator::new(toml).with_env(variables);
    operator.load().unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn loaded(toml: &str) -> Loaded {
    loaded_with(toml, &[])
}

pub(super) fn errors(toml: &str) -> String {
    Operator::new(toml).errors()
}
