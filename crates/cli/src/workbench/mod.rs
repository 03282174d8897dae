//! The workbench: what a partner tries its receiver with, and needs no server for.
//!
//! A file a command. What they share is here: where secrets come from, and the body that is worked on; in `events.rs` what
//! is sent, and in `spelling.rs` how JSON is written.

pub(crate) mod certify;
mod diagnose;
mod events;
pub(crate) mod listen;
pub(crate) mod sign;
pub(crate) mod spelling;
pub(crate) mod trigger;
pub(crate) mod verify;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hookit_server::Secret;

use crate::config::WEBHOOK_SECRET;
use crate::exit::usage;

/// The largest body that is read; receivers take no larger one.
const BODY_BYTES_MAX: u64 = 10 << 20;

/// Secrets come by the environment or from files: arguments can be read by whoever lists processes.
pub(crate) const ENVIRONMENT: &str = "\
Environment:
  KLIKIT_WEBHOOK_SECRET  The webhook_secret_key, where neither --secret-env nor --secret-file is given";

/// Where secrets come from.
#[derive(clap::Args)]
pub(crate) struct SecretArgs {
    /// A variable that a webhook_secret_key stands in; may be given several times.
    #[arg(long = "secret-env", value_name = "NAME")]
    variables: Vec<String>,
    /// A file that a webhook_secret_key stands in; a line end behind it does not count. May be given several times.
    #[arg(long = "secret-file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only there to say why it is not.
    #[arg(long = "secret", value_name = "SECRET", hide = true)]
    on_the_command_line: Option<String>,
}

/// A secret, with where it came from.
pub(crate) struct NamedSecret {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

impl SecretArgs {
    /// All secrets; at least one.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<NamedSecret>> {
        if self.on_the_command_line.is_some() {
            return Err(usage(format!(
                "--secret is not taken, because command lines can be read by whoever lists processes; \
                 set {WEBHOOK_SECRET}, or name a variable with --secret-env or a file with --secret-file"
            )));
        }
        let mut secrets = Vec::new();
        for name in &self.variables {
            secrets.push(of_variable(name)?);
        }
        for path in &self.files {
            secrets.push(of_file(path)?);
        }
        if secrets.is_empty() {
            secrets.push(of_variable(WEBHOOK_SECRET)?);
        }
        Ok(secrets)
    }

    /// The one secret to sign with.
    pub(crate) fn read_one(&self) -> anyhow::Result<NamedSecret> {
        let mut secrets = self.read()?;
        let secret = secrets.remove(0);
        match secrets.as_slice() {
            [] => Ok(secret),
            [other, ..] => Err(usage(format!(
                "expected one secret to sign with, found that of {} and that of {}",
                secret.name, other.name
            ))),
        }
    }
}

fn of_variable(name: &str) -> anyhow::Result<NamedSecret> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(NamedSecret { name: name.to_owned(), secret: Secret::new(text) }),
        Ok(_) | Err(std::env::VarError::NotPresent) => {
            Err(usage(format!("{name} is not set: expected the webhook_secret_key in it")))
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(usage(format!("{name}: not text"))),
    }
}

fn of_file(path: &Path) -> anyhow::Result<NamedSecret> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage(format!("--secret-file {name}: it cannot be read: {error}")))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(usage(format!(
            "--secret-file {name}: it is empty; expected the webhook_secret_key in it"
        )));
    }
    Ok(NamedSecret { name, secret: Secret::new(text) })
}

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read_body(file: &Path) -> anyhow::Result<Bytes> {
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(BODY_BYTES_MAX + 1).read_to_end(&mut body)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(BODY_BYTES_MAX + 1).read_to_end(&mut body))
    };
    read.map_err(|error| usage(format!("{}: it cannot be read: {error}", file.display())))?;
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(usage(format!("{}: expected at most {BODY_BYTES_MAX} bytes", file.display())));
    }
    Ok(body.into())
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
