//! Each bench runs at a tiny size and gives the figures that it promises. How large they are is nobody's business here.

use serde_json::Value;

use crate::harness::Scratch;
use crate::harness::process::Launch;

async fn figures(arguments: &[&str], names: &[&str]) {
    let scratch = Scratch::new();
    let launch = Launch::hookit(&["bench", "--output", "json", "--seconds", "1", "--dir"]).named("bench");
    let launch = launch.argument(scratch.folder());
    let launch = arguments.iter().fold(launch, |launch, argument| launch.argument(argument));
    let ended = launch.run(&scratch).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let figures: Value = serde_json::from_str(&ended.stdout).unwrap();
    let mut found: Vec<_> = figures.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = names.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for name in names {
        let figure = figures[name].as_f64().unwrap_or(-1.0);
        // What is read from a clock of hundredths of a second may be nothing, and a ratio to nothing is no number; all else is
        // something.
        let is_there =
            if name.contains("cpu") { figures[name].is_null() || figure >= 0.0 } else { figure > 0.0 };
        assert!(is_there, "{name}: {}", figures[name]);
    }
    let left = std::fs::read_dir(scratch.folder()).unwrap();
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("hookit-bench-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn single_orders_are_measured_beside_the_relay() {
    let names = [
        "relay_events_per_second",
        "events_per_second",
        "share_of_relay",
        "saturated_p50_ms",
        "saturated_p99_ms",
        "relay_paced_p50_ms",
        "relay_paced_p99_ms",
        "paced_p50_ms",
        "paced_p99_ms",
        "cpu_us_per_event",
    ];
    figures(&["e2e"], &names).await;
}

#[tokio::test]
async fn the_bulk_call_is_measured_beside_the_relay() {
    let names = [
        "relay_events_per_second",
        "taken_per_second",
        "events_per_second",
        "share_of_relay",
        "cpu_us_per_event",
    ];
    figures(&["bulk"], &names).await;
}

#[tokio::test]
async fn a_backlog_is_measured_through_a_restart_and_a_drain() {
    let names = [
        "deliveries",
        "saturated_per_second",
        "memory_mb",
        "memory_peak_mb",
        "ready_seconds",
        "memory_after_restart_mb",
        "drained_per_second",
        "share_of_saturated",
    ];
    figures(&["backlog", "--deliveries", "300"], &names).await;
}

#[tokio::test]
async fn nine_endpoints_are_measured_beside_one_that_hangs() {
    let names =
        ["healthy_p50_ms", "healthy_p99_ms", "beside_hanging_p50_ms", "beside_hanging_p99_ms", "p99_ratio"];
    figures(&["isolation"], &names).await;
}

#[tokio::test]
async fn an_event_is_measured_in_an_empty_and_in_a_full_store() {
    let names = [
        "events",
        "empty_per_second",
        "empty_cpu_us_per_event",
        "full_per_second",
        "full_cpu_us_per_event",
        "cpu_ratio",
        "time_ratio",
    ];
    figures(&["growth", "--events", "2000"], &names).await;
}

#[tokio::test]
async fn pages_are_measured_over_few_and_over_many_deliveries() {
    let names = [
        "deliveries",
        "slowest_p50_ms",
        "slowest_max_ms",
        "ratio",
        "overview_p50_ms",
        "board_p50_ms",
        "deliveries_p50_ms",
        "pending_p50_ms",
        "pending_at_one_p50_ms",
        "pending_none_of_the_type_p50_ms",
        "delivered_p50_ms",
        "dead_p50_ms",
        "at_one_endpoint_p50_ms",
        "none_of_the_type_p50_ms",
        "the_oldest_p50_ms",
        "of_one_order_p50_ms",
        "dead_letters_p50_ms",
        "endpoints_p50_ms",
        "one_endpoint_p50_ms",
        "board_changes_per_second",
        "board_page_p99_ms",
        "board_pause_max_ms",
    ];
    figures(&["console", "--deliveries", "2000"], &names).await;
}

#[tokio::test]
async fn a_run_that_the_disk_has_no_room_for_does_not_begin() {
    let scratch = Scratch::new();
    let launch = Launch::hookit(&["bench", "growth", "--events", "1000000000000"]).named("bench");
    let ended = launch.run(&scratch).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(6), ""));
    assert!(ended.stderr.contains("or a smaller --events"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_inbox_is_measured_beside_a_server_that_only_answers() {
    let names = [
        "echo_per_second",
        "deliveries_per_second",
        "share_of_echo",
        "saturated_p50_ms",
        "saturated_p99_ms",
        "echo_paced_p50_ms",
        "echo_paced_p99_ms",
        "paced_p50_ms",
        "paced_p99_ms",
        "cpu_us_per_delivery",
        "memory_after_a_tenth_mb",
        "memory_at_the_end_mb",
        "memory_ratio",
    ];
    figures(&["inbox", "--deliveries", "200"], &names).await;
}

#[tokio::test]
async fn each_way_to_look_for_orders_is_measured_over_few_and_over_many() {
    let ways = [
        "all",
        "all_deep",
        "all_1000_at_a_time",
        "placed",
        "delivered",
        "delivered_deep",
        "several_statuses",
        "no_such_status",
        "brand",
        "brand_deep",
        "branch",
        "branch_deep",
        "id",
        "external_id",
        "text_of_all",
        "text_of_many",
        "text_of_none",
        "last_hour",
        "last_month",
        "a_day_long_ago",
        "brand_placed",
        "brand_cancelled",
        "brand_no_such_status",
        "brand_last_month",
        "branch_placed_last_hour",
        "branch_cancelled_last_month",
        "delivered_a_day_long_ago",
        "text_of_all_placed",
        "text_of_all_last_month",
        "text_of_many_branch",
        "order",
        "order_history",
        "console_overview",
        "console_orders",
        "console_placed",
        "console_search",
        "console_deep",
        "console_order",
        "console_quarantine",
    ]
    .map(|way| format!("{way}_p50_ms"));
    let of_all = ["orders", "slowest_p50_ms", "slowest_max_ms", "ratio"];
    let names: Vec<_> = ways.iter().map(String::as_str).chain(of_all).collect();
    figures(&["view", "--orders", "1000"], &names).await;
}

#[tokio::test]
async fn what_packing_saves_and_costs_is_measured() {
    let names = [
        "deliveries",
        "body_bytes",
        "bytes_per_delivery_before",
        "bytes_per_delivery_after",
        "share_after",
        "cpu_us_per_packed_body",
        "packed_bodies_per_second",
        "read_us",
        "packed_read_us",
        "paced_p50_ms",
        "paced_p99_ms",
        "packing_paced_p50_ms",
        "packing_paced_p99_ms",
    ];
    figures(&["packing", "--deliveries", "400"], &names).await;
}
