//! Starts that cannot succeed: one line that says what is wrong and with what, and an exit code that scripts can use.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::Scratch;
use crate::harness::halves::{Inbox, OPERATOR_TOKEN, Platform};
use crate::harness::process::Launch;

const USAGE: i32 = 2;
const FAILED: i32 = 6;

fn platform(data: &Path) -> Launch {
    without_token(data).variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN)
}

fn without_token(data: &Path) -> Launch {
    let launch = Launch::hookit(&["platform", "serve", "--log", "error", "--listen", "127.0.0.1:0"]);
    launch.argument("--data").argument(data)
}

fn inbox(data: &Path) -> Launch {
    let launch = Launch::hookit(&["inbox", "serve", "--log", "error", "--listen", "127.0.0.1:0"]);
    launch.argument("--data").argument(data).variable("KLIKIT_WEBHOOK_SECRET", "whsec_of_the_tests")
}

/// Runs a start that must fail with this exit code and a complaint that has all of these words: one line, or the
/// place in a configuration file with the line that is wrong.
async fn check(scratch: &Scratch, launch: Launch, code: i32, words: &[&str]) {
    let ended = launch.run(scratch).await;
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "standard output is for those who wait for an address");
    let complaint = ended.stderr.strip_suffix('\n').expect("a whole line");
    assert!(complaint.starts_with("hookit: "), "{complaint}");
    assert!(
        !complaint.contains('\n') || complaint.contains("TOML parse error at line"),
        "one line: {complaint}"
    );
    for word in words {
        assert!(complaint.contains(word), "expected {word:?} in: {complaint}");
    }
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (folder, launch) in [("p", platform as fn(&Path) -> Launch), ("i", inbox)] {
        let launch = launch(&scratch.path(folder));
        let launch = launch.replaced("127.0.0.1:0", &address);
        check(&scratch, launch, FAILED, &["--listen", &address, "in use"]).await;
    }
}

#[tokio::test]
async fn an_inbox_without_a_secret_says_which_variable_is_missing() {
    let scratch = Scratch::new();
    for secret in [None, Some("")] {
        let launch = Launch::hookit(&["inbox", "serve", "--listen", "127.0.0.1:0", "--data", "x"]);
        let launch = secret.into_iter().fold(launch, |l, secret| l.variable("KLIKIT_WEBHOOK_SECRET", secret));
        check(&scratch, launch, USAGE, &["KLIKIT_WEBHOOK_SECRET", "not set", "webhook_secret_key"]).await;
    }
    assert!(!scratch.path("x").exists(), "nothing was made");
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_refused() {
    let scratch = Scratch::new();
    for variable in ["HOOKIT_OPERATOR_TOKEN", "HOOKIT_METRICS_TOKEN"] {
        for token in ["short", "", "sixteen characters", "schlüssel_des_hauses"] {
            let launch = platform(&scratch.path("p")).variable(variable, token);
            check(&scratch, launch, USAGE, &[variable, "16 characters"]).await;
        }
    }
    // So is one that somebody has put into the folder.
    let data = scratch.path("chosen");
    std::fs::create_dir(&data).unwrap();
    let file = data.join("operator.token");
    for token in ["", "short\n"] {
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        check(&scratch, without_token(&data), USAGE, &[&file.display().to_string(), "16 characters"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_another_process_uses_is_refused_and_the_other_goes_on() {
    let scratch = Scratch::new();
    let running = Platform::start(&scratch, "").await;
    let receiving = Inbox::start(&scratch, "whsec_of_the_tests").await;
    let folder = running.data.display().to_string();
    check(&scratch, platform(&running.data), FAILED, &[&folder, "in use by another process"]).await;
    let folder = receiving.data.display().to_string();
    check(&scratch, inbox(&receiving.data), FAILED, &[&folder, "in use by another process"]).await;
    assert_eq!(running.status().await["orders"], 0);
    assert_eq!(receiving.client.get("/readyz").await["status"], "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_a_newer_hookit_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new();
    Platform::start(&scratch, "").await.server.stop().await;
    Inbox::start(&scratch, "whsec_of_the_tests").await.server.stop().await;
    for (name, launch) in [("platform", platform as fn(&Path) -> Launch), ("inbox", inbox)] {
        let data = scratch.path(name);
        let file = data.join(format!("{name}.db"));
        let set = rusqlite::Connection::open(&file).unwrap();
        set.pragma_update(None, "user_version", 4711).unwrap();
        drop(set);
        let before = std::fs::read(&file).unwrap();
        let shown = file.display().to_string();
        check(&scratch, launch(&data), FAILED, &[&shown, "newer hookit", "4711"]).await;
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_of_the_other_half_is_refused() {
    let scratch = Scratch::new();
    Platform::start(&scratch, "").await.server.stop().await;
    let data = scratch.path("platform");
    std::fs::copy(data.join("platform.db"), data.join("inbox.db")).unwrap();
    check(&scratch, inbox(&data), FAILED, &["inbox.db", "is not"]).await;
}

#[tokio::test]
async fn a_configuration_that_is_missing_wrong_or_unknown_is_named_with_its_file() {
    let scratch = Scratch::new();
    let missing = scratch.path("missing.toml");
    let unknown = scratch.write("unknown.toml", "[listen]\nconections_max = 7\n");
    let broken = scratch.write("broken.toml", "[listen\n");
    let typed = scratch.write("typed.toml", "[listen]\nconnections_max = \"many\"\n");
    for (folder, launch) in [("p", platform as fn(&Path) -> Launch), ("i", inbox)] {
        for (config, words) in [
            (&missing, &["No such file"][..]),
            (&unknown, &["conections_max", "connections_max"][..]),
            (&broken, &[][..]),
            (&typed, &["many"][..]),
        ] {
            let launch = launch(&scratch.path(folder)).argument("--config").argument(config);
            let shown = config.display().to_string();
            let words: Vec<&str> = words.iter().copied().chain(["--config", shown.as_str()]).collect();
            check(&scratch, launch, USAGE, &words).await;
        }
        assert!(!scratch.path(folder).exists(), "nothing was made");
    }
}

#[tokio::test]
async fn all_problems_of_a_configuration_are_said_at_once() {
    let scratch = Scratch::new();
    let config = scratch.write(
        "platform.toml",
        "[tick]\nqueue_max = 0\n[delivery]\nretry_delays_ms = []\nexchange_timeout_ms = 1\n",
    );
    let launch = platform(&scratch.path("p")).argument("--config").argument(config);
    let words = ["tick.queue_max", "delivery.retry_delays_ms", "delivery.exchange_timeout_ms"];
    check(&scratch, launch, USAGE, &words).await;
}

#[tokio::test]
async fn an_inbox_with_nonsense_in_its_configuration_says_which_setting_it_is() {
    let scratch = Scratch::new();
    for (text, word) in [
        ("[listen]\nconnections_max = 0\n", "listen.connections_max"),
        ("[listen]\nbody_bytes_max = 0\n", "body_bytes_max"),
        ("[codes]\npreparing = 4\n", "codes"),
    ] {
        let config = scratch.write("inbox.toml", text);
        let launch = inbox(&scratch.path("i")).argument("--config").argument(config);
        check(&scratch, launch, USAGE, &[word]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_the_databases_is_refused_before_anything_is_sent_with_it() {
    let scratch = Scratch::new();
    let mut running = Platform::start(&scratch, "").await;
    let partner = running.partner("Till").await;
    running.server.stop().await;
    let key = running.data.join("platform.key");
    let right = std::fs::read_to_string(&key).unwrap();

    std::fs::write(&key, format!("{}\n", "7".repeat(64))).unwrap();
    let words = [partner.partner_id.as_str(), "platform.key"];
    check(&scratch, platform(&running.data), FAILED, &words).await;
    std::fs::write(&key, "not a key\n").unwrap();
    check(&scratch, platform(&running.data), FAILED, &["platform.key", "64 hex digits"]).await;
    std::fs::write(&key, &right).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    check(&scratch, platform(&running.data), FAILED, &["platform.key", "mode 644", "chmod 600"]).await;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // A key that has gone must not be made anew while there are secrets that only the old one opens.
    std::fs::rename(&key, running.data.join("elsewhere")).unwrap();
    check(&scratch, platform(&running.data), FAILED, &["platform.key", "missing"]).await;
    assert!(!key.exists(), "no key was made in its place");
    std::fs::rename(running.data.join("elsewhere"), &key).unwrap();
    running.server.start(&scratch).await;
    running.server.stop().await;
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let file = scratch.write("file", "");
    let below = file.join("data");
    let shown = below.display().to_string();
    check(&scratch, platform(&below), FAILED, &["--data", &shown]).await;
    check(&scratch, inbox(&below), FAILED, &["--data", &shown]).await;
}

#[tokio::test]
async fn a_log_filter_that_cannot_be_read_is_a_usage_error() {
    let scratch = Scratch::new();
    let launch = platform(&scratch.path("p")).replaced("error", "hookit=loudly");
    check(&scratch, launch, USAGE, &["--log"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_port_0_the_one_line_on_standard_output_says_which_port_it_became() {
    use crate::harness::http::Client;
    let scratch = Scratch::new();
    for (name, launch) in [("platform", platform as fn(&Path) -> Launch), ("inbox", inbox)] {
        let mut process = launch(&scratch.path(name)).spawn(&scratch);
        let address = process.listening().await;
        assert_ne!(address.port(), 0);
        assert_eq!(process.stdout(), format!("{name} listening on http://{address}\n"));
        let health =
            Client::new(format!("http://{address}"), None).ask(http::Method::GET, "/healthz", "").await;
        assert_eq!(health.status, 200);
        process.signal("TERM");
        assert_eq!(process.ended().await.code(), Some(0));
        assert_eq!(process.stdout().lines().count(), 1);
    }
}
