//! Handing on: every change reaches every sink, each order's in their order, whatever one of the sinks does (G7).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::AppendHeaders;
use axum::routing::post;
use hookit_contract::{Clock, StatusCodes, WebhookSecret, header};
use hookit_engine::RetryPlan;
use hookit_inbox::sinks::{
    CommandSink, HttpSink, NdjsonSink, SinkConfig, SinkKind, SinkSet, SinkState, SinkStatus, Sinks,
};
use hookit_server::{Secret, SystemClock, Tasks};
use hookit_store::inbox::{SINK_STRETCHES_MAX, SinkAdvanced, SinkEnd, SinkStart, SinkWanted, Store};
use tokio::net::TcpListener;

use crate::harness::{Running, config, envelope, patiently};

const SINK_SECRET: &str = "whsec_of_the_sink";

/// A POST that came.
#[derive(Clone, Debug)]
struct Posted {
    event_id: String,
    event_type: String,
    order_id: i64,
    version: i64,
    body: Bytes,
}

/// With which status it answers.
type Answers = fn(&Posted) -> u16;

/// The partner's own application: an HTTP receiver that answers as it is told.
#[derive(Clone)]
struct Application {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    answer: Arc<Mutex<Answers>>,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Application::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let application =
            Application { address, posted: Arc::default(), answer: Arc::new(Mutex::new(|_| 200)) };
        let ours = application.clone();
        let routes = axum::Router::new().route(
            "/webhooks/klikit",
            post(move |headers: HeaderMap, body: Bytes| async move {
                let status = ours.take(&headers, body);
                let pause = (status == StatusCode::TOO_MANY_REQUESTS).then_some(("retry-after", "3"));
                (status, AppendHeaders(pause))
            }),
        );
        #[expect(clippy::disallowed_methods, reason = "it goes with the test")]
        tokio::spawn(async move { axum::serve(listener, routes).await });
        application
    }

    fn take(&self, headers: &HeaderMap, body: Bytes) -> StatusCode {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let signature = WebhookSecret::new(SINK_SECRET.as_bytes());
        signature
            .verify(&body, text(header::SIGNATURE).as_bytes())
            .expect("it is signed with the sink's secret");
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&json["brand_id"], &json["branch_id"]), (&663.into(), &1062.into()));
        let [order] = &json["orders"].as_array().unwrap()[..] else { panic!("one order: {json}") };
        let posted = Posted {
            event_id: text(header::EVENT_ID),
            event_type: text(header::EVENT_TYPE),
            order_id: order["id"].as_i64().unwrap(),
            version: order["version"].as_i64().unwrap(),
            body,
        };
        let answer = *self.answer.lock().unwrap();
        let status = answer(&posted);
        self.posted.lock().unwrap().push(posted);
        StatusCode::from_u16(status).unwrap()
    }

    fn answers(&self, answer: fn(&Posted) -> u16) {
        *self.answer.lock().unwrap() = answer;
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// Versions of each order in the order in which they came, repeats and all.
    fn versions(&self) -> BTreeMap<i64, Vec<i64>> {
        let mut versions = BTreeMap::<i64, Vec<i64>>::new();
        for posted in self.posted() {
            versions.entry(posted.order_id).or_default().push(posted.version);
        }
        versions
    }

    fn sink(&self, name: &str) -> SinkConfig {
        http(name, self.address)
    }
}

fn http(name: &str, address: SocketAddr) -> SinkConfig {
    let kind = SinkKind::Http(HttpSink {
        url: format!("http://{address}/webhooks/klikit"),
        secret: Secret::new(SINK_SECRET),
        basic_auth: None,
        private_addresses: true,
        ca_file: None,
    });
    SinkConfig { retry: quick(), ..SinkConfig::new(name.to_owned(), kind) }
}

fn file(name: &str, path: &Path) -> SinkConfig {
    SinkConfig::new(name.to_owned(), SinkKind::Ndjson(NdjsonSink::File(path.to_owned())))
}

/// Three attempts within a moment.
fn quick() -> RetryPlan {
    RetryPlan::new(vec![Duration::from_millis(5); 2]).unwrap()
}

/// Sinks at work on a store.
struct Handing {
    sinks: Sinks,
    tasks: Tasks,
}

impl Handing {
    async fn on(store: &Arc<dyn Store>, configs: Vec<SinkConfig>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let set = SinkSet::new(configs, StatusCodes::default(), &clock).unwrap();
        let tasks = Tasks::new();
        let sinks = Sinks::start(set, store.clone(), clock, 1, &tasks).await.unwrap();
        Handing { sinks, tasks }
    }

    fn status(&self, name: &str) -> SinkStatus {
        self.sinks.status().into_iter().find(|status| status.name == name).expect("there is such a sink")
    }

    /// Waits until a sink stands like this.
    async fn reaches(&self, name: &str, what: impl Fn(&SinkStatus) -> bool) -> SinkStatus {
        patiently(async {
            loop {
                let status = self.status(name);
                if what(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    async fn catches_up(&self, name: &str, newest: i64) -> SinkStatus {
        self.reaches(name, |status| status.newest >= newest && status.lag_changes == 0).await
    }

    async fn stop(self) {
        assert!(self.tasks.stop(Duration::from_secs(60)).await, "the sinks did not stop");
    }
}

/// Delivers a version of an order, in a delivery of its own.
async fn deliver(inbox: &Running, order_id: i64, version: i64) {
    let record = format!(r#"{{"id":{order_id},"status":1,"version":{version}}}"#);
    inbox
        .deliver(&format!("evt_{order_id}_{version}"), &envelope(&[&record]))
        .await
        .is(200, r#"{"status":"received"}"#);
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_change_reaches_every_sink_once_each_orders_in_their_order() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, copies) = (folder.path().join("orders.ndjson"), folder.path().join("copies"));
    let script = format!("cat >> {}", copies.display());
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let command = CommandSink { command, environment: Vec::new(), folder: None };
    let configs = vec![
        application.sink("pos"),
        file("file", &path),
        SinkConfig { in_flight_max: 1, ..SinkConfig::new("program".to_owned(), SinkKind::Command(command)) },
    ];
    let handing = Handing::on(&inbox.store, configs).await;
    for version in 1..=20 {
        for order_id in 1..=5 {
            deliver(&inbox, order_id, version).await;
        }
    }
    let expected: BTreeMap<i64, Vec<i64>> = (1..=5).map(|order_id| (order_id, (1..=20).collect())).collect();
    for name in ["pos", "file", "program"] {
        let status = handing.catches_up(name, 100).await;
        assert_eq!((status.position, status.lag, status.handed_on), (100, Duration::ZERO, 100), "{status:?}");
        assert_eq!((status.state, status.given_up, status.failed), (SinkState::Up, 0, 0), "{status:?}");
    }
    assert_eq!(application.versions(), expected);
    let posted = application.posted();
    let one = posted.iter().find(|posted| (posted.order_id, posted.version) == (3, 7)).unwrap();
    assert_eq!(
        (one.event_id.as_str(), one.event_type.as_str()),
        ("evt_3_7:0", "klikit.order.status.updated")
    );
    assert_eq!(one.body, envelope(&[r#"{"id":3,"status":1,"version":7}"#]));
    for path in [path, copies] {
        let mut versions = BTreeMap::<i64, Vec<i64>>::new();
        for line in lines(&path) {
            let number = |name: &str| line[name].as_i64().unwrap();
            assert_eq!(line["order"]["version"], line["version"]);
            versions.entry(number("order_id")).or_default().push(number("version"));
        }
        assert_eq!(versions, expected);
    }
    handing.stop().await;
}

#[tokio::test]
async fn orders_of_one_delivery_are_handed_on_one_by_one_under_ids_of_their_own() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    let (first, second) = (r#"{"id":1,"status":1,"version":1}"#, r#"{"id":2,"status":1,"version":1}"#);
    inbox.deliver("evt_both", &envelope(&[first, second])).await.is(200, r#"{"status":"received"}"#);
    // What changes nothing in the view is handed on to nobody.
    inbox.deliver("evt_again", &envelope(&[first])).await.is(200, r#"{"status":"received"}"#);
    handing.catches_up("pos", 2).await;
    let mut ids: Vec<_> =
        application.posted().into_iter().map(|posted| (posted.event_id, posted.order_id)).collect();
    ids.sort();
    assert_eq!(ids, [("evt_both:0".to_owned(), 1), ("evt_both:1".to_owned(), 2)]);
    handing.stop().await;
}

#[tokio::test]
async fn a_sink_that_is_down_holds_up_no_other_and_gives_nothing_up_however_long_that_lasts() {
    let inbox = Running::with(config()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.ndjson");
    // A port on which nobody listens yet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let handing = Handing::on(&inbox.store, vec![http("down", address), file("up", &path)]).await;
    for version in 1..=10 {
        deliver(&inbox, 1, version).await;
        deliver(&inbox, 2, version).await;
    }
    handing.catches_up("up", 20).await;
    assert_eq!(lines(&path).len(), 20);
    // More failures than the plan has attempts.
    let status =
        handing.reaches("down", |status| status.failed >= 3 && status.state == SinkState::Down).await;
    assert_eq!((status.lag_changes, status.position, status.given_up), (20, 0, 0), "{status:?}");
    assert!(status.lag > Duration::ZERO && status.last_failure.is_some(), "{status:?}");
    let application = Application::on(socket.listen(64).unwrap());
    let status = handing.catches_up("down", 20).await;
    assert_eq!((status.given_up, status.state == SinkState::Down), (0, false), "{status:?}");
    let expected: Vec<i64> = (1..=10).collect();
    assert_eq!(application.versions(), BTreeMap::from([(1, expected.clone()), (2, expected)]));
    handing.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_listed_in_pages_of_which_the_last_one_says_so_also_where_it_is_full() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    application.answers(|_| 422);
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    inbox.inbox.show_sinks(handing.sinks.clone());
    // Of one order, so that the application is not taken to be down.
    for version in 1..=4 {
        deliver(&inbox, 1, version).await;
    }
    handing.reaches("pos", |status| status.given_up == 4).await;
    for (limit, expected) in
        [(1, vec![1, 1, 1, 1]), (2, vec![2, 2]), (3, vec![3, 1]), (4, vec![4]), (5, vec![4])]
    {
        let (mut sizes, mut after) = (Vec::new(), 0);
        loop {
            let page = inbox.get(&format!("/sinks/pos/given-up?limit={limit}&after={after}")).await.json();
            sizes.push(page["data"]["given_up"].as_array().unwrap().len());
            let Some(next) = page["data"]["next_after"].as_i64() else { break };
            after = next;
        }
        assert_eq!(sizes, expected, "{limit}");
    }
    handing.stop().await;
}

#[tokio::test]
async fn what_is_refused_by_its_whole_plan_is_given_up_listed_and_handed_on_again() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    // One change is refused by itself; the order's next one is not, and neither is any other order.
    application.answers(|posted| if (posted.order_id, posted.version) == (1, 1) { 422 } else { 200 });
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    deliver(&inbox, 1, 1).await;
    deliver(&inbox, 1, 2).await;
    for order_id in 2..=6 {
        deliver(&inbox, order_id, 1).await;
    }
    let status = handing.catches_up("pos", 7).await;
    assert_eq!((status.given_up, status.position, status.failed), (1, 7, 3), "{status:?}");
    assert_eq!(status.last_failure.unwrap().error, "it answered 422");
    // The later change waited for the end of the earlier one.
    assert_eq!(application.versions()[&1], [1, 1, 1, 2]);
    let listed = handing.sinks.given_up("pos", 0, 10).await.unwrap().unwrap();
    let [given_up] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (given_up.order_id.0, given_up.reason.as_str(), given_up.again),
        (1, "it answered 422", false)
    );

    // It is refused once more, and is on the list again.
    let seqs = vec![given_up.change_seq];
    assert_eq!(handing.sinks.hand_on_again("pos", seqs.clone()).await.unwrap(), Some(1));
    handing.reaches("pos", |status| status.failed == 6).await;
    let still = patiently(async {
        loop {
            let listed = handing.sinks.given_up("pos", 0, 10).await.unwrap().unwrap();
            if !listed[0].again {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(still.len(), 1);

    application.answers(|_| 200);
    assert_eq!(handing.sinks.hand_on_again("pos", seqs.clone()).await.unwrap(), Some(1));
    handing.reaches("pos", |status| status.given_up == 0).await;
    let posted = application.posted();
    assert_eq!(posted.last().unwrap().event_id, "evt_1_1:0", "the id is the one that it had");
    assert!(handing.sinks.given_up("pos", 0, 10).await.unwrap().unwrap().is_empty());
    assert_eq!(handing.sinks.hand_on_again("pos", seqs).await.unwrap(), Some(0), "it was given up no more");
    assert!(handing.sinks.given_up("nobody", 0, 10).await.unwrap().is_none());
    handing.stop().await;
}

#[tokio::test]
async fn what_was_asked_for_again_before_a_restart_is_handed_on_after_it() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    application.answers(|posted| if posted.order_id == 1 { 422 } else { 200 });
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    for order_id in 1..=5 {
        deliver(&inbox, order_id, 1).await;
    }
    handing
        .reaches("pos", |status| status.given_up == 1 && status.lag_changes == 0 && status.handed_on == 4)
        .await;
    handing.stop().await;
    let seqs = inbox.store.given_up("pos", 0, 10).await.unwrap().iter().map(|one| one.change_seq).collect();
    inbox.store.hand_on_again("pos", seqs).await.unwrap();
    application.answers(|_| 200);
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    handing.reaches("pos", |status| status.handed_on == 1 && status.given_up == 0).await;
    assert_eq!(application.posted().last().unwrap().event_id, "evt_1_1:0");
    handing.stop().await;
}

#[tokio::test]
async fn a_sink_that_asks_for_a_pause_is_left_alone_for_so_long() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    application.answers(|_| 429);
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    let begun = tokio::time::Instant::now();
    deliver(&inbox, 1, 1).await;
    handing.reaches("pos", |status| status.failed == 1).await;
    application.answers(|_| 200);
    let status = handing.catches_up("pos", 1).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(3),
        "it was asked to wait longer than {:?}",
        begun.elapsed()
    );
    assert_eq!((status.failed, status.given_up), (1, 0), "{status:?}");
    handing.stop().await;
}

#[tokio::test]
async fn a_410_is_a_refusal_like_another_and_stops_nothing_for_good() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    application.answers(|_| 410);
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    // All at once: one alone that is refused again and again would be given up.
    let records: Vec<String> = (1..=4).map(|id| format!(r#"{{"id":{id},"status":1,"version":1}}"#)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(inbox.deliver("evt_1", &envelope(&records)).await.status, 200);
    handing.reaches("pos", |status| status.state == SinkState::Down).await;
    application.answers(|_| 200);
    let status = handing.catches_up("pos", 4).await;
    assert_eq!(status.given_up, 0, "{status:?}");
    handing.stop().await;
}

#[tokio::test]
async fn a_sink_goes_on_where_it_was_and_a_new_one_begins_where_its_setting_says() {
    let inbox = Running::with(config()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let handing = Handing::on(&inbox.store, vec![file("first", &path("first"))]).await;
    deliver(&inbox, 1, 1).await;
    handing.catches_up("first", 1).await;
    handing.stop().await;
    deliver(&inbox, 1, 2).await;
    let next = SinkConfig { start: SinkStart::Next, ..file("next", &path("next")) };
    let handing =
        Handing::on(&inbox.store, vec![file("first", &path("first")), file("oldest", &path("oldest")), next])
            .await;
    deliver(&inbox, 1, 3).await;
    for name in ["first", "oldest", "next"] {
        handing.catches_up(name, 3).await;
    }
    handing.stop().await;
    let versions =
        |name| lines(&path(name)).iter().map(|line| line["version"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        (versions("first"), versions("oldest"), versions("next")),
        (vec![1, 2, 3], vec![1, 2, 3], vec![3])
    );
    let store = inbox.store.clone();
    drop(inbox.stop().await);
    assert!(store.changes(0, 1).await.is_err(), "it is closed");
}

#[tokio::test]
async fn more_than_fits_in_memory_reaches_a_sink_in_order_although_one_order_is_stuck() {
    let inbox = Running::with(config()).await;
    let application = Application::start().await;
    application.answers(|posted| if posted.order_id == 1 { 500 } else { 200 });
    deliver(&inbox, 1, 1).await;
    // Many deliveries of fifty orders each.
    for version in 1..=60 {
        let records: Vec<String> =
            (2..=51).map(|id| format!(r#"{{"id":{id},"status":1,"version":{version}}}"#)).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        inbox
            .deliver(&format!("evt_{version}"), &envelope(&records))
            .await
            .is(200, r#"{"status":"received"}"#);
    }
    let patient = RetryPlan::new(vec![Duration::from_secs(600)]).unwrap();
    let handing =
        Handing::on(&inbox.store, vec![SinkConfig { retry: patient, ..application.sink("pos") }]).await;
    let status = handing.reaches("pos", |status| status.lag_changes == 1).await;
    assert_eq!((status.position, status.handed_on), (0, 3000), "{status:?}");
    let versions = application.versions();
    let expected: Vec<i64> = (1..=60).collect();
    assert!((2..=51).all(|order_id| versions[&order_id] == expected));
    handing.stop().await;
    // After a restart only the stuck one is tried again.
    let before = application.posted().len();
    application.answers(|_| 200);
    let handing = Handing::on(&inbox.store, vec![application.sink("pos")]).await;
    let status = handing.catches_up("pos", 3001).await;
    assert_eq!((status.handed_on, application.posted().len() - before), (1, 1), "{status:?}");
    handing.stop().await;
}

#[tokio::test]
async fn however_much_has_ended_behind_one_that_is_stuck_what_is_new_is_handed_on_and_nothing_twice() {
    let inbox = Running::with(config()).await;
    deliver(&inbox, 1, 1).await;
    // More than there may be stretches of them, in one delivery.
    let last = SINK_STRETCHES_MAX as i64 + 5_000;
    let records: Vec<String> = (2..=last).map(|id| format!(r#"{{"id":{id},"version":1}}"#)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    inbox.deliver("evt_many", &envelope(&records)).await.is(200, r#"{"status":"received"}"#);
    // All but the first were handed on before the sink was stopped.
    let wanted = SinkWanted { name: "pos".to_owned(), start: SinkStart::Oldest };
    inbox.store.put_sinks(vec![wanted], SystemClock.now()).await.unwrap();
    let ended = (2..=last).map(|seq| (seq, SinkEnd::HandedOn)).collect();
    let advanced = inbox.store.sink_ended("pos", ended, SystemClock.now()).await.unwrap();
    assert_eq!(advanced, SinkAdvanced::To { position: 0 });

    let application = Application::start().await;
    application.answers(|posted| if posted.order_id == 1 { 500 } else { 200 });
    let patient = RetryPlan::new(vec![Duration::from_secs(600)]).unwrap();
    let sink = SinkConfig { retry: patient, ..application.sink("pos") };
    let handing = Handing::on(&inbox.store, vec![sink]).await;
    handing.reaches("pos", |status| status.failed == 1).await;
    for (handed_on, order_id) in (1..).zip([last + 1, 2, last + 2]) {
        deliver(&inbox, order_id, 2).await;
        let is_there = |status: &SinkStatus| status.handed_on == handed_on && status.lag_changes == 1;
        let status = handing.reaches("pos", is_there).await;
        assert_eq!(status.position, 0, "{status:?}");
    }
    let posted: Vec<_> =
        application.posted().iter().map(|posted| (posted.order_id, posted.version)).collect();
    assert_eq!(posted, [(1, 1), (last + 1, 2), (2, 2), (last + 2, 2)]);
    handing.stop().await;
    let ended: Vec<_> = inbox.store.sinks().await.unwrap()[0].ended.iter().collect();
    assert_eq!(ended, [2..=last + 3], "one row, however many");
}

#[test]
fn all_that_is_wrong_in_the_settings_is_named_at_once_and_no_secret_with_it() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut wrong = http("POS", "127.0.0.1:1".parse().unwrap());
    let SinkKind::Http(sink) = &mut wrong.kind else { unreachable!() };
    sink.url = "ftp://127.0.0.1/".to_owned();
    let path = Path::new("/tmp/orders.ndjson");
    let configs = vec![wrong, file("a", path), file("a", path)];
    let error = SinkSet::new(configs, StatusCodes::default(), &clock).err().unwrap();
    let text = error.to_string();
    for expected in ["sinks[0].name", "sinks[0] (POS): url: ", "sinks[2].name", "sinks[2].path"] {
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
    assert_eq!(error.problems.len(), 4, "{text}");
    assert!(!text.contains(SINK_SECRET));
}
