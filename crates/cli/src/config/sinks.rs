//! `[[sinks]]` of an inbox's configuration file. Secrets stand in no file of settings: a setting names the environment
//! variable or the private file that has one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hookit_engine::RetryPlan;
use hookit_inbox::BasicAuth;
use hookit_inbox::sinks::{
    CommandSink, HttpSink, NatsAuth, NatsSink, NdjsonSink, PostgresSink, SinkConfig, SinkKind,
};
use hookit_server::Secret;
use hookit_store::inbox::SinkStart;
use serde::Deserialize;

/// One sink, as it is written. Which of the settings it may have is said by its kind.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkFile {
    name: String,
    kind: Kind,
    #[serde(default)]
    start: Start,
    timeout_ms: Option<u64>,
    retry_delays_ms: Option<Vec<u64>>,
    in_flight_max: Option<usize>,

    url: Option<String>,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    user: Option<String>,
    password_env: Option<String>,
    password_file: Option<PathBuf>,
    token_env: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    private_addresses: Option<bool>,
    path: Option<PathBuf>,
    command: Option<Vec<String>>,
    environment: Option<Vec<String>>,
    folder: Option<PathBuf>,
    subject: Option<String>,
    stream: Option<String>,
    table: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Http,
    Ndjson,
    Command,
    Nats,
    Postgres,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Start {
    /// With the oldest change that is kept.
    #[default]
    Oldest,
    /// With the next change.
    Next,
}

/// The subject of a change where none is set.
const SUBJECT: &str = "klikit.orders.{brand_id}.{branch_id}.{order_id}";
/// The table where none is set.
const TABLE: &str = "klikit_orders";
/// The variable with the secret of an HTTP sink where none is named: the one that deliveries are signed with.
const SECRET: &str = "KLIKIT_WEBHOOK_SECRET";

const TIMEOUT_MS: (u64, u64) = (100, 600_000);
const IN_FLIGHT_MAX: (usize, usize) = (1, 1_000);

/// Gathers what is wrong with one sink.
struct Problems<'a> {
    /// `sinks[0] (pos)`.
    sink: String,
    all: &'a mut Vec<String>,
}

impl Problems<'_> {
    fn add(&mut self, problem: impl std::fmt::Display) {
        self.all.push(format!("{}: {problem}", self.sink));
    }

    fn needed<T>(&mut self, setting: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(format_args!("{setting} is missing"));
        }
        value
    }

    /// A secret from where the settings say that it is; none where they name no place.
    fn secret(&mut self, what: &str, variable: Option<&str>, file: Option<&Path>) -> Option<Secret> {
        super::placed_secret(what, variable, file).unwrap_or_else(|problem| {
            self.add(problem);
            None
        })
    }
}

impl SinkFile {
    /// Checks the sink and reads its secrets; none where that cannot be done, with what is wrong among the problems.
    pub(crate) fn resolve(&self, index: usize, problems: &mut Vec<String>) -> Option<SinkConfig> {
        let mut problems = Problems { sink: format!("sinks[{index}] ({})", self.name), all: problems };
        self.refuse_what_the_kind_has_not(&mut problems);
        let kind = match self.kind {
            Kind::Http => self.http(&mut problems).map(SinkKind::Http),
            Kind::Ndjson => problems.needed("path", self.path.clone()).map(|path| {
                SinkKind::Ndjson(if path == Path::new("-") {
                    NdjsonSink::Stdout
                } else {
                    NdjsonSink::File(path)
                })
            }),
            Kind::Command => problems.needed("command", self.command.clone()).map(|command| {
                let environment = self.environment.clone().unwrap_or_default();
                SinkKind::Command(CommandSink { command, environment, folder: self.folder.clone() })
            }),
            Kind::Nats => self.nats(&mut problems).map(SinkKind::Nats),
            Kind::Postgres => self.postgres(&mut problems).map(SinkKind::Postgres),
        };
        let retry = self.retry_delays_ms.as_ref().and_then(|delays| {
            let delays = delays.iter().copied().map(Duration::from_millis).collect();
            RetryPlan::new(delays)
                .map_err(|error| problems.add(format_args!("retry_delays_ms: {error}")))
                .ok()
        });
        if let Some(ms) = self.timeout_ms.filter(|ms| !(TIMEOUT_MS.0..=TIMEOUT_MS.1).contains(ms)) {
            problems.add(format_args!("timeout_ms is {ms}; expected {} to {}", TIMEOUT_MS.0, TIMEOUT_MS.1));
        }
        if let Some(max) = self.in_flight_max.filter(|max| !(IN_FLIGHT_MAX.0..=IN_FLIGHT_MAX.1).contains(max))
        {
            problems.add(format_args!(
                "in_flight_max is {max}; expected {} to {}",
                IN_FLIGHT_MAX.0, IN_FLIGHT_MAX.1
            ));
        }
        let mut config = SinkConfig::new(self.name.clone(), kind?);
        config.start = match self.start {
            Start::Oldest => SinkStart::Oldest,
            Start::Next => SinkStart::Next,
        };
        config.timeout = self.timeout_ms.map_or(config.timeout, Duration::from_millis);
        config.retry = retry.unwrap_or(config.retry);
        config.in_flight_max = self.in_flight_max.unwrap_or(config.in_flight_max);
        Some(config)
    }

    /// A setting of another kind would be passed over without a word.
    fn refuse_what_the_kind_has_not(&self, problems: &mut Problems<'_>) {
        use Kind::{Command, Http, Nats, Ndjson, Postgres};
        let settings: [(&str, bool, &[Kind]); 17] = [
            ("url", self.url.is_some(), &[Http, Nats, Postgres]),
            ("secret_env", self.secret_env.is_some(), &[Http]),
            ("secret_file", self.secret_file.is_some(), &[Http]),
            ("user", self.user.is_some(), &[Http, Nats]),
            ("password_env", self.password_env.is_some(), &[Http, Nats, Postgres]),
            ("password_file", self.password_file.is_some(), &[Http, Nats, Postgres]),
            ("token_env", self.token_env.is_some(), &[Nats]),
            ("token_file", self.token_file.is_some(), &[Nats]),
            ("ca_file", self.ca_file.is_some(), &[Http, Nats, Postgres]),
            ("private_addresses", self.private_addresses.is_some(), &[Http]),
            ("path", self.path.is_some(), &[Ndjson]),
            ("command", self.command.is_some(), &[Command]),
            ("environment", self.environment.is_some(), &[Command]),
            ("folder", self.folder.is_some(), &[Command]),
            ("subject", self.subject.is_some(), &[Nats]),
            ("stream", self.stream.is_some(), &[Nats]),
            ("table", self.table.is_some(), &[Postgres]),
        ];
        for (setting, is_set, kinds) in settings {
            if is_set && !kinds.contains(&self.kind) {
                problems.add(format_args!("{setting} is no setting of this kind of sink"));
            }
        }
    }

    fn password(&self, problems: &mut Problems<'_>) -> Option<Secret> {
        problems.secret("password", self.password_env.as_deref(), self.password_file.as_deref())
    }

    /// A user with the password; none where there is neither.
    fn user(&self, problems: &mut Problems<'_>) -> Option<(String, Secret)> {
        let is_named = self.password_env.is_some() || self.password_file.is_some();
        match (&self.user, self.password(problems)) {
            (Some(user), Some(password)) => Some((user.clone(), password)),
            (Some(_), None) if !is_named => {
                problems.add("user is set without password_env or password_file");
                None
            }
            (None, _) if is_named => {
                problems.add("user is missing beside the password");
                None
            }
            _ => None,
        }
    }

    fn http(&self, problems: &mut Problems<'_>) -> Option<HttpSink> {
        let url = problems.needed("url", self.url.clone());
        let variable = match (&self.secret_env, &self.secret_file) {
            (None, None) => Some(SECRET),
            (variable, _) => variable.as_deref(),
        };
        let secret = problems.secret("secret", variable, self.secret_file.as_deref());
        let basic_auth = self.user(problems).map(|(user, password)| BasicAuth { user, password });
        Some(HttpSink {
            url: url?,
            secret: secret?,
            basic_auth,
            private_addresses: self.private_addresses.unwrap_or(true),
            ca_file: self.ca_file.clone(),
        })
    }

    fn nats(&self, problems: &mut Problems<'_>) -> Option<NatsSink> {
        let url = problems.needed("url", self.url.clone());
        let token = problems.secret("token", self.token_env.as_deref(), self.token_file.as_deref());
        let auth = match (self.user(problems), token) {
            (Some(_), Some(_)) => {
                problems.add("expected a user or a token, found both");
                None
            }
            (Some((user, password)), None) => Some(NatsAuth::User { user, password }),
            (None, Some(token)) => Some(NatsAuth::Token(token)),
            (None, None) => None,
        };
        Some(NatsSink {
            url: url?,
            auth,
            subject: self.subject.clone().unwrap_or_else(|| SUBJECT.to_owned()),
            stream: self.stream.clone(),
            ca_file: self.ca_file.clone(),
        })
    }

    fn postgres(&self, problems: &mut Problems<'_>) -> Option<PostgresSink> {
        let url = problems.needed("url", self.url.clone());
        Some(PostgresSink {
            password: self.password(problems),
            url: url?,
            table: self.table.clone().unwrap_or_else(|| TABLE.to_owned()),
            ca_file: self.ca_file.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::InboxFile;
    use super::*;

    /// Cargo sets this variable for every test; what is in it serves as a secret.
    const VARIABLE: &str = "CARGO_MANIFEST_DIR";

    fn resolve(text: &str) -> Result<Vec<SinkConfig>, String> {
        let file: InboxFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.resolve().map(|parts| parts.sinks).map_err(|error| error.to_string())
    }

    fn with_secrets_that_are_there(text: &str) -> String {
        let line = |line: &str| match line.split_once("_env = \"") {
            Some((setting, _)) => format!("{setting}_env = \"{VARIABLE}\"\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_examples_of_the_document_can_be_used_each_by_itself_and_all_together() {
        let document = include_str!("../../../../docs/sinks.md");
        let blocks: Vec<String> = document
            .split("```toml\n")
            .skip(1)
            .map(|rest| with_secrets_that_are_there(rest.split("```").next().unwrap()))
            .collect();
        let mut kinds: Vec<&str> = Vec::new();
        for block in &blocks {
            let sinks = resolve(block).unwrap_or_else(|error| panic!("{error}: {block}"));
            kinds.extend(sinks.iter().map(|sink| sink.kind.as_str()));
        }
        assert_eq!(kinds, ["http", "ndjson", "command", "nats", "postgres"]);
        assert_eq!(resolve(&blocks.concat()).unwrap().len(), 5);
    }

    #[test]
    fn the_example_file_shows_a_sink_with_its_defaults() {
        let file = include_str!("../../../../examples/inbox.toml");
        let (_, commented) = file.split_once("# [[sinks]]\n").unwrap();
        let settings: String = commented
            .lines()
            .map(|line| line.trim_start_matches("# "))
            .filter(|line| line.contains(" = "))
            .fold("[[sinks]]\n".to_owned(), |text, line| text + line + "\n");
        let shown = resolve(&with_secrets_that_are_there(&settings)).unwrap().remove(0);
        let plain = "[[sinks]]\nname = \"pos\"\nkind = \"http\"\nsecret_env = \"CARGO_MANIFEST_DIR\"\n\
                     url = \"http://127.0.0.1:9000/webhooks/klikit\"\n";
        assert_eq!(format!("{shown:?}"), format!("{:?}", resolve(plain).unwrap()[0]));
    }

    #[test]
    fn what_is_wrong_with_a_sink_is_said_with_its_setting() {
        let http = "kind = \"http\"\nurl = \"http://127.0.0.1/\"\nsecret_env = \"CARGO_MANIFEST_DIR\"\n";
        for (settings, words) in [
            ("kind = \"http\"\nsecret_env = \"CARGO_MANIFEST_DIR\"".to_owned(), "url is missing"),
            ("kind = \"ndjson\"".to_owned(), "path is missing"),
            ("kind = \"command\"".to_owned(), "command is missing"),
            ("kind = \"nats\"".to_owned(), "url is missing"),
            ("kind = \"postgres\"".to_owned(), "url is missing"),
            ("kind = \"fax\"".to_owned(), "unknown variant `fax`"),
            (format!("{http}fax = 1"), "unknown field `fax`"),
            (format!("{http}table = \"orders\""), "table is no setting of this kind of sink"),
            (format!("{http}timeout_ms = 99"), "timeout_ms is 99; expected 100 to 600000"),
            (format!("{http}in_flight_max = 1001"), "in_flight_max is 1001; expected 1 to 1000"),
            (format!("{http}in_flight_max = 0"), "in_flight_max is 0; expected 1 to 1000"),
            (format!("{http}retry_delays_ms = []"), "retry_delays_ms: a retry plan has 1 to 32 delays"),
            (format!("{http}user = \"a\""), "user is set without password_env or password_file"),
            (format!("{http}password_env = \"CARGO_MANIFEST_DIR\""), "user is missing beside the password"),
            (format!("{http}secret_file = \"a\""), "expected one of secret_env and secret_file, found both"),
            (
                format!("{http}user = \"a\"\npassword_env = \"NOBODY_SETS_THIS\""),
                "NOBODY_SETS_THIS is not set",
            ),
            (
                format!("{http}user = \"a\"\npassword_file = \"/no/such\""),
                "password_file: /no/such cannot be read",
            ),
        ] {
            let error = resolve(&format!("[[sinks]]\nname = \"pos\"\n{settings}\n")).unwrap_err();
            assert!(error.contains(words), "{settings}: {error}");
        }
        let open = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let settings = format!("kind = \"http\"\nurl = \"http://a/\"\nsecret_file = {:?}", open.path());
        let error = resolve(&format!("[[sinks]]\nname = \"pos\"\n{settings}\n")).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
