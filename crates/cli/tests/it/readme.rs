//! The tour of the README is run as it stands there, but for the ports: what a reader copies must work.

use std::path::Path;
use std::process::Command;

use crate::harness::free_port;

/// The text between a tour's markers, without the fence.
fn tour(name: &str) -> String {
    let readme = include_str!("../../../../README.md");
    let between = readme
        .split_once(&format!("<!-- {name}: begin -->\n```sh\n"))
        .and_then(|(_, rest)| rest.split_once(&format!("```\n<!-- {name}: end -->")))
        .expect("README.md has a tour between its markers");
    between.0.to_owned()
}

/// Runs a tour in a folder of its own, on ports of its own; what it said, on standard output and standard error.
fn taken(name: &str) -> (String, String) {
    let (platform, inbox) = (free_port(), free_port());
    let script = tour(name)
        .replace("platform serve", &format!("platform serve --listen 127.0.0.1:{platform}"))
        .replace("inbox serve", &format!("inbox serve --listen 127.0.0.1:{inbox}"))
        .replace("127.0.0.1:8780", &format!("127.0.0.1:{platform}"))
        .replace("127.0.0.1:8787", &format!("127.0.0.1:{inbox}"));
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_hookit")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    // `timeout` takes the servers along should a step in between hang.
    let run = Command::new("timeout")
        .args(["--kill-after=5", "60", "bash", "-c"])
        .arg(format!("set -m\n{script}"))
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .expect("bash and timeout are on every system that has a shell");
    (String::from_utf8_lossy(&run.stdout).into_owned(), String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn the_tour_for_a_platform_works_as_it_stands() {
    let (out, err) = taken("tour");
    assert!(out.contains("orders equal 1, different 0, missing in the inbox 0"), "{out}\n{err}");
    assert!(out.contains(r#""status_name":"ACCEPTED","version":2"#), "{out}\n{err}");
    assert!(!out.contains("\"error\""), "{out}\n{err}");
    assert_eq!(err.matches("stopped").count(), 2, "both halves stopped gracefully: {out}\n{err}");
}

#[test]
fn the_tour_for_a_partner_works_as_it_stands() {
    let (out, err) = taken("partner tour");
    assert!(out.contains(r#""data":{"orders":[{"external_id":"#), "{out}\n{err}");
    assert!(out.contains("/webhooks/klikit: passed"), "{out}\n{err}");
    assert_eq!(err.matches("stopped").count(), 1, "the inbox stopped gracefully: {out}\n{err}");
}
