//! Whose deliveries the inbox takes, from where, and who may read its view.

use std::path::PathBuf;

use hookit_inbox::{BasicAuth, NamedSecret, Sources};
use serde::Deserialize;

use super::{Problems, placed_secret};

/// The environment's webhook secret, as in klikit's published receivers.
pub(crate) const WEBHOOK_SECRET: &str = "KLIKIT_WEBHOOK_SECRET";
/// What it is called in logs and figures.
const WEBHOOK_SECRET_NAME: &str = "klikit";

/// The environment's read token.
pub(crate) const READ_TOKEN: &str = "HOOKIT_INBOX_TOKEN";
/// What it is called in logs.
const READ_TOKEN_NAME: &str = "environment";

/// What a delivery must have beside its signature.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReceiveFile {
    allowed_networks: Vec<String>,
    trusted_proxies: Vec<String>,
    user: Option<String>,
    password_env: Option<String>,
    password_file: Option<PathBuf>,
}

/// A secret that deliveries may be signed with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretFile {
    name: String,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
}

/// A token that shows its bearer the view.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadTokenFile {
    name: String,
    token_env: Option<String>,
    token_file: Option<PathBuf>,
}

impl ReceiveFile {
    pub(super) fn sources(&self, problems: &mut Problems) -> Option<Sources> {
        let allowed = problems.networks("receive.allowed_networks", &self.allowed_networks);
        let trusted_proxies = problems.networks("receive.trusted_proxies", &self.trusted_proxies);
        if !self.allowed_networks.is_empty() {
            return Some(Sources { allowed: allowed?, trusted_proxies: trusted_proxies? });
        }
        if !self.trusted_proxies.is_empty() {
            problems
                .0
                .push("receive.trusted_proxies: without receive.allowed_networks it says nothing".to_owned());
        }
        None
    }

    pub(super) fn basic_auth(&self, problems: &mut Problems) -> Option<BasicAuth> {
        let password = placed_secret("password", self.password_env.as_deref(), self.password_file.as_deref());
        match (self.user.clone(), password) {
            (None, Ok(None)) => None,
            (Some(user), Ok(Some(password))) => Some(BasicAuth { user, password }),
            (None, _) => problems.refuse("receive.user: missing beside the password"),
            (_, Ok(None)) => problems.refuse("receive.password_file: missing beside the user"),
            (_, Err(problem)) => problems.refuse(&format!("receive.{problem}")),
        }
    }
}

/// The secrets of the file and the one of the environment.
pub(super) fn secrets(
    file: &[SecretFile],
    variable: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Vec<NamedSecret> {
    let listed = file.iter().map(|one| {
        let secret = placed_secret("secret", one.secret_env.as_deref(), one.secret_file.as_deref());
        (&one.name, secret, "secret_file")
    });
    named("secrets", listed, (WEBHOOK_SECRET, WEBHOOK_SECRET_NAME), variable, problems)
}

/// The read tokens of the file and the one of the environment.
pub(super) fn read_tokens(
    file: &[ReadTokenFile],
    variable: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Vec<NamedSecret> {
    let listed = file.iter().map(|one| {
        let token = placed_secret("token", one.token_env.as_deref(), one.token_file.as_deref());
        (&one.name, token, "token_file")
    });
    named("read_tokens", listed, (READ_TOKEN, READ_TOKEN_NAME), variable, problems)
}

/// The one of the environment first, then what is listed, each read from its place.
fn named<'f>(
    setting: &str,
    listed: impl Iterator<Item = (&'f String, Result<Option<hookit_server::Secret>, String>, &'static str)>,
    (name_of_variable, name): (&str, &str),
    variable: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Vec<NamedSecret> {
    let mut all = Vec::new();
    if let Some(secret) = variable(name_of_variable).filter(|secret| !secret.is_empty()) {
        all.push(NamedSecret { name: name.to_owned(), secret: hookit_server::Secret::new(secret) });
    }
    for (index, (name, secret, expected)) in listed.enumerate() {
        let place = format!("{setting}[{index}] ({name})");
        match secret {
            Ok(Some(secret)) => all.push(NamedSecret { name: name.clone(), secret }),
            Ok(None) => problems.0.push(format!("{place}: {expected} is missing")),
            Err(problem) => problems.0.push(format!("{place}: {problem}")),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::InboxFile;

    fn nothing_set(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn secrets_and_tokens_come_from_the_environment_and_from_private_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, format!("hush-{name}-0123456789\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let (next, open, kitchen) = (path("next", 0o600), path("open", 0o644), path("kitchen", 0o400));
        let file: InboxFile = toml::from_str(&format!(
            "[[secrets]]\nname = \"next\"\nsecret_file = {next:?}\n[[secrets]]\nname = \"open\"\nsecret_file = {open:?}\n\
             [[secrets]]\nname = \"none\"\n[[read_tokens]]\nname = \"kitchen\"\ntoken_file = {kitchen:?}\n\
             [[read_tokens]]\nname = \"both\"\ntoken_file = {kitchen:?}\ntoken_env = \"X\"\n"
        ))
        .unwrap();
        let mut problems = Problems::default();
        let of_environment = |name: &str| (name == WEBHOOK_SECRET).then(|| "whsec_hush".to_owned());
        let both = secrets(&file.secrets, of_environment, &mut problems);
        let shown: Vec<_> = both.iter().map(|one| (one.name.as_str(), one.secret.expose())).collect();
        assert_eq!(shown, [("klikit", "whsec_hush"), ("next", "hush-next-0123456789")]);
        let tokens = read_tokens(&file.read_tokens, nothing_set, &mut problems);
        assert_eq!(tokens[0].secret.expose(), "hush-kitchen-0123456789");
        let told = problems.0.join("\n");
        for expected in [
            "secrets[1] (open): secret_file: ",
            "mode 644",
            "secrets[2] (none): secret_file is missing",
            "read_tokens[1] (both): expected one of token_env and token_file, found both",
        ] {
            assert!(told.contains(expected), "{expected} is not in: {told}");
        }
        assert_eq!(problems.0.len(), 3, "{told}");
        assert!(!told.contains("hush"), "{told}");
    }

    #[test]
    fn networks_and_basic_credentials_are_checked_together() {
        let file: InboxFile = toml::from_str(
            "[receive]\nallowed_networks = [\"203.0.113.0/24\", \"203.0.113.1/24\"]\ntrusted_proxies = [\"x\"]\nuser = \"pos\"",
        )
        .unwrap();
        let mut problems = Problems::default();
        assert!(
            file.receive.sources(&mut problems).is_none() && file.receive.basic_auth(&mut problems).is_none()
        );
        let told = problems.0.join("\n");
        for expected in [
            "receive.allowed_networks[1]: ",
            "receive.trusted_proxies[0]: ",
            "receive.password_file: missing beside the user",
        ] {
            assert!(told.contains(expected), "{expected} is not in: {told}");
        }
        let file: InboxFile = toml::from_str("[receive]\ntrusted_proxies = [\"10.0.0.0/8\"]").unwrap();
        let mut problems = Problems::default();
        assert!(file.receive.sources(&mut problems).is_none());
        assert!(problems.0[0].starts_with("receive.trusted_proxies: without"), "{:?}", problems.0);
    }
}
