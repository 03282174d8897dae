//! The walk of docs/api.md is run as it stands there, but for the ports: what a reader pastes must work.

use std::path::Path;
use std::process::Command;

use crate::harness::free_port;

use serde_json::Value;

/// The page's code, in its order, and whether it is one of the ten calls.
fn steps() -> Vec<(bool, &'static str)> {
    let parts = include_str!("../../../../docs/api.md").split("\n```sh").skip(1);
    parts
        .map(|part| {
            let (kind, rest) = part.split_once('\n').unwrap();
            (kind.is_empty(), rest.split("\n```\n").next().unwrap())
        })
        .collect()
}

#[test]
fn the_ten_calls_of_the_page_lead_from_nothing_to_a_delivered_webhook() {
    const DELIVERED_TWICE: &str = "until [ \"$(curl -s \"$platform/v1/operator/deliveries?state=delivered\" -H \"$operator\" \
        | grep -o '\"delivery_id\"' | wc -l)\" = 2 ]; do sleep 0.05; done";
    let (platform, inbox) = (free_port(), free_port());
    let mut script = String::from("set -m\n");
    let mut calls = 0;
    for (is_call, step) in steps() {
        if !is_call {
            script.push_str(&format!("{step}\n"));
            continue;
        }
        assert_eq!(step.matches("curl ").count(), 1, "{step}");
        calls += 1;
        // What comes after this call is on its way when it is made.
        if calls == 9 {
            script.push_str(&format!("{DELIVERED_TWICE}\n"));
        }
        match step.split_once("=$(curl ") {
            Some((variable, _)) => {
                script.push_str(&format!("{step}\nprintf 'answer %s\\n' \"${variable}\"\n"))
            }
            None => script.push_str(&format!("printf 'answer '\n{step}\necho\n")),
        }
    }
    assert_eq!(calls, 10);
    script.push_str("kill %1 %2; wait\n");
    let script = script
        .replace("platform serve", &format!("platform serve --listen 127.0.0.1:{platform}"))
        .replace("inbox serve", &format!("inbox serve --listen 127.0.0.1:{inbox}"))
        .replace("127.0.0.1:8780", &format!("127.0.0.1:{platform}"))
        .replace("127.0.0.1:8787", &format!("127.0.0.1:{inbox}"));
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_hookit")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    // `timeout` takes the servers along should a step in between hang.
    let run = Command::new("timeout")
        .args(["--kill-after=5", "60", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .expect("bash and timeout are on every system that has a shell");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    // A record has the line breaks that it came with; what a server says at its start may follow an answer.
    let answers: Vec<Value> = out
        .split("\nanswer ")
        .skip(1)
        .filter_map(|text| serde_json::Deserializer::from_str(text).into_iter().next())
        .map(|answer| answer.unwrap_or_else(|error| panic!("{error}: {out}\n{err}")))
        .collect();
    assert_eq!(answers.len(), 10, "{out}\n{err}");
    for (i, answer) in answers.iter().enumerate() {
        assert!(answer["data"] != Value::Null && answer["error"] == Value::Null, "call {}: {answer}", i + 1);
    }
    let data = |call: usize| &answers[call - 1]["data"];
    assert_eq!(data(5)["outcome"], "acknowledged");
    assert_eq!((&data(8)["id"], &data(8)["status"], &data(8)["version"]), (&42.into(), &2.into(), &2.into()));
    let states: Vec<_> = data(9)["deliveries"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["delivered", "delivered"]);
    let history = data(10)["history"].as_array().unwrap();
    let versions: Vec<_> = history.iter().map(|line| line["version"].as_i64().unwrap()).collect();
    assert!(versions.contains(&1) && versions.contains(&2), "{versions:?}");
}
