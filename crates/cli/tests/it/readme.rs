//! The tour of the README is run as it stands there, but for the ports: what a reader copies must work.

use std::path::Path;
use std::process::Command;

use crate::harness::free_port;

/// The text between the tour's markers, without the fence.
fn tour() -> String {
    let readme = include_str!("../../../../README.md");
    let between = readme
        .split_once("<!-- tour: begin -->\n```sh\n")
        .and_then(|(_, rest)| rest.split_once("```\n<!-- tour: end -->"))
        .expect("README.md has a tour between its markers");
    between.0.to_owned()
}

#[test]
fn the_tour_of_the_readme_works_as_it_stands() {
    let (platform, inbox) = (free_port(), free_port());
    let script = tour()
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
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(out.contains("orders equal 1, different 0, missing in the inbox 0"), "{out}\n{err}");
    assert!(out.contains(r#""status_name":"ACCEPTED","version":2"#), "{out}\n{err}");
    assert!(!out.contains("\"error\""), "{out}\n{err}");
    assert_eq!(err.matches("stopped").count(), 2, "both halves stopped gracefully: {out}\n{err}");
}
