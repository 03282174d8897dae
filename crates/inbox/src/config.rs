//! What an inbox is told at its start. Secrets are hidden in `Debug`; all problems are reported at once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::StatusCodes;
use hookit_server::Secret;

use crate::partner::PartnerApiConfig;
use crate::reconcile::ReconcileConfig;
use crate::sources::Sources;

/// Bodies up to this size do not draw on [`InboxConfig::large_bodies_bytes_max`]. A delivery of ordinary orders is
/// well below it, so junk in large bodies cannot crowd it out; the limit of connections bounds these.
pub(crate) const SMALL_BODY_BYTES: u64 = 64 << 10;

/// Of secrets, and of read tokens, so many can be in use: each may have to be tried.
pub const NAMED_MAX: usize = 32;

/// Characters of a name of a secret or a token.
const NAME_CHARS_MAX: usize = 64;

/// The shortest token that may be set: of letters and digits it takes 80 bits.
const TOKEN_BYTES_MIN: usize = 16;

/// A `webhook_secret_key` or a token, with a name that may be shown.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// What it is called in logs and figures. 1 to 64 characters.
    pub name: String,
    /// The secret.
    pub secret: Secret,
}

/// A user and password that deliveries must carry beside the signature.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// The user; without a colon.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl BasicAuth {
    /// What stands after `Basic ` in the header.
    pub(crate) fn credentials(&self) -> Secret {
        let plain = zeroize::Zeroizing::new(format!("{}:{}", self.user, self.password.expose()));
        Secret::new(STANDARD.encode(plain.as_bytes()))
    }
}

/// An inbox's settings.
#[derive(Clone, Debug)]
pub struct InboxConfig {
    /// At least one. A signature by any of them is right, so that a secret can be changed without a gap.
    pub secrets: Vec<NamedSecret>,
    /// The body of a delivery. Beyond it: 413.
    pub body_bytes_max: usize,
    /// All bodies above 64 KiB that are in memory at a time, those announced included. Beyond it a delivery waits for
    /// room, as long as a body may take to arrive, and is then answered 503.
    pub large_bodies_bytes_max: usize,
    /// Where set, deliveries without these are refused.
    pub basic_auth: Option<BasicAuth>,
    /// Where set, deliveries from elsewhere are refused before their body is read.
    pub sources: Option<Sources>,
    /// Whoever has one of them, as a Bearer token, is shown the view. Where there is none, this machine alone is.
    pub read_tokens: Vec<NamedSecret>,
    /// Where set, whoever has it, as a Bearer token, may move orders. Where not, nobody may.
    pub write_token: Option<Secret>,
    /// Where set, the Partner API is asked for what was missed, and told of moves.
    pub partner_api: Option<PartnerApiConfig>,
    /// When and how far it is asked.
    pub reconcile: ReconcileConfig,
    /// A move that the Partner API gave no answer to for so long is given up.
    pub moves_hold_time: Duration,
    /// How long what came is kept once it is over.
    pub retention: Duration,
    /// Where nothing has come of an order for so long, the bodies of its earlier states are packed. None where they never are.
    pub pack_after: Option<Duration>,
    /// Seed of the jitter of pauses. Any number; another one after each start.
    pub jitter_seed: u64,
    /// Which code stands for which status, for the names that the history shows.
    pub codes: StatusCodes,
}

/// Everything that is wrong in an [`InboxConfig`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the inbox's configuration cannot be used: {}", problems.join("; "))]
pub struct InboxConfigError {
    /// A sentence for each problem, beginning with the setting.
    pub problems: Vec<String>,
}

impl InboxConfig {
    /// The defaults, with these secrets.
    pub fn new(secrets: Vec<NamedSecret>) -> Self {
        InboxConfig {
            secrets,
            body_bytes_max: 10 << 20,
            large_bodies_bytes_max: 256 << 20,
            basic_auth: None,
            sources: None,
            read_tokens: Vec::new(),
            write_token: None,
            partner_api: None,
            reconcile: ReconcileConfig::default(),
            moves_hold_time: crate::moves::HOLD_TIME,
            retention: crate::retention::RETENTION,
            pack_after: Some(crate::retention::PACK_AFTER),
            jitter_seed: 0,
            codes: StatusCodes::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), InboxConfigError> {
        let mut problems = Vec::new();
        if self.secrets.is_empty() {
            problems.push("secrets: at least one is needed, or nothing could be verified".to_owned());
        }
        // Anybody can sign with an empty key.
        check_named("secrets", &self.secrets, 1, &mut problems);
        check_named("read_tokens", &self.read_tokens, TOKEN_BYTES_MIN, &mut problems);
        if self.body_bytes_max == 0 {
            problems.push("body_bytes_max: must be above zero".to_owned());
        }
        if self.large_bodies_bytes_max < self.body_bytes_max {
            problems.push(format!(
                "large_bodies_bytes_max: {} is less than one body may have (body_bytes_max: {})",
                self.large_bodies_bytes_max, self.body_bytes_max
            ));
        }
        // Room is counted in the permits of a semaphore, which takes so many at a time.
        if u32::try_from(self.body_bytes_max).is_err() {
            problems.push(format!("body_bytes_max: at most {}", u32::MAX));
        }
        if self.large_bodies_bytes_max > tokio::sync::Semaphore::MAX_PERMITS {
            problems.push(format!("large_bodies_bytes_max: at most {}", tokio::sync::Semaphore::MAX_PERMITS));
        }
        if let Some(auth) = &self.basic_auth {
            if auth.user.contains(':') {
                problems.push("basic_auth.user: a colon cannot be in it".to_owned());
            }
            if auth.password.expose().is_empty() {
                problems.push("basic_auth.password: is empty".to_owned());
            }
        }
        if let Some(token) = &self.write_token {
            if token.expose().len() < TOKEN_BYTES_MIN {
                problems.push(format!("write_token: expected {TOKEN_BYTES_MIN} characters or more"));
            } else if let Some(read) =
                self.read_tokens.iter().find(|read| read.secret.matches(token.expose()))
            {
                problems.push(format!(
                    "write_token: is the read token {:?}, too; whoever may read could move orders",
                    read.name
                ));
            }
        }
        if let Some(partner_api) = &self.partner_api {
            problems.extend(partner_api.problems());
        }
        if problems.is_empty() { Ok(()) } else { Err(InboxConfigError { problems }) }
    }
}

/// What is wrong with some secrets and their names.
fn check_named(setting: &str, all: &[NamedSecret], bytes_min: usize, problems: &mut Vec<String>) {
    if all.len() > NAMED_MAX {
        problems.push(format!("{setting}: there are {}; expected at most {NAMED_MAX}", all.len()));
    }
    for (i, NamedSecret { name, secret }) in all.iter().enumerate() {
        let characters = name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&characters) || name.chars().any(char::is_control) {
            problems.push(format!(
                "{setting}[{i}].name: expected 1 to {NAME_CHARS_MAX} characters that can be shown"
            ));
        }
        if secret.expose().trim().is_empty() {
            problems.push(format!("{setting}[{i}]: {name:?} is empty"));
        } else if secret.expose().len() < bytes_min {
            problems.push(format!(
                "{setting}[{i}]: {name:?} is too short; expected {bytes_min} characters or more"
            ));
        }
        let earlier = &all[..i];
        if earlier.iter().any(|earlier| earlier.name == *name) {
            problems.push(format!("{setting}[{i}]: there are two of the name {name:?}"));
        }
        if let Some(same) = earlier.iter().find(|earlier| earlier.secret.matches(secret.expose())) {
            problems.push(format!("{setting}[{i}]: {name:?} is the same as {:?}", same.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, secret: &str) -> NamedSecret {
        NamedSecret { name: name.to_owned(), secret: Secret::new(secret) }
    }

    #[test]
    fn the_defaults_with_a_secret_can_be_used() {
        assert_eq!(InboxConfig::new(vec![named("a", "x")]).check(), Ok(()));
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let mut config = InboxConfig::new(vec![named("a", "x"), named("b", ""), named("a", "y")]);
        config.large_bodies_bytes_max = 5;
        config.basic_auth = Some(BasicAuth { user: "a:b".to_owned(), password: Secret::new("") });
        config.read_tokens =
            vec![named("kitchen", " "), named("office", "short"), named("", "0123456789abcdef")];
        config.write_token = Some(Secret::new("0123456789abcdef"));
        let text = config.check().unwrap_err().to_string();
        for expected in [
            "secrets[1]",
            "secrets[2]",
            "large_bodies_bytes_max",
            "basic_auth.user",
            "basic_auth.password",
            "read_tokens[0]: \"kitchen\" is empty",
            "read_tokens[1]: \"office\" is too short; expected 16",
            "read_tokens[2].name: expected 1 to 64",
            "write_token: is the read token",
        ] {
            assert!(text.contains(expected), "{expected} is not in: {text}");
        }
        let none = InboxConfig::new(Vec::new()).check().unwrap_err();
        assert_eq!(none.problems.len(), 1);
    }

    #[test]
    fn the_settings_show_no_secret() {
        let mut config = InboxConfig::new(vec![named("a", "whsec_hush")]);
        config.basic_auth = Some(BasicAuth { user: "pos".to_owned(), password: Secret::new("hush") });
        config.read_tokens = vec![named("kitchen", "hush_token")];
        let text = format!("{config:?}");
        assert!(!text.contains("hush") && text.contains("pos"), "{text}");
    }
}
