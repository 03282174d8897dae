//! Short histories, told by hand: one that is in order, and for each rule one that breaks it.

use super::event::{Attempt, Cancelled, Change, Commit, Delivery, Registration, Verdict, Wishes};
use super::*;

fn rules() -> Rules {
    Rules {
        delays_ms: vec![1_000, 5_000],
        jitter_percent: 20,
        retry_after_max_ms: 3_600_000,
        in_flight_per_endpoint_max: 1,
        in_flight_max: 10,
        orders_per_delivery_max: 2,
        failures_to_open: 3,
        probe_pause_max_ms: 10_000,
        hold_ms: 1_000_000,
        idle_max_ms: Some(30_000),
    }
}

const REFUSED: End = End::Refused { status: 500, retry_after_ms: None };

/// Tells an auditor what happens.
struct Story {
    auditor: Auditor,
    now: i64,
    ticks: u64,
}

impl Story {
    /// A platform runs; brand 1 of orders goes to endpoint 1, brand 2 to endpoint 2.
    fn new() -> Story {
        Story::wishing(Wishes::default())
    }

    /// The same, where the registrations wish to be served like this.
    fn wishing(wishes: Wishes) -> Story {
        let mut story = Story { auditor: Auditor::new(rules(), 0), now: 0, ticks: 0 };
        story.tell(Event::Started);
        let to = |webhook| Registration {
            webhook,
            partner: 0,
            business: 1,
            endpoint: webhook,
            brand: Some(webhook),
            branch: None,
            event_type: "created",
            wishes,
        };
        story.commit(Commit { registrations: vec![to(1), to(2)], ..Commit::default() });
        for endpoint in [1, 2] {
            story.tell(Event::EndpointWell { endpoint, well: true });
        }
        story
    }

    fn tell(&mut self, event: Event) {
        self.auditor.observe(self.now, &event);
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
        self.auditor.look(self.now);
    }

    fn commit(&mut self, commit: Commit) {
        self.ticks += 1;
        let tick = self.ticks;
        self.tell(Event::Committed(Box::new(Commit { tick, ..commit })));
        self.tell(Event::Hinted { tick, lost: false });
        self.wait(1);
    }

    /// A version of an order of brand 1, and its delivery `seq`, unless that is 0.
    fn change(&mut self, seq: i64, order: i64, version: i64) {
        let (changes, deliveries) =
            (vec![change(order, version)], (seq > 0).then(|| delivery(seq, order, version)));
        self.commit(Commit { changes, deliveries: deliveries.into_iter().collect(), ..Commit::default() });
    }

    fn send(&mut self, seq: i64, body: &str) {
        self.tell(Event::Decided { seq });
        self.tell(Event::Given { seq });
        self.begin(seq, body);
    }

    fn begin(&mut self, seq: i64, body: &str) {
        self.tell(Event::Begun {
            request: 1,
            endpoint: 1,
            delivery_id: format!("id{seq}"),
            event_type: "created".to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            signed: Some(true),
        });
        self.wait(1);
    }

    fn see(&mut self, seq: i64, body: &str) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.tell(Event::Saw { request: 1, endpoint: 1, delivery_id: format!("id{seq}"), body, late: false });
    }

    fn end(&mut self, seq: i64, end: End) {
        self.tell(Event::Ended { request: 1, delivery_id: format!("id{seq}"), end });
    }

    fn record(&mut self, seq: i64, number: u32, verdict: Verdict) {
        let acknowledged = verdict == Verdict::Delivered;
        let attempts = vec![Attempt { seq, number, acknowledged, verdict, applied: true, late: false }];
        self.commit(Commit { attempts, ..Commit::default() });
    }

    fn again(&mut self, seq: i64, number: u32, after_ms: i64, counted: bool) {
        let at_ms = self.now + after_ms;
        self.record(seq, number, Verdict::RetryAt { at_ms, counted });
    }

    fn deliver(&mut self, seq: i64, order: i64, version: i64) {
        self.send(seq, &body(order, version));
        self.see(seq, &body(order, version));
        self.end(seq, End::Acknowledged);
        self.record(seq, 1, Verdict::Delivered);
    }

    fn check(&self, guarantee: &str, words: &str) {
        let violation = self.auditor.violation().unwrap_or_else(|| panic!("{guarantee} was not missed"));
        assert!(violation.guarantee == guarantee && violation.what.contains(words), "{violation}");
    }
}

fn record_of(order: i64, version: i64) -> String {
    format!("{{\"id\":{order},\"version\":{version}}}")
}

fn body(order: i64, version: i64) -> String {
    format!("{{\"brand_id\":1,\"branch_id\":5,\"orders\":[{}]}}", record_of(order, version))
}

fn change(order: i64, version: i64) -> Change {
    let record = record_of(order, version).into();
    Change { order, version, business: 1, branch: 5, brands: vec![1], event_type: "created", record }
}

fn delivery(seq: i64, order: i64, version: i64) -> Delivery {
    Delivery {
        seq,
        id: format!("id{seq}"),
        webhook: 1,
        endpoint: 1,
        brand: 1,
        branch: 5,
        event_type: "created",
        orders: vec![(order, version)],
        due_ms: 0,
    }
}

#[test]
fn a_history_in_order_is_clean_over_a_retry_a_crash_and_a_repeat() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.change(2, 7, 2);
    story.send(1, &body(7, 1));
    story.end(1, REFUSED);
    story.again(1, 1, 1_100, true);
    story.wait(1_100);
    story.send(1, &body(7, 1));
    story.see(1, &body(7, 1));
    story.tell(Event::Crashed);
    story.tell(Event::Started);
    story.send(1, &body(7, 1));
    story.see(1, &body(7, 1));
    story.end(1, End::Acknowledged);
    story.record(1, 2, Verdict::Delivered);
    story.deliver(2, 7, 2);
    story.auditor.finish(story.now);
    assert_eq!(story.auditor.violation(), None);
    assert_eq!((story.auditor.counts().delivered, story.auditor.counts().repeats), (2, 1));
}

#[test]
fn g1_a_change_without_its_delivery_and_a_delivery_without_a_change_are_found() {
    let mut story = Story::new();
    story.change(0, 7, 1);
    story.check("G1", "has no delivery");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.commit(Commit { deliveries: vec![delivery(2, 7, 1)], ..Commit::default() });
    story.check("G1", "nobody registered for");

    let mut story = Story::new();
    story.tell(Event::Acknowledged { order: 7, version: 1 });
    story.check("G1", "not on disk");
}

#[test]
fn g2_what_vanishes_and_what_comes_back_is_found() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.auditor.finish(story.now);
    story.check("G2", "never ended");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.send(1, &body(7, 1));
    story.end(1, REFUSED);
    story.tell(Event::Decided { seq: 1 });
    story.check("G2", "before its outcome was recorded");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.send(1, &body(7, 1));
    story.end(1, REFUSED);
    story.wait(40_000);
    story.check("G2", "is not recorded");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.deliver(1, 7, 1);
    story.send(1, &body(7, 1));
    story.check("G2", "was Delivered");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.send(1, &body(7, 1));
    story.end(1, End::Acknowledged);
    story.record(1, 1, Verdict::Delivered);
    story.check("G2", "no receiver saw it");
}

#[test]
fn g2_the_plan_is_kept_to() {
    let failed_once = || {
        let mut story = Story::new();
        story.change(1, 7, 1);
        story.send(1, &body(7, 1));
        story.end(1, REFUSED);
        story
    };
    let mut story = failed_once();
    story.record(1, 1, Verdict::Dead);
    story.check("G2", "the plan has more");
    let mut story = failed_once();
    story.record(1, 2, Verdict::RetryAt { at_ms: story.now + 1_000, counted: true });
    story.check("G2", "follows 0");
    let mut story = failed_once();
    story.again(1, 1, 999, true);
    story.check("G2", "too soon");
    let mut story = failed_once();
    story.again(1, 1, 1_201, true);
    story.check("G2", "too late");
    let mut story = failed_once();
    story.again(1, 1, 0, false);
    story.check("G2", "that is up");
    let mut story = failed_once();
    story.again(1, 1, 1_000, true);
    story.wait(900);
    story.tell(Event::Decided { seq: 1 });
    story.check("G2", "before it is due");
    let mut story = failed_once();
    story.record(1, 1, Verdict::Delivered);
    story.check("G2", "something else");
}

#[test]
fn g2_what_an_operator_takes_back_ends_in_his_name_and_is_not_sent() {
    let asked = || {
        let mut story = Story::new();
        story.change(1, 7, 1);
        story.change(2, 8, 1);
        story.tell(Event::RemovalAsked { webhook: 1, by: "ann".to_owned() });
        story
    };
    let removed = || Commit { removed: vec![(1, "ann".to_owned())], ..Commit::default() };
    let taken_back = |seq, by: &str, with_registration| {
        let cancelled = vec![Cancelled { seq, by: by.to_owned(), with_registration }];
        Commit { cancelled, ..Commit::default() }
    };
    let mut story = asked();
    // Its bytes were asked for before, so it may still go out, and its end is logged.
    story.tell(Event::Decided { seq: 1 });
    story.commit(removed());
    story.tell(Event::Given { seq: 1 });
    story.begin(1, &body(7, 1));
    for seq in [1, 2] {
        story.commit(taken_back(seq, "ann", true));
    }
    story.end(1, REFUSED);
    let at_ms = story.now + 1_000;
    let verdict = Verdict::RetryAt { at_ms, counted: true };
    let late = Attempt { seq: 1, number: 1, acknowledged: false, verdict, applied: true, late: true };
    story.commit(Commit { attempts: vec![late], ..Commit::default() });
    story.auditor.finish(story.now);
    assert_eq!(story.auditor.violation(), None);

    let mut story = asked();
    story.commit(removed());
    story.send(1, &body(7, 1));
    story.check("G2", "was removed before");

    let mut story = asked();
    story.commit(removed());
    story.auditor.finish(story.now);
    story.check("G2", "never ended");

    let mut story = asked();
    story.commit(removed());
    story.commit(taken_back(1, "ben", true));
    story.check("G2", "nobody asked for it");

    let mut story = asked();
    story.tell(Event::CancelAsked { delivery_id: "id2".to_owned(), by: "ben".to_owned() });
    story.commit(taken_back(2, "ben", false));
    assert_eq!(story.auditor.violation(), None);
    story.commit(taken_back(1, "ben", false));
    story.check("G2", "nobody asked for it");

    let mut story = Story::new();
    story.commit(removed());
    story.check("G2", "did not ask for it");

    let mut story = asked();
    story.tell(Event::CancelAsked { delivery_id: "id1".to_owned(), by: "ben".to_owned() });
    story.commit(taken_back(1, "ben", false));
    story.send(1, &body(7, 1));
    story.check("G2", "was Cancelled");
}

#[test]
fn g2_only_what_was_missed_is_made_good_and_only_where_it_was_asked_for() {
    const PLACE: i64 = 1 << 62;
    let made_good = |is_asked: bool, is_dead: bool| {
        let mut story = Story::new();
        story.change(1, 7, 1);
        if is_dead {
            story.now += 2_000_000;
            story.commit(Commit { given_up: vec![1], ..Commit::default() });
        }
        if is_asked {
            story.tell(Event::MissedAsked { webhook: 1 });
        }
        let anew = vec![delivery(PLACE, 7, 1)];
        story.commit(Commit { anew, missed: vec![PLACE], ..Commit::default() });
        story
    };
    assert_eq!(made_good(true, true).auditor.violation(), None);
    made_good(false, true).check("G2", "unasked");
    made_good(true, false).check("G2", "has not missed");
}

#[test]
fn g3_another_id_and_other_bytes_are_found() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.send(1, &format!("{} ", body(7, 1)));
    story.check("G3", "has the body");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.see(2, &body(7, 1));
    story.check("G3", "never committed");
}

#[test]
fn g4_overtaking_and_company_in_a_lane_are_found() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.change(2, 7, 2);
    story.tell(Event::Decided { seq: 2 });
    story.check("G4", "overtakes 1");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.change(2, 7, 2);
    story.see(2, &body(7, 2));
    story.see(1, &body(7, 1));
    story.check("G4", "v1 after v2");
}

#[test]
fn g5_too_many_at_a_time_and_waiting_for_nothing_are_found() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.change(2, 8, 1);
    story.send(1, &body(7, 1));
    story.send(2, &body(8, 1));
    story.check("G5", "one too many of 2");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.wait(20_000);
    story.wait(20_000);
    story.check("G5", "waits for nothing");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.tell(Event::EndpointWell { endpoint: 1, well: false });
    story.wait(20_000);
    story.wait(20_000);
    assert_eq!(story.auditor.violation(), None);
}

#[test]
fn g5_an_endpoint_is_served_as_its_registrations_wish() {
    let mut story = Story::wishing(Wishes { rate_per_second_max: Some(1), ..Wishes::default() });
    for (seq, order) in [(1, 7), (2, 8)] {
        story.change(seq, order, 1);
    }
    story.deliver(1, 7, 1);
    // Whatever else it waits for, it does not wait for nothing.
    story.wait(40_000);
    story.wait(40_000);
    story.deliver(2, 8, 1);
    assert_eq!(story.auditor.violation(), None);
    story.change(3, 9, 1);
    story.wait(900);
    story.deliver(3, 9, 1);
    story.check("G5", "2 requests to endpoint 1 begin within");

    let mut story = Story::wishing(Wishes { in_flight_max: Some(2), ..Wishes::default() });
    for (seq, order) in [(1, 7), (2, 8), (3, 9)] {
        story.change(seq, order, 1);
    }
    story.send(1, &body(7, 1));
    story.send(2, &body(8, 1));
    assert_eq!(story.auditor.violation(), None);
    story.tell(Event::Decided { seq: 3 });
    story.check("G5", "one too many of 3");

    let mut story = Story::wishing(Wishes { orders_per_delivery_max: Some(1), ..Wishes::default() });
    let both = Delivery { orders: vec![(7, 1), (8, 1)], ..delivery(1, 7, 1) };
    let changes = vec![change(7, 1), change(8, 1)];
    story.commit(Commit { changes, deliveries: vec![both], ..Commit::default() });
    story.check("G1", "carries 2 orders");
}

#[test]
fn g4_nothing_waits_for_its_order_where_nobody_asked_for_order_and_only_there() {
    let two = |mut story: Story| {
        story.change(1, 7, 1);
        story.change(2, 7, 2);
        story.send(2, &body(7, 2));
        story.send(1, &body(7, 1));
        story
    };
    let unordered = Wishes { unordered: true, in_flight_max: Some(2), ..Wishes::default() };
    let mut story = two(Story::wishing(unordered));
    story.see(2, &body(7, 2));
    story.see(1, &body(7, 1));
    assert_eq!(story.auditor.violation(), None);

    // One of its registrations wants order, and so does the endpoint.
    let mut story = Story::wishing(unordered);
    let strict = Registration {
        webhook: 3,
        partner: 0,
        business: 1,
        endpoint: 1,
        brand: Some(3),
        branch: None,
        event_type: "created",
        wishes: Wishes::default(),
    };
    story.commit(Commit { registrations: vec![strict], ..Commit::default() });
    two(story).check("G4", "overtakes 1");
}

#[test]
fn g2_only_what_waits_behind_a_newer_one_is_passed_over_and_only_where_that_is_wished() {
    let passed_over = |coalesce, newest| {
        let mut story = Story::wishing(Wishes { coalesce, ..Wishes::default() });
        for version in 1..=newest {
            story.change(version, 7, version);
        }
        story.tell(Event::Decided { seq: 1 });
        story.tell(Event::Outdated { seq: 1, endpoint: 1 });
        story.commit(Commit { superseded: vec![1], ..Commit::default() });
        story
    };
    assert_eq!(passed_over(true, 2).auditor.violation(), None);
    passed_over(true, 1).check("G2", "has nothing after v1");
    passed_over(false, 2).check("G2", "wants all");
}

#[test]
fn g1_what_there_was_no_room_for_is_not_made() {
    let refused = |is_new, item| Event::Refused { order: 7, is_new, item };
    let mut story = Story::new();
    story.tell(refused(true, None));
    story.change(1, 7, 1);
    story.check("G1", "there was no room for order 7");

    let mut story = Story::new();
    story.change(1, 7, 1);
    story.tell(refused(true, None));
    story.check("G1", "there was no room for a change of order 7");

    let mut story = Story::new();
    story.tell(refused(false, Some(5)));
    let record = Bytes::from_static(b"{\"id\":7,\"version\":1,\"cart\":[{\"item_id\":5}]}");
    let changes = vec![Change { record, ..change(7, 1) }];
    story.commit(Commit { changes, deliveries: vec![delivery(1, 7, 1)], ..Commit::default() });
    story.check("G1", "there was no room for order 7 v1");
}

#[test]
fn g6_a_failure_at_an_endpoint_that_is_down_costs_nothing() {
    let down = || {
        let mut story = Story::new();
        story.change(1, 7, 1);
        story.send(1, &body(7, 1));
        story.end(1, End::Refused { status: 503, retry_after_ms: Some(9_000) });
        story
    };
    let mut story = down();
    story.again(1, 1, 9_000, true);
    story.check("G6", "counts");
    let mut story = down();
    story.again(1, 1, 8_999, false);
    story.check("G2", "too soon");
    let mut story = down();
    story.again(1, 1, 9_000, false);
    story.wait(9_000);
    story.send(1, &body(7, 1));
    story.end(1, REFUSED);
    story.again(1, 2, 1_000, true);
    story.check("G6", "counts");
}

#[test]
fn g8_a_partner_that_holds_an_old_record_is_found() {
    let mut story = Story::new();
    story.change(1, 7, 1);
    story.deliver(1, 7, 1);
    story.change(2, 7, 2);
    story.deliver(2, 7, 2);
    story.auditor.receivers.forget(0, 7);
    story.auditor.finish(story.now);
    story.check("G8", "not at v2");
}
