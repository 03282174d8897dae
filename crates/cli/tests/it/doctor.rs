//! `hookit doctor` finds nothing where all is well, and names each thing that is wrong with what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::Value;

use crate::harness::halves::{PATIENT, Platform};
use crate::harness::process::{Ended, Launch};
use crate::harness::{Scratch, free_port};

const WRONG: Option<i32> = Some(1);

async fn doctor(scratch: &Scratch, arguments: &[&str]) -> Ended {
    Launch::hookit(&[&["doctor"], arguments].concat()).named("doctor").run(scratch).await
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_at_work_is_looked_at_and_not_disturbed() {
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let data = platform.data.to_str().unwrap().to_owned();
    let url = endpoint.url();
    let free = format!("127.0.0.1:{}", free_port());
    let arguments = ["--data", &data, "--platform-config", "platform.toml", "--listen", &free, "--url", &url];
    let json = doctor(&scratch, &[&arguments, ["--output", "json"].as_slice()].concat()).await;
    assert_eq!(json.code, Some(0), "{}{}", json.stdout, json.stderr);
    let looked: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    let about = |what: &str| looked.iter().any(|one| one["what"].as_str().unwrap().starts_with(what));
    for what in [
        "clock",
        "folder",
        "secret",
        "disk space",
        "disk writes",
        "database",
        "configuration",
        "port",
        "endpoint",
    ] {
        assert!(about(what), "{what}: {}", json.stdout);
    }
    // How much room the machine has is its own affair.
    let wrong: Vec<&Value> = looked
        .iter()
        .filter(|one| one["state"] != "good" && !one["what"].as_str().unwrap().starts_with("disk"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let busy = doctor(&scratch, &["--listen", &platform.server.address().to_string()]).await;
    assert!(
        busy.code == Some(0) && busy.stdout.contains("somebody listens there already"),
        "{}",
        busy.stdout
    );
    assert_eq!(platform.count("orders").await, 0);
    platform.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    platform.partner("Till").await;
    platform.server.stop().await;
    let data = platform.data.to_str().unwrap().to_owned();
    let check = async |expected: [&str; 2]| {
        let ended = doctor(&scratch, &["--data", &data]).await;
        assert_eq!(ended.code, WRONG, "{expected:?}: {}", ended.stdout);
        for expected in expected {
            assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
        }
    };
    let key = platform.data.join("platform.key");
    set_mode(&key, 0o644);
    check(["mode 644, so others on this machine may read it", "chmod 600"]).await;
    std::fs::remove_file(&key).unwrap();
    check(["platform.key: it is missing", "restore it from the backup"]).await;
    // The middle of the file, where pages of tables and indexes are.
    let database = platform.data.join("platform.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16_384].fill(0xa5);
    std::fs::write(&database, bytes).unwrap();
    check(["platform.db: it is damaged", "restore the last backup"]).await;
    std::fs::write(&database, "these are the orders").unwrap();
    check(["is not a hookit platform's store", "✗ database"]).await;

    scratch.write("bad.toml", "[tick]\ntick_ms = 99999999\n");
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let arguments = [
        "--platform-config",
        "bad.toml",
        "--url",
        &nobody,
        "--url",
        "http://nowhere.invalid/",
        "--data",
        "absent",
    ];
    let ended = doctor(&scratch, &arguments).await;
    assert_eq!(ended.code, WRONG);
    for expected in ["tick_ms", "connect_failed", "firewalls", "name_not_resolved", "DNS", "absent"] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
}
