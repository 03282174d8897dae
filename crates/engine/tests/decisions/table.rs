//! How a decision is written down in these tests: inputs and their moments, and the actions that follow as text.

use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId, Timestamp};
use hookit_engine::{
    Action, EndpointSettings, Engine, EngineConfig, Flow, Input, NotSent, RetryPlan, Verdict, Waiting,
};

pub(crate) const OK: AttemptOutcome = AttemptOutcome::Acknowledged;
pub(crate) const NO: AttemptOutcome = AttemptOutcome::Refused;

pub(crate) type Row<'a> = (i64, Input, &'a [&'a str]);

/// Feeds the inputs, each at its moment, and compares the actions.
pub(crate) fn check(engine: &mut Engine, rows: &[Row<'_>]) {
    for (i, (now_ms, input, expect)) in rows.iter().enumerate() {
        let mut actions = Vec::new();
        engine.handle(Timestamp::from_millis(*now_ms), input.clone(), &mut actions);
        let shown: Vec<String> = actions.iter().map(show).collect();
        assert_eq!(shown, *expect, "row {i}, at {now_ms} ms: {input:?}");
    }
}

/// A place in line; that of the second replay is `r2`.
fn place(seq: DeliverySeq) -> String {
    match seq.is_among_replays() {
        true => format!("r{}", seq.0 - DeliverySeq::REPLAYS_AFTER.0),
        false => seq.to_string(),
    }
}

pub(crate) fn show(action: &Action) -> String {
    match action {
        Action::Send { seq, endpoint, attempt } => {
            format!("send {} to {endpoint}, attempt {attempt}", place(*seq))
        }
        Action::Record { seq, attempt, verdict: Verdict::Delivered } => {
            format!("record {}, attempt {attempt}: delivered", place(*seq))
        }
        Action::Record { seq, attempt, verdict: Verdict::Dead } => {
            format!("record {}, attempt {attempt}: dead", place(*seq))
        }
        Action::Record { seq, attempt, verdict: Verdict::RetryAt { at, counted } } => {
            let free = if *counted { "" } else { ", free" };
            format!("record {}, attempt {attempt}: again at {} ms{free}", place(*seq), at.as_millis())
        }
        Action::GiveUp { seq } => format!("give up {}", place(*seq)),
        Action::Disable { endpoint } => format!("disable {endpoint}"),
        Action::ReadPending { endpoint, after, limit } => {
            format!("read {limit} of {endpoint} after {}", place(*after))
        }
    }
}

pub(crate) fn small() -> EngineConfig {
    EngineConfig {
        retry: RetryPlan::new(vec![Duration::from_secs(10), Duration::from_secs(20)]).unwrap(),
        in_flight_per_endpoint_max: 4,
        in_flight_max: 8,
        window_max: 10,
        page_size: 5,
        ..EngineConfig::default()
    }
}

/// An engine with these endpoints open, each with nothing on disk.
pub(crate) fn engine(config: EngineConfig, endpoints: &[i64]) -> Engine {
    let mut engine = Engine::new(config);
    for &id in endpoints {
        let mut actions = Vec::new();
        engine.handle(Timestamp::from_millis(0), open(id), &mut actions);
        assert_eq!(actions.len(), 1, "{actions:?}");
        engine.handle(Timestamp::from_millis(0), page(id, 0, vec![], true), &mut actions);
        assert_eq!(actions.len(), 1, "{actions:?}");
    }
    engine
}

pub(crate) fn waiting(seq: i64, endpoint: i64, orders: &[i64]) -> Waiting {
    Waiting {
        seq: DeliverySeq(seq),
        endpoint: EndpointId(endpoint),
        orders: orders.iter().map(|&id| OrderId(id)).collect(),
        attempts: 0,
        failures: 0,
        due: Timestamp::from_millis(0),
        committed_at: Timestamp::from_millis(0),
    }
}

pub(crate) fn set(id: i64, settings: EndpointSettings) -> Input {
    Input::Endpoint { endpoint: EndpointId(id), settings }
}

pub(crate) fn open(id: i64) -> Input {
    set(id, EndpointSettings::default())
}

pub(crate) fn held(id: i64) -> Input {
    set(id, EndpointSettings { flow: Flow::Held, ..EndpointSettings::default() })
}

pub(crate) fn gone(id: i64) -> Input {
    Input::EndpointGone { endpoint: EndpointId(id) }
}

pub(crate) fn reread(id: i64) -> Input {
    Input::Reread { endpoint: EndpointId(id) }
}

pub(crate) fn committed(deliveries: &[(i64, i64, &[i64])]) -> Input {
    Input::Committed(
        deliveries.iter().map(|&(seq, endpoint, orders)| waiting(seq, endpoint, orders)).collect(),
    )
}

pub(crate) fn page(id: i64, after: i64, deliveries: Vec<Waiting>, end: bool) -> Input {
    Input::Page { endpoint: EndpointId(id), after: DeliverySeq(after), deliveries, end }
}

pub(crate) fn attempted(seq: i64, outcome: AttemptOutcome) -> Input {
    Input::Attempted { seq: DeliverySeq(seq), outcome, status: None, retry_after: None, jitter: 0.0 }
}

pub(crate) fn recorded(seq: i64) -> Input {
    Input::Recorded { seq: DeliverySeq(seq) }
}

/// Deliveries of an order each.
pub(crate) fn on_disk(from: i64, to: i64) -> Vec<Waiting> {
    (from..=to).map(|n| waiting(n, 1, &[n])).collect()
}

pub(crate) fn not_sent(seq: i64, why: NotSent) -> Input {
    Input::NotSent { seq: DeliverySeq(seq), why }
}
