//! What the configuration files mean, and what they are refused for.

use std::collections::BTreeMap;

use super::*;

#[test]
fn the_example_files_are_the_defaults() {
    let platform: PlatformFile = toml::from_str(include_str!("../../../../examples/platform.toml")).unwrap();
    assert_eq!(platform, PlatformFile::default());
    let inbox: InboxFile = toml::from_str(include_str!("../../../../examples/inbox.toml")).unwrap();
    assert_eq!(inbox, InboxFile::default());
}

#[test]
fn each_setting_reaches_its_part() {
    let file: PlatformFile = toml::from_str(
        "codes = { preparing = 20, dispatched = 21 }\n\
         tick = { tick_ms = 22, orders_per_delivery_max = 23, queue_max = 24 }\n\
         delivery = { retry_delays_ms = [25, 26], in_flight_per_endpoint_max = 27, in_flight_max = 28, \
         exchange_timeout_ms = 2900, probe_pause_min_ms = 32, probe_pause_max_ms = 33, \
         hold_time_s = 34 }\n\
         egress = { allowed_networks = [\"10.0.0.0/8\"] }\n\
         retention = { retention_days = 35 }\n\
         metrics = { access = \"open\" }\n\
         partner_api = { reads_per_minute_max = 36, writes_per_minute_max = 37 }\n\
         listen = { connections_max = 30, body_bytes_max = 31 }\n",
    )
    .unwrap();
    let parts = file.resolve(false).unwrap();
    assert_eq!(parts.codes, StatusCodes::with(20, 21).unwrap());
    assert_eq!(parts.options.codes, parts.codes);
    assert_eq!(parts.options.tick_min, Duration::from_millis(22));
    assert_eq!((parts.options.orders_per_delivery_max, parts.options.queue_max), (23, 24));
    assert_eq!(parts.engine.retry.delays(), [Duration::from_millis(25), Duration::from_millis(26)]);
    assert_eq!((parts.engine.in_flight_per_endpoint_max, parts.engine.in_flight_max), (27, 28));
    assert_eq!(parts.egress.exchange_timeout, Duration::from_millis(2900));
    let pauses = (parts.engine.probe_pause_min, parts.engine.probe_pause_max);
    assert_eq!(pauses, (Duration::from_millis(32), Duration::from_millis(33)));
    assert_eq!(parts.engine.hold_time, Duration::from_secs(34));
    assert_eq!(parts.retention, Duration::from_secs(35 * 86_400));
    assert!(parts.metrics_are_open && !PlatformFile::default().resolve(false).unwrap().metrics_are_open);
    let rates = PartnerRates { reads_per_minute_max: 36, writes_per_minute_max: 37 };
    assert_eq!(parts.rates, rates);
    assert_eq!((parts.limits.connections_max, parts.limits.body_bytes_max), (30, 31));
    let ours = Networks::new(&["10.0.0.0/8".parse().unwrap()]).unwrap();
    assert_eq!(parts.egress.addresses, AddressPolicy::PublicAnd(ours));
    assert_eq!(file.resolve(true).unwrap().egress.addresses, AddressPolicy::AllowPrivate);
    assert!(parts.egress.https_required && !file.resolve(true).unwrap().egress.https_required);
}

/// Every setting that is a number.
const NUMBERS: [&Number; 14] = [
    &TICK_MS,
    &ORDERS_PER_DELIVERY_MAX,
    &QUEUE_MAX,
    &IN_FLIGHT_PER_ENDPOINT_MAX,
    &IN_FLIGHT_MAX,
    &EXCHANGE_TIMEOUT_MS,
    &PROBE_PAUSE_MIN_MS,
    &PROBE_PAUSE_MAX_MS,
    &HOLD_TIME_S,
    &RETENTION_DAYS,
    &READS_PER_MINUTE_MAX,
    &WRITES_PER_MINUTE_MAX,
    &CONNECTIONS_MAX,
    &LISTEN_BODY_BYTES_MAX,
];

/// What a platform's file with this one setting is refused for; none where it is taken.
fn refusal(setting: &str, value: &str) -> Option<String> {
    let (table, key) = setting.split_once('.').unwrap();
    let mut text = format!("[{table}]\n{key} = {value}\n");
    // The two pauses have to fit together.
    if setting == PROBE_PAUSE_MIN_MS.name && value.parse::<u64>().is_ok() {
        text.push_str(&format!("probe_pause_max_ms = {value}\n"));
    } else if setting == PROBE_PAUSE_MAX_MS.name {
        text.push_str("probe_pause_min_ms = 1\n");
    }
    match toml::from_str::<PlatformFile>(&text) {
        Ok(file) => file.resolve(false).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn every_number_is_taken_up_to_both_ends_of_its_range_and_refused_beyond_with_its_name_and_value() {
    for Number { name, from, to } in NUMBERS {
        for taken in [from, to] {
            assert_eq!(refusal(name, &taken.to_string()), None, "{name} = {taken}");
        }
        for beyond in [from.checked_sub(1), Some(to + 1), Some(i64::MAX as u64)].into_iter().flatten() {
            let refused = refusal(name, &beyond.to_string()).unwrap_or_else(|| panic!("{name} = {beyond}"));
            let expected = format!("{name} is {beyond}; expected {from} to {to}");
            assert!(refused.contains(&expected), "{name} = {beyond}: {refused}");
        }
        let key = name.split_once('.').unwrap().1;
        for nonsense in ["-1", "\"1\"", "1.5", "[]"] {
            let refused = refusal(name, nonsense).unwrap_or_else(|| panic!("{name} = {nonsense}"));
            assert!(refused.contains(key), "{name} = {nonsense}: {refused}");
        }
    }
}

#[test]
fn settings_that_are_no_single_number_are_refused_by_name_too() {
    const DAYS_30_MS: u64 = 30 * DAY_MS;
    let many = |count| format!("{:?}", vec![1; count]);
    let networks =
        |count: usize| format!("{:?}", (0..count).map(|n| format!("10.{n}.0.0/16")).collect::<Vec<_>>());
    for (setting, taken, refused, words) in [
        ("delivery.retry_delays_ms", "[1]".to_owned(), "[]".to_owned(), "has 0"),
        ("delivery.retry_delays_ms", many(32), many(33), "has 33"),
        (
            "delivery.retry_delays_ms",
            "[5, 1]".to_owned(),
            "[5, 0]".to_owned(),
            "delay 2 of the retry plan is 0ns",
        ),
        (
            "delivery.retry_delays_ms",
            format!("[{DAYS_30_MS}]"),
            format!("[{}]", DAYS_30_MS + 1),
            "delay 1 of the retry plan is 2592000.001s",
        ),
        ("egress.allowed_networks", networks(16), networks(17), "16"),
        ("egress.allowed_networks", networks(1), "[\"10.0.0.1/8\"]".to_owned(), "[0]"),
        ("codes.preparing", "12".to_owned(), "4".to_owned(), "4"),
        ("codes.dispatched", "12".to_owned(), "4".to_owned(), "4"),
        ("metrics.access", "\"token\"".to_owned(), "\"everybody\"".to_owned(), "`open`"),
    ] {
        assert_eq!(refusal(setting, &taken), None, "{setting} = {taken}");
        let problem = refusal(setting, &refused).unwrap_or_else(|| panic!("{setting} = {refused}"));
        let named = setting.split('.').next().unwrap();
        assert!(problem.contains(named) || problem.contains("access"), "{setting} = {refused}: {problem}");
        assert!(problem.contains(words), "{setting} = {refused}: {problem}");
    }
    let file: PlatformFile =
        toml::from_str("[delivery]\nprobe_pause_min_ms = 20\nprobe_pause_max_ms = 19\n").unwrap();
    let problem = file.resolve(false).err().expect("the longest pause is shorter").to_string();
    assert!(problem.contains("delivery.probe_pause_max_ms is 19; expected 20 or more"), "{problem}");
}

/// The keys of a file in examples/, with what the comment above each says. One that stands there as a comment, because
/// it has no default, counts.
fn described(text: &str) -> BTreeMap<String, String> {
    let (mut keys, mut table, mut comment) = (BTreeMap::new(), String::new(), String::new());
    let mut is_below_a_key = false;
    for line in text.lines() {
        let setting = line.trim_start_matches("# ").split_once(" = ").map(|(key, _)| key);
        let is_key = |key: &&str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if let Some(key) = setting.filter(is_key) {
            keys.insert(format!("{table}.{key}"), comment.clone());
            is_below_a_key = true;
            continue;
        }
        if is_below_a_key || !line.starts_with('#') {
            comment.clear();
        }
        is_below_a_key = false;
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned();
        }
        comment.extend(line.strip_prefix('#'));
    }
    keys
}

/// Does the comment name the range, and not one of which this is only the beginning?
fn says(comment: &str, Number { from, to, .. }: &Number) -> bool {
    [".", " "].iter().any(|end| comment.contains(&format!(" {from} to {to}{end}")))
}

#[test]
fn the_example_files_say_of_every_number_what_it_may_be() {
    let platform = described(include_str!("../../../../examples/platform.toml"));
    for number in NUMBERS {
        let name = number.name;
        let words = platform.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(says(words, number), "{name}: {words}");
    }
    let others = [
        "codes.dispatched",
        "codes.preparing",
        "delivery.retry_delays_ms",
        "egress.allowed_networks",
        "metrics.access",
    ];
    let mut checked: Vec<&str> = NUMBERS.iter().map(|number| number.name).chain(others).collect();
    checked.sort_unstable();
    assert_eq!(platform.keys().collect::<Vec<_>>(), checked, "a setting that no test puts to its limits");
    let inbox = described(include_str!("../../../../examples/inbox.toml"));
    let numbers = [
        &CONNECTIONS_MAX,
        &LISTEN_BODY_BYTES_MAX,
        &partner_api::INTERVAL_S,
        &partner_api::SETTLE_S,
        &partner_api::QUIET_S,
        &partner_api::LOOKBACK_DAYS,
        &partner_api::RECENT_HOURS,
        &partner_api::PAGE_SIZE,
        &partner_api::MOVES_HOLD_TIME_S,
        &RETENTION_DAYS,
        &PACK_AFTER_HOURS,
    ];
    for number in numbers {
        assert!(says(&inbox[number.name], number), "{}: {}", number.name, inbox[number.name]);
    }
}

#[test]
fn unknown_keys_are_refused_and_all_problems_come_at_once() {
    let unknown = toml::from_str::<PlatformFile>("tick = { tick_sm = 1 }").unwrap_err().to_string();
    assert!(unknown.contains("tick_sm") && unknown.contains("tick_ms"), "{unknown}");
    let file: PlatformFile = toml::from_str(
        "codes = { preparing = 4 }\ntick = { queue_max = 0 }\ndelivery = { retry_delays_ms = [] }\n\
         egress = { allowed_networks = [\"10.0.0.0/8\", \"10.0.0.1/8\"] }\nretention = { retention_days = 0 }",
    )
    .unwrap();
    let error = file.resolve(true).err().expect("five problems").to_string();
    let settings = [
        "codes",
        "tick.queue_max",
        "delivery.retry_delays_ms",
        "egress.allowed_networks[1]",
        "retention.retention_days",
    ];
    for problem in settings {
        assert!(error.contains(problem), "{error}");
    }
}
