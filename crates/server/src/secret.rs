//! Secrets in memory and on disk.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A text that must not be shown: wiped when dropped, hidden in `Debug`, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself. Every use of this is a place to look at.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the lengths alone.
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// So many bytes from the operating system's generator, in lowercase hex behind a prefix.
pub fn random_hex(prefix: &str, bytes: usize) -> String {
    let mut random = Zeroizing::new(vec![0; bytes]);
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let mut text = String::with_capacity(prefix.len() + 2 * bytes);
    text.push_str(prefix);
    for byte in random.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("a half byte is a hex digit"));
        }
    }
    text
}

/// Why a private file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// It cannot be read or written.
    #[error("{path} cannot be read or made")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "{path} has mode {mode:03o}, so others on this machine may read it; make it 600 (chmod 600 {path})"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Makes a folder with mode 0700 where there is none; one that is there stays as it is.
///
/// # Errors
/// The operating system's.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // The folder's name must be on disk before anything in it counts as being there.
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Reads a private file, or makes it with this content and mode 0600. A crash leaves the whole file or none.
///
/// # Errors
/// [`PrivateFileError`] where it cannot be read or made, or where others may read it.
pub fn private_file(path: &Path, content: impl FnOnce() -> String) -> Result<Secret, PrivateFileError> {
    match read_private_file(path) {
        Err(PrivateFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::new(content());
            write_private(path, secret.expose())
                .map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })?;
            Ok(secret)
        }
        read => read,
    }
}

/// Reads a private file. White space at its end is none of the secret.
///
/// # Errors
/// [`PrivateFileError`] where it cannot be read, or where others may read it.
pub fn read_private_file(path: &Path) -> Result<Secret, PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::TooOpen { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    Ok(Secret::new(text.trim_end()))
}

fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_parent(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_made_once_with_mode_600_and_read_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        create_private_dir(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let path = folder.join("token");
        let first = private_file(&path, || random_hex("t_", 16)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = private_file(&path, || unreachable!("it is there already")).unwrap();
        assert!(first.matches(second.expose()));
        assert_eq!(first.expose().len(), 2 + 32);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = private_file(&path, String::new).unwrap_err().to_string();
        assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
        assert!(!error.contains("secret"));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("whsec_1");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(secret.matches("whsec_1") && !secret.matches("whsec_2") && !secret.matches("whsec_"));
    }
}
