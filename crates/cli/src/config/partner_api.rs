//! Where the inbox reaches the Partner API, when it asks what it missed, and how long it tries to make moves.

use std::path::PathBuf;
use std::time::Duration;

use hookit_contract::{BranchId, BrandId};
use hookit_inbox::{PartnerApiConfig, ReconcileConfig};
use hookit_server::{Secret, read_private_file};
use serde::Deserialize;

use super::{Number, Problems};

/// Environment variables of the credential.
const PARTNER_KEY: &str = "KLIKIT_PARTNER_KEY";
const SECRET_KEY: &str = "KLIKIT_SECRET_KEY";

const DAY_S: u64 = 86_400;

pub(super) const INTERVAL_S: Number = Number::new("reconcile.interval_s", 1, DAY_S);
pub(super) const SETTLE_S: Number = Number::new("reconcile.settle_s", 0, 3_600);
pub(super) const QUIET_S: Number = Number::new("reconcile.quiet_s", 1, DAY_S);
pub(super) const LOOKBACK_DAYS: Number = Number::new("reconcile.lookback_days", 1, 3_650);
pub(super) const RECENT_HOURS: Number = Number::new("reconcile.recent_hours", 1, 8_760);
pub(super) const PAGE_SIZE: Number = Number::new("reconcile.page_size", 1, 1_000);
/// The platform knows a move's key for a day.
pub(super) const MOVES_HOLD_TIME_S: Number = Number::new("moves.hold_time_s", 1, DAY_S);

/// The Partner API and the credential for it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PartnerApiFile {
    url: Option<String>,
    allow_http: bool,
    partner_key: Option<String>,
    secret_key_file: Option<PathBuf>,
}

/// When and how far the inbox asks.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReconcileFile {
    interval_s: u64,
    settle_s: u64,
    quiet_s: u64,
    lookback_days: u64,
    recent_hours: u64,
    page_size: u64,
    brand_ids: Vec<i64>,
    branch_ids: Vec<i64>,
}

impl Default for ReconcileFile {
    fn default() -> Self {
        let config = ReconcileConfig::default();
        ReconcileFile {
            interval_s: config.interval.as_secs(),
            settle_s: config.settle.as_secs(),
            quiet_s: config.quiet.as_secs(),
            lookback_days: config.lookback.as_secs() / DAY_S,
            recent_hours: config.recent.as_secs() / 3_600,
            page_size: config.page_size,
            brand_ids: Vec::new(),
            branch_ids: Vec::new(),
        }
    }
}

/// Moves of the partner's own.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MovesFile {
    hold_time_s: u64,
}

impl Default for MovesFile {
    fn default() -> Self {
        MovesFile { hold_time_s: hookit_inbox::MOVES_HOLD_TIME.as_secs() }
    }
}

impl PartnerApiFile {
    /// Where it is and the credential for it; none where no URL is set. What of the credential is in the environment counts
    /// before what is in the file.
    pub(super) fn resolve(
        self,
        variable: impl Fn(&str) -> Option<String>,
        problems: &mut Problems,
    ) -> Option<PartnerApiConfig> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (partner_key, secret_key) = (variable(PARTNER_KEY), variable(SECRET_KEY));
        let Some(url) = self.url else {
            let is_meant =
                self.partner_key.is_some() || self.secret_key_file.is_some() || secret_key.is_some();
            if is_meant {
                problems.0.push("partner_api.url: missing beside the credential".to_owned());
            }
            return None;
        };
        let partner_key = partner_key.or(self.partner_key).or_else(|| {
            problems.0.push(format!("partner_api.partner_key: missing, and {PARTNER_KEY} is not set"));
            None
        });
        let secret_key = match (secret_key, self.secret_key_file) {
            (Some(secret_key), _) => Some(Secret::new(secret_key)),
            (None, Some(path)) => read_private_file(&path)
                .map_err(|error| {
                    let cause =
                        std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
                    problems.0.push(format!("partner_api.secret_key_file: {error}{cause}"));
                })
                .ok(),
            (None, None) => {
                problems.0.push(format!("partner_api.secret_key_file: missing, and {SECRET_KEY} is not set"));
                None
            }
        };
        Some(PartnerApiConfig {
            url,
            partner_key: partner_key?,
            secret_key: secret_key?,
            http_allowed: self.allow_http,
        })
    }
}

impl ReconcileFile {
    pub(super) fn resolve(self, problems: &mut Problems) -> ReconcileConfig {
        problems.within(&INTERVAL_S, self.interval_s);
        problems.within(&SETTLE_S, self.settle_s);
        problems.within(&QUIET_S, self.quiet_s);
        problems.within(&LOOKBACK_DAYS, self.lookback_days);
        problems.within(&RECENT_HOURS, self.recent_hours);
        problems.within(&PAGE_SIZE, self.page_size);
        ReconcileConfig {
            interval: Duration::from_secs(self.interval_s),
            settle: Duration::from_secs(self.settle_s),
            quiet: Duration::from_secs(self.quiet_s),
            lookback: Duration::from_secs(self.lookback_days.saturating_mul(DAY_S)),
            recent: Duration::from_secs(self.recent_hours.saturating_mul(3_600)),
            page_size: self.page_size,
            brand_ids: self.brand_ids.into_iter().map(BrandId).collect(),
            branch_ids: self.branch_ids.into_iter().map(BranchId).collect(),
            ..ReconcileConfig::default()
        }
    }
}

impl MovesFile {
    pub(super) fn resolve(self, problems: &mut Problems) -> Duration {
        problems.within(&MOVES_HOLD_TIME_S, self.hold_time_s);
        Duration::from_secs(self.hold_time_s)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::InboxFile;
    use super::*;

    fn resolve(text: &str, set: &[(&str, &str)]) -> (Option<PartnerApiConfig>, String) {
        let file: InboxFile = toml::from_str(text).unwrap();
        let mut problems = Problems::default();
        let variable =
            |name: &str| set.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        let found = file.partner_api.resolve(variable, &mut problems);
        (found, problems.0.join("; "))
    }

    #[test]
    fn each_setting_reaches_its_part() {
        let file: InboxFile = toml::from_str(
            "reconcile = { interval_s = 1, settle_s = 2, quiet_s = 3, lookback_days = 4, recent_hours = 5, \
             page_size = 6, brand_ids = [7], branch_ids = [8, 9] }\nmoves = { hold_time_s = 10 }",
        )
        .unwrap();
        let mut problems = Problems::default();
        let found = file.reconcile.resolve(&mut problems);
        let expected = ReconcileConfig {
            interval: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            quiet: Duration::from_secs(3),
            lookback: Duration::from_secs(4 * 86_400),
            recent: Duration::from_secs(5 * 3_600),
            page_size: 6,
            brand_ids: vec![BrandId(7)],
            branch_ids: vec![BranchId(8), BranchId(9)],
            ..ReconcileConfig::default()
        };
        assert_eq!(found, expected);
        assert_eq!(file.moves.resolve(&mut problems), Duration::from_secs(10));
        assert_eq!(problems.0, [""; 0]);
        assert_eq!(ReconcileFile::default().resolve(&mut problems), ReconcileConfig::default());
    }

    #[test]
    fn the_credential_comes_from_the_environment_or_a_private_file_and_what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        std::fs::write(&path, "sk_of_the_file\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let url = "[partner_api]\nurl = \"https://api.example.com\"\n";
        let with_file = format!("{url}partner_key = \"pk_file\"\nsecret_key_file = {path:?}\n");

        let (found, problems) = resolve(&with_file, &[]);
        let found = found.unwrap();
        assert_eq!((found.partner_key.as_str(), found.secret_key.expose()), ("pk_file", "sk_of_the_file"));
        assert!(problems.is_empty() && !found.http_allowed && !format!("{found:?}").contains("sk_"));
        let (found, _) = resolve(&with_file, &[(PARTNER_KEY, "pk_env"), (SECRET_KEY, "sk_env")]);
        let found = found.unwrap();
        assert_eq!((found.partner_key.as_str(), found.secret_key.expose()), ("pk_env", "sk_env"));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let missing = format!("{url}partner_key = \"pk\"\nsecret_key_file = \"/no/such/file\"\n");
        for (text, set, words) in [
            ("", vec![], ""),
            ("", vec![(SECRET_KEY, "sk_env")], "partner_api.url: missing"),
            (url, vec![(SECRET_KEY, "sk_env")], "partner_api.partner_key: missing, and KLIKIT_PARTNER_KEY"),
            (
                url,
                vec![(PARTNER_KEY, "pk"), (SECRET_KEY, "")],
                "secret_key_file: missing, and KLIKIT_SECRET_KEY",
            ),
            (&with_file, vec![], "chmod 600"),
            (&missing, vec![], "partner_api.secret_key_file: /no/such/file cannot be read"),
        ] {
            let (found, problems) = resolve(text, &set);
            assert!(found.is_none() && problems.contains(words), "{text}: {problems}");
            assert_eq!(words.is_empty(), problems.is_empty(), "{text}: {problems}");
        }
    }
}
