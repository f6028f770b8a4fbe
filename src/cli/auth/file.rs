//! Tokens in files: named, projected by Kubernetes, or the user's own. Read anew each time, so they may be rotated.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::AuthError;
use super::token::{LONGEST, token};
use crate::config::{Environment, Secret};

/// How long a file may take to be read, which can be a pipe or lie on a server.
const LIMIT: Duration = Duration::from_secs(10);

/// The token in a file; none if there is no such file.
pub async fn read(path: &Path) -> Result<Option<Secret>, AuthError> {
    let fault = |why: String| AuthError::File {
        path: path.to_owned(),
        why,
    };
    let own = path.to_owned();
    // A thread that hangs ends with the process.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::open(own)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    });
    match tokio::time::timeout(LIMIT, text).await {
        Ok(Ok(Ok(text))) => token(&path.display().to_string(), &text).map(Some),
        Ok(Ok(Err::<_, std::io::Error>(error))) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
            _ => Err(fault(error.to_string())),
        },
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault(format!("nothing came within {LIMIT:?}"))),
    }
}

/// Where a user keeps a token.
pub fn of_user(env: &Environment) -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = Path::new(env.get(name)?);
        path.is_absolute().then_some(path)
    };
    let folder = match folder("XDG_CONFIG_HOME") {
        Some(folder) => folder.to_owned(),
        None => folder("HOME")?.join(".config"),
    };
    Some(folder.join("larder").join("token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file() {
        let of = |variables: &[(&str, &str)]| {
            let variables = variables.iter();
            of_user(
                &variables
                    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                    .collect(),
            )
        };
        let home = ("HOME", "/home/me");
        let is = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(&[home]), is("/home/me/.config/larder/token"));
        for relative in ["", "config"] {
            let of = of(&[home, ("XDG_CONFIG_HOME", relative)]);
            assert_eq!(of, is("/home/me/.config/larder/token"));
        }
        let of_xdg = of(&[home, ("XDG_CONFIG_HOME", "/config")]);
        assert_eq!(of_xdg, is("/config/larder/token"));
        assert_eq!(of(&[]), None);
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(read(&file).await.unwrap().is_none());
        assert!(read(&file.join("below")).await.unwrap().is_none());
        std::fs::write(&file, "lrd_x\n").unwrap();
        assert_eq!(read(&file).await.unwrap().unwrap().expose(), "lrd_x");
        assert!(read(folder.path()).await.is_err());
        assert!(read(Path::new("/dev/zero")).await.is_err());
        std::fs::write(&file, b"\xff").unwrap();
        let error = read(&file).await.unwrap_err().to_string();
        assert!(error.contains("token cannot be read"), "{error}");
    }
}
