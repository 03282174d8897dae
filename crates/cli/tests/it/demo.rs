//! `hookit demo` as somebody runs it who has just built it.

use serde_json::Value;

use crate::harness::Scratch;
use crate::harness::process::Launch;

/// Runs a demo that must end with the proof, and gives out its summary.
async fn proof(scratch: &Scratch, arguments: &[&str]) -> Value {
    let launch = Launch::hookit(&["demo", "--output", "json"]).named("demo");
    let ended = arguments.iter().fold(launch, |l, argument| l.argument(argument)).run(scratch).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| {
        panic!("standard output is the summary and nothing else: {error}: {}", ended.stdout)
    });
    assert_eq!(summary["delivered"], summary["deliveries"], "{summary}");
    assert_eq!((count(&summary, "pending"), count(&summary, "dead")), (0, 0), "{summary}");
    assert_eq!((count(&summary, "quarantined"), count(&summary, "refused")), (0, 0), "{summary}");
    let views = &summary["views"];
    assert_eq!(
        (count(views, "different"), count(views, "missing"), count(views, "extra")),
        (0, 0, 0),
        "{summary}"
    );
    assert!(
        count(&summary, "deliveries") > 0 && count(&summary, "attempts") >= count(&summary, "deliveries")
    );
    summary
}

fn count(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_else(|| panic!("a count {name}: {object}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_of_sixty_orders_as_fast_as_it_goes_ends_with_equal_views() {
    let scratch = Scratch::new();
    let summary = proof(&scratch, &["--orders", "60", "--rate", "0"]).await;
    assert_eq!((count(&summary, "orders"), count(&summary["views"], "equal")), (60, 60));
    assert!(
        count(&summary, "changes") > 60 && count(&summary, "deliveries") >= count(&summary, "changes") / 50
    );
    assert!(
        count(&summary, "commit_to_acknowledgement_p99_us")
            >= count(&summary, "commit_to_acknowledgement_p50_us")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_of_two_seconds_ends_by_itself_with_equal_views() {
    let scratch = Scratch::new();
    let summary = proof(&scratch, &["--for", "2s", "--rate", "20", "--pace", "3000"]).await;
    assert!(count(&summary, "orders") > 0, "{summary}");
    assert_eq!(count(&summary["views"], "equal"), count(&summary, "orders"), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_on_a_folder_that_was_used_before_goes_on_with_what_is_in_it() {
    let scratch = Scratch::new();
    let data = scratch.path("demo");
    let arguments = ["--orders", "15", "--rate", "0", "--data", data.to_str().expect("a plain path")];
    let first = proof(&scratch, &arguments).await;
    let second = proof(&scratch, &arguments).await;
    assert_eq!((count(&first["views"], "equal"), count(&second["views"], "equal")), (15, 30));
    assert!(count(&second, "deliveries") > count(&first, "deliveries"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_without_a_folder_of_its_own_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let temporary = scratch.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let launch = Launch::hookit(&["demo", "--orders", "3", "--rate", "0"]).named("demo");
    let ended = launch.variable("TMPDIR", temporary.to_str().expect("a plain path")).run(&scratch).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("equal: all 3 orders, byte for byte"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains(temporary.to_str().unwrap()),
        "it says where it keeps its data: {}",
        ended.stderr
    );
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}
