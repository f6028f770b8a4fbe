//! `[store]`: where modules are kept, and how much of the machine that may take.

use std::path::{Path, PathBuf};

use super::codec::{Codec, Context, Raw, count, home, path, size};
use super::raw::Environment;
use super::section::section;

section! {
    /// Where modules are kept, and how much of the machine that may take.
    pub struct Store = "store" {
        /// The directory of everything that is kept. Empty: the first of $STATE_DIRECTORY (set by
        /// systemd), $XDG_DATA_HOME/larder and $HOME/.local/share/larder whose variable is set.
        data_dir: PathBuf = "" => data_dir(), twin "--data-dir" "LARDER_DATA_DIR";

        /// Free space to leave on that disk. With less, misses pass through and are not kept; hits
        /// are served as ever. The default is at most a tenth of the disk; other values are taken
        /// as they are.
        reserve: u64 = "512MB" => size();

        /// Memory for the index.
        index_cache: u64 = "16MB" => size().between(1 << 20, 1 << 40);

        /// Memory for small answers that are ready to be sent; 0 for none.
        hot: u64 = "32MB" => size().between(0, 1 << 40);

        /// The most fetches of small files, and again of lists, at a time.
        max_flights: usize = 4096 => count(1, 1_000_000);

        /// The most fetches of zip files at a time, beside those.
        max_zip_flights: usize = 1024 => count(1, 1_000_000);
    }
}

/// A directory, or the platform's place for data.
#[derive(Debug)]
struct DataDir;

fn data_dir() -> DataDir {
    DataDir
}

impl Codec for DataDir {
    type Value = PathBuf;

    fn read(&self, raw: &Raw, context: Context<'_>) -> Result<PathBuf, String> {
        match raw {
            Raw::Word(text) | Raw::Text(text) if text.is_empty() => place(context.env)
                .map(|(place, _)| place)
                .ok_or_else(|| {
                    "there is no place for data: none of STATE_DIRECTORY, XDG_DATA_HOME and HOME is \
                     set; name a directory with --data-dir, LARDER_DATA_DIR or this key"
                        .into()
                }),
            _ => path().read(raw, context),
        }
    }

    fn write(&self, value: &PathBuf) -> String {
        path().write(value)
    }

    fn derived(&self, context: Context<'_>) -> Option<&'static str> {
        place(context.env).map(|(_, from)| from)
    }
}

/// The platform's place for data, and the variable it was worked out from.
fn place(env: &Environment) -> Option<(PathBuf, &'static str)> {
    let variable = |name: &str| env.get(name).map(String::as_str).unwrap_or_default();
    // The basedir specification has relative paths ignored.
    let absolute = |value| Some(Path::new(value)).filter(|path| path.is_absolute());
    // systemd gives several directories, separated by colons, to a unit that asks for several.
    let state = variable("STATE_DIRECTORY")
        .split(':')
        .next()
        .unwrap_or_default();
    if let Some(path) = absolute(state) {
        return Some((path.into(), "STATE_DIRECTORY"));
    }
    if let Some(path) = absolute(variable("XDG_DATA_HOME")) {
        return Some((path.join("larder"), "XDG_DATA_HOME"));
    }
    home(env).map(|home| (home.join(".local/share/larder"), "HOME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_has_a_place_for_data() {
        for (variables, expected) in [
            (&[][..], None),
            (
                &[("HOME", "/home/me")],
                Some(("/home/me/.local/share/larder", "HOME")),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_DATA_HOME", "/data")],
                Some(("/data/larder", "XDG_DATA_HOME")),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_DATA_HOME", "relative")],
                Some(("/home/me/.local/share/larder", "HOME")),
            ),
            (
                &[
                    ("HOME", "/home/me"),
                    ("STATE_DIRECTORY", "/var/lib/larder:/var/lib/other"),
                ],
                Some(("/var/lib/larder", "STATE_DIRECTORY")),
            ),
            (&[("HOME", ""), ("STATE_DIRECTORY", "")], None),
        ] {
            let env: Environment = variables
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            let expected = expected.map(|(path, from)| (PathBuf::from(path), from));
            assert_eq!(place(&env), expected, "{variables:?}");
        }
    }
}
