//! `hookit doctor`: whether a machine, a data folder and an endpoint are in order, and what to do where they are not.
//!
//! It looks and changes nothing, so it may be run beside a server at work.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookit_contract::{AttemptOutcome, Clock as _, Timestamp};
use hookit_egress::{AddressPolicy, Call, Egress, EgressConfig, EndpointUrl};
use hookit_server::SystemClock;
use hookit_store::sqlite::examine;
use http::{HeaderMap, Method, header};
use serde::Serialize;

use crate::config::{self, InboxFile, PlatformFile};
use crate::exit::{Exit, usage};
use crate::output::{self, Output};

/// Before this moment no hookit was made: a clock that says so is wrong.
const CLOCK_MIN: Timestamp = Timestamp::from_millis(1_764_000_000_000);
/// A clock that differs by more is worth a word, or wrong.
const CLOCK_SLIGHTLY_OFF: Duration = Duration::from_secs(5);
const CLOCK_OFF: Duration = Duration::from_secs(60);
/// Less free space is worth a word, or too little.
const FREE_MIB_LOW: u64 = 5 * 1024;
const FREE_MIB_TOO_LOW: u64 = 512;
/// A commit waits for one of these.
const SYNC_SLOW: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder of a platform or an inbox.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A platform's configuration file.
    #[arg(long, value_name = "FILE")]
    platform_config: Option<PathBuf>,
    /// An inbox's configuration file.
    #[arg(long, value_name = "FILE")]
    inbox_config: Option<PathBuf>,
    /// An address that a server is to listen on; may be given several times.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// An endpoint that is to be reached: its name, address and certificate; may be given several times. It gets one GET.
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// How to print what was found.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    Doubtful,
    Wrong,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Looked {
    what: String,
    state: State,
    found: String,
    /// What to do, where it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

fn good(what: impl Into<String>, found: impl Into<String>) -> Looked {
    Looked { what: what.into(), state: State::Good, found: found.into(), mend: None }
}

fn bad(state: State, what: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Looked {
    Looked { what: what.into(), state, found: found.into(), mend: Some(mend.into()) }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut all = vec![clock(SystemClock.now())];
    if let Some(data) = &args.data {
        folder(data, &mut all).await?;
    }
    if let Some(path) = &args.platform_config {
        let read = config::read::<PlatformFile>(Some(path)).and_then(|file| file.resolve(false).map(drop));
        all.push(configuration(path, read));
    }
    if let Some(path) = &args.inbox_config {
        let read = config::read::<InboxFile>(Some(path)).and_then(|file| file.resolve().map(drop));
        all.push(configuration(path, read));
    }
    all.extend(args.listen.iter().map(|address| port(*address)));
    for url in &args.url {
        endpoint(url, &mut all).await?;
    }
    match args.output {
        Output::Table => output::print(&all.iter().map(words).collect::<String>())?,
        Output::Json => output::print_json(&all)?,
    }
    Ok(if all.iter().any(|looked| looked.state == State::Wrong) { Exit::Differs } else { Exit::Success })
}

fn words(looked: &Looked) -> String {
    let mark = match looked.state {
        State::Good => "✓",
        State::Doubtful => "!",
        State::Wrong => "✗",
    };
    let mend = looked.mend.as_ref().map_or_else(String::new, |mend| format!("    → {mend}\n"));
    format!("{mark} {}: {}\n{mend}", looked.what, looked.found)
}

const SET_THE_CLOCK: &str = "let the machine set its clock by NTP (timedatectl set-ntp true, or chrony)";

fn clock(now: Timestamp) -> Looked {
    if now < CLOCK_MIN {
        return bad(State::Wrong, "clock", format!("it says {now}"), SET_THE_CLOCK);
    }
    good("clock", format!("{now}; --url compares it with another one"))
}

async fn folder(data: &Path, all: &mut Vec<Looked>) -> anyhow::Result<()> {
    let name = format!("folder {}", data.display());
    let metadata = match std::fs::metadata(data) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            all.push(bad(State::Wrong, name, "it is a file", "name the folder that serve got with --data"));
            return Ok(());
        }
        Err(error) => {
            let mend = "name the folder that serve got with --data; serve makes it where there is none";
            all.push(bad(State::Wrong, name, error.to_string(), mend));
            return Ok(());
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    all.push(match mode & 0o077 {
        0 => good(&name, format!("mode {mode:03o}")),
        _ => {
            let mend = format!("chmod 700 {}", data.display());
            bad(State::Doubtful, &name, format!("mode {mode:03o}, so others can look into it"), mend)
        }
    });
    for file in ["platform.key", "operator.token"] {
        all.extend(private(&data.join(file)));
    }
    if data.join("platform.db").exists() && !data.join("platform.key").exists() {
        all.push(bad(
            State::Wrong,
            format!("key {}", data.join("platform.key").display()),
            "it is missing, and without it the webhook secrets in the database cannot be read",
            "restore it from the backup that the database is from; a new key is of no use",
        ));
    }
    all.push(space(data).await);
    all.push(sync(data));
    let folder = data.to_owned();
    match tokio::task::spawn_blocking(move || examine(&folder)).await? {
        Ok(examined) => all.extend(examined.into_iter().map(|database| {
            let name = format!("database {}", database.path.display());
            match database.problems.first() {
                None => good(name, format!("{}, whole", database.what)),
                Some(first) => bad(
                    State::Wrong,
                    name,
                    format!("it is damaged: {first}"),
                    "stop the server, keep a copy of the folder, and restore the last backup; look at the disk",
                ),
            }
        })),
        Err(error) => all.push(bad(
            State::Wrong,
            "database",
            format!("{:#}", anyhow::Error::from(error)),
            "run doctor as the user that the server runs as; a newer schema needs a newer hookit",
        )),
    }
    Ok(())
}

/// A file that nobody else may read; nothing to say where there is none.
fn private(path: &Path) -> Option<Looked> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let name = format!("secret {}", path.display());
    Some(if mode & 0o077 == 0 {
        good(name, format!("mode {mode:03o}"))
    } else {
        bad(
            State::Wrong,
            name,
            format!("mode {mode:03o}, so others on this machine may read it"),
            format!("chmod 600 {}, and think of it as known", path.display()),
        )
    })
}

/// Free space, as `df` has it: the standard library does not know.
async fn space(data: &Path) -> Looked {
    let name = "disk space";
    let output = tokio::process::Command::new("df").arg("-Pk").arg(data).output().await;
    let free_kib = output.ok().and_then(|output| free_kib(&String::from_utf8_lossy(&output.stdout)));
    let Some(free_kib) = free_kib else {
        return bad(State::Doubtful, name, "df says nothing that can be read", "look at it by hand");
    };
    let free_mib = free_kib / 1024;
    let found = format!("{free_mib} MiB free");
    let mend = "make room, or lower retention_days; a full disk refuses changes, and loses none";
    match free_mib {
        ..FREE_MIB_TOO_LOW => bad(State::Wrong, name, found, mend),
        FREE_MIB_TOO_LOW..FREE_MIB_LOW => bad(State::Doubtful, name, found, mend),
        _ => good(name, found),
    }
}

fn free_kib(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// Whether files can be made, and how long a sync takes.
#[expect(clippy::disallowed_methods, reason = "a stretch of time is measured and shown")]
fn sync(data: &Path) -> Looked {
    let name = "disk writes";
    let started = std::time::Instant::now();
    let written = tempfile::NamedTempFile::new_in(data).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &[0; 8192])?;
        file.as_file().sync_all()
    });
    let took = started.elapsed();
    match written {
        Err(error) => {
            let mend = "give the folder to the user that the server runs as; look whether the disk is full";
            bad(State::Wrong, name, format!("no file can be made: {error}"), mend)
        }
        Ok(()) if took > SYNC_SLOW => {
            let mend = "changes are answered after a sync: a faster disk makes them faster";
            bad(State::Doubtful, name, format!("a sync takes {} ms", took.as_millis()), mend)
        }
        Ok(()) => good(name, format!("a sync takes {:.1} ms", took.as_secs_f64() * 1000.0)),
    }
}

fn configuration(path: &Path, read: anyhow::Result<()>) -> Looked {
    let name = format!("configuration {}", path.display());
    match read {
        Ok(()) => good(name, "every setting is in its range"),
        Err(error) => bad(
            State::Wrong,
            name,
            format!("{error:#}"),
            "the examples folder has every setting with its range",
        ),
    }
}

fn port(address: SocketAddr) -> Looked {
    let name = format!("port {address}");
    match std::net::TcpListener::bind(address) {
        Ok(_) => good(name, "it is free"),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bad(
            State::Doubtful,
            name,
            "somebody listens there already",
            "fine where it is the server itself; else find who it is (ss -ltnp), or choose another port",
        ),
        Err(error) => bad(
            State::Wrong,
            name,
            error.to_string(),
            "choose an address of this machine; ports below 1024 need a right of their own",
        ),
    }
}

async fn endpoint(url: &str, all: &mut Vec<Looked>) -> anyhow::Result<()> {
    let config = EgressConfig {
        addresses: AddressPolicy::AllowPrivate,
        https_required: false,
        ..EgressConfig::default()
    };
    let parsed =
        EndpointUrl::parse(url, &config.url_rules()).map_err(|error| usage(format!("--url: {error}")))?;
    let is_https = parsed.is_https();
    let call =
        Call { method: Method::GET, url: parsed, headers: HeaderMap::new(), body: bytes::Bytes::new() };
    let called = Egress::new(config)?.call(call, SystemClock.now()).await;
    let (attempt, now) = (called.attempt, SystemClock.now());
    let name = format!("endpoint {url}");
    let why = attempt.error.unwrap_or_else(|| attempt.outcome.to_string());
    let wrong = |mend: &str| bad(State::Wrong, &name, format!("{}: {why}", attempt.outcome), mend);
    all.push(match attempt.outcome {
        AttemptOutcome::NameNotResolved => wrong("look at the name, and at this machine's DNS (/etc/resolv.conf)"),
        AttemptOutcome::AddressForbidden => {
            wrong("link-local addresses and the like are never dialled; see [egress] allowed_networks")
        }
        AttemptOutcome::ConnectFailed => wrong("look at the port, at firewalls on the way, and whether the server runs"),
        AttemptOutcome::TlsFailed => wrong(
            "look at the certificate: its dates, its names, and whether it comes with its intermediate ones; and at this clock",
        ),
        AttemptOutcome::TimedOut => wrong("nothing within 10 s, which is how long a delivery may take"),
        AttemptOutcome::ConnectionLost | AttemptOutcome::AnswerUnreadable => {
            wrong("what answers there speaks no HTTP, or breaks off")
        }
        // A webhook's URL does not care for GET: any status says that it is there.
        AttemptOutcome::Acknowledged | AttemptOutcome::Refused => {
            let status = attempt.status.map_or_else(String::new, |status| format!(" to a GET: {status}"));
            let tls = if is_https { ", with a good certificate" } else { "" };
            good(&name, format!("it answers{status}{tls}"))
        }
    });
    let date = called.headers.get(header::DATE).and_then(|value| value.to_str().ok());
    all.extend(date.and_then(http_date).map(|theirs| compared(url, now, theirs)));
    Ok(())
}

/// A date as HTTP writes it.
fn http_date(text: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

fn compared(url: &str, ours: Timestamp, theirs: Timestamp) -> Looked {
    let off = ours.since(theirs).max(theirs.since(ours));
    let name = format!("clock beside that of {url}");
    let found = format!("{} s apart", off.as_secs());
    match off {
        off if off > CLOCK_OFF => bad(State::Wrong, name, found, SET_THE_CLOCK),
        off if off > CLOCK_SLIGHTLY_OFF => bad(State::Doubtful, name, found, SET_THE_CLOCK),
        _ => good(name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_read_from_df() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 61202244 12050000 49135860 20% /\n";
        assert_eq!(free_kib(df), Some(49_135_860));
        assert_eq!(free_kib("df: nothing\n"), None);
    }

    #[test]
    fn clocks_are_compared_either_way() {
        let at = |seconds: i64| Timestamp::from_millis(1_800_000_000_000 + seconds * 1000);
        for (ours, theirs, expected) in [
            (0, 2, State::Good),
            (20, 0, State::Doubtful),
            (0, 20, State::Doubtful),
            (0, 3_600, State::Wrong),
        ] {
            assert_eq!(compared("x", at(ours), at(theirs)).state, expected, "{ours} {theirs}");
        }
        assert_eq!(clock(Timestamp::from_millis(0)).state, State::Wrong);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_millis(784_111_777_000)));
    }
}
