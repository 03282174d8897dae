//! What an inbox is told at its start. Secrets are hidden in `Debug`; all problems are reported at once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::StatusCodes;
use hookit_server::Secret;

use crate::partner::PartnerApiConfig;
use crate::reconcile::ReconcileConfig;

/// Bodies up to this size do not draw on [`InboxConfig::large_bodies_bytes_max`]. A delivery of ordinary orders is
/// well below it, so junk in large bodies cannot crowd it out; the limit of connections bounds these.
pub(crate) const SMALL_BODY_BYTES: u64 = 64 << 10;

/// A `webhook_secret_key`, with a name that may be shown.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// What it is called in logs.
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
    /// Where set, the view is shown to whoever has it, as a Bearer token. Where not, to this machine alone.
    pub read_token: Option<Secret>,
    /// Where set, whoever has it, as a Bearer token, may move orders. Where not, nobody may.
    pub write_token: Option<Secret>,
    /// Where set, the Partner API is asked for what was missed, and told of moves.
    pub partner_api: Option<PartnerApiConfig>,
    /// When and how far it is asked.
    pub reconcile: ReconcileConfig,
    /// A move that the Partner API gave no answer to for so long is given up.
    pub moves_hold_time: Duration,
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
            read_token: None,
            write_token: None,
            partner_api: None,
            reconcile: ReconcileConfig::default(),
            moves_hold_time: crate::moves::HOLD_TIME,
            jitter_seed: 0,
            codes: StatusCodes::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), InboxConfigError> {
        let mut problems = Vec::new();
        if self.secrets.is_empty() {
            problems.push("secrets: at least one is needed, or nothing could be verified".to_owned());
        }
        for (i, named) in self.secrets.iter().enumerate() {
            // Anybody can sign with an empty key.
            if named.secret.expose().is_empty() {
                problems.push(format!("secrets[{i}]: {:?} is empty", named.name));
            }
            if self.secrets[..i].iter().any(|earlier| earlier.name == named.name) {
                problems.push(format!("secrets[{i}]: there are two of the name {:?}", named.name));
            }
        }
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
        if self.read_token.as_ref().is_some_and(|token| token.expose().trim().is_empty()) {
            problems
                .push("read_token: is empty; leave it out to show the view to this machine alone".to_owned());
        }
        if let Some(token) = &self.write_token {
            if token.expose().trim().is_empty() {
                problems.push("write_token: is empty; leave it out to let nobody move orders".to_owned());
            } else if self.read_token.as_ref().is_some_and(|read| read.matches(token.expose())) {
                problems.push(
                    "write_token: is the read token, too; whoever may read could move orders".to_owned(),
                );
            }
        }
        if let Some(partner_api) = &self.partner_api {
            problems.extend(partner_api.problems());
        }
        if problems.is_empty() { Ok(()) } else { Err(InboxConfigError { problems }) }
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
        config.read_token = Some(Secret::new(" "));
        let text = config.check().unwrap_err().to_string();
        for expected in [
            "secrets[1]",
            "secrets[2]",
            "large_bodies_bytes_max",
            "basic_auth.user",
            "basic_auth.password",
            "read_token",
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
        config.read_token = Some(Secret::new("hush_token"));
        let text = format!("{config:?}");
        assert!(!text.contains("hush") && text.contains("pos"), "{text}");
    }
}
