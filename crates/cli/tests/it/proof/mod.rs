//! The second proof: the real binary with its real file and real sockets, partners that misbehave, operators at work, and
//! `kill -9` at any moment; judged afterwards by the simulator's auditor (G1 to G6, G8).
//!
//! A seed decides what is tried. Real time decides what comes of it, so the same seed is not the same run: it is the same
//! mixture. `HOOKIT_PROOF_SEED` sets the first seed, and `HOOKIT_PROOF_SECONDS` lets worlds follow one another, each with the
//! next seed, until so much time has passed.
//!
//! - `disk` - what the file says.
//! - `story` - from there, and from what was seen outside, to the auditor's events.

mod disk;
mod story;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookit_contract::{Clock as _, EventType};
use hookit_server::SystemClock;
use hookit_sim::auditor::{Counts, Rules};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use hookit_sim::traffic::generator;
use http::Method;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::disk::Disk;
use self::story::{Answered, Arrival, Diary, Life, Move, Story};
use crate::harness::halves::Platform;
use crate::harness::http::Client;
use crate::harness::producer::Producers;
use crate::harness::{PATIENCE, Scratch, until};

/// The first seed where none is given.
const SEED: u64 = 0x5eed_0020;
/// How long a world has faults.
const FAULTS: Duration = Duration::from_secs(15);
/// Where an answer was lost, and a pause between two of an operator's looks.
const PAUSE: Duration = Duration::from_millis(30);

const RETRY_DELAYS_MS: [i64; 6] = [100, 200, 300, 500, 800, 1_200];
const PROBE_PAUSE_MAX_MS: i64 = 600;
const IN_FLIGHT_PER_ENDPOINT: usize = 4;
const IN_FLIGHT: usize = 16;
const ORDERS_PER_DELIVERY: usize = 4;

fn now() -> i64 {
    SystemClock.now().as_millis()
}

fn port(url: &str) -> u16 {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    authority.and_then(|a| a.rsplit_once(':')?.1.parse().ok()).expect("the tests' URLs have ports")
}

/// What an endpoint is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Sick,
    Hanging,
    Overloaded,
    Refusing,
    Gone,
    Hostile,
    Flapping,
    Picky,
}

impl Mood {
    fn any(dice: &mut Xoshiro256PlusPlus) -> Mood {
        use Mood::{Flapping, Gone, Hanging, Hostile, Overloaded, Picky, Refusing, Sick, Well};
        [Well, Sick, Sick, Hanging, Overloaded, Refusing, Gone, Hostile, Flapping, Picky, Picky]
            [dice.random_range(0..11)]
    }

    fn answer(self, dice: &mut Xoshiro256PlusPlus, at: i64) -> Answer {
        let slow = Duration::from_millis(dice.random_range(0..120));
        match self {
            Mood::Well | Mood::Picky => Answer::Status([200, 201, 202, 204][dice.random_range(0..4)]),
            Mood::Hanging => Answer::Hang,
            Mood::Gone => Answer::Status(410),
            Mood::Refusing => Answer::Status(500),
            Mood::Overloaded => {
                let seconds = ["0", "1"][dice.random_range(0..2)];
                Answer::with_header([429, 503][dice.random_range(0..2)], "retry-after", seconds)
            }
            Mood::Flapping if (at / 700) % 2 == 0 => Answer::Status(200),
            Mood::Flapping => Answer::ResetAfterRead,
            Mood::Hostile => [
                Answer::EndlessBody,
                Answer::EndlessHead,
                Answer::Garbage,
                Answer::Drip { every: Duration::from_millis(50) },
            ][dice.random_range(0..4)]
            .clone(),
            Mood::Sick => match dice.random_range(0..12) {
                0..5 => Answer::Status(200).after(slow),
                5 | 6 => Answer::ResetAfterRead,
                7 => Answer::Hang,
                8 => Answer::with_header(503, "retry-after", "0"),
                9 => Answer::Status(301),
                10 => Answer::Status(404).after(slow),
                _ => Answer::Status(500),
            },
        }
    }
}

/// What the sender can make of an answer.
fn answered(answer: &Answer) -> Answered {
    match answer {
        Answer::Status(status) => {
            let processed = (200..300).contains(status);
            Answered { status: Some(*status), retry_after_ms: None, processed }
        }
        Answer::Full { status, headers, .. } => {
            let seconds = headers.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value);
            let retry_after_ms = seconds.and_then(|s| s.parse::<i64>().ok()).map(|s| s * 1_000);
            Answered { status: Some(*status), retry_after_ms, processed: (200..300).contains(status) }
        }
        Answer::Delay(_, later) => answered(later),
        // The status stands although the body has no end.
        Answer::EndlessBody | Answer::Drip { .. } => {
            Answered { status: Some(200), retry_after_ms: None, processed: true }
        }
        Answer::Hang | Answer::Reset | Answer::ResetAfterRead | Answer::EndlessHead | Answer::Garbage => {
            Answered { status: None, retry_after_ms: None, processed: true }
        }
    }
}

type Shared<T> = Arc<Mutex<T>>;

/// An endpoint that writes down what it sees, and what it is like.
struct Receiver {
    endpoint: ScriptedEndpoint,
    mood: Shared<Mood>,
}

impl Receiver {
    async fn start(diary: &Shared<Diary>, seed: u64) -> Receiver {
        let endpoint = ScriptedEndpoint::start().await.unwrap();
        let mood = Arc::new(Mutex::new(Mood::Well));
        let dice = Mutex::new(generator(seed));
        let (diary, like, at_port) = (diary.clone(), mood.clone(), endpoint.address().port());
        endpoint.answer_each(move |request| {
            let at = now();
            let mood = *like.lock().unwrap();
            let mut answer = mood.answer(&mut dice.lock().unwrap(), at);
            // Some it will never take, while it takes all others.
            if mood == Mood::Picky && request.event_id().ends_with(['3', 'b']) {
                answer = Answer::Status(422);
            }
            diary.lock().unwrap().arrivals.push(Arrival {
                at,
                port: at_port,
                id: request.event_id().to_owned(),
                event_type: request.event_type().to_owned(),
                signature: request.signature().to_owned(),
                body: request.body.clone(),
                answered: answered(&answer),
            });
            answer
        });
        Receiver { endpoint, mood }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

/// An operator who asks again until there is an answer.
#[derive(Clone)]
struct Operator {
    client: Client,
    diary: Shared<Diary>,
}

impl Operator {
    /// The answer's status and data, when it was asked for first and when the answer came, and when answers were lost.
    async fn ask(&self, method: Method, path: &str, body: String) -> (u16, Value, i64, i64, Vec<i64>) {
        let (from, mut lost) = (now(), Vec::new());
        let answer = async {
            loop {
                let asked = now();
                match self.client.send(method.clone(), path, &[], body.clone()).await {
                    Ok(answer) if answer.status != 503 => return answer,
                    Ok(_) => {}
                    Err(_) => lost.push(asked),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let answer =
            tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{path}: no answer"));
        (answer.status, answer.json()["data"].take(), from, now(), lost)
    }

    async fn register(&self, partner_id: &str, event_type: EventType, brand: Option<i64>, url: &str) {
        let body = json!({"partner_id": partner_id, "event_type": event_type, "brand_id": brand, "url": url});
        let (_, shown, from, to, _) = self.ask(Method::PUT, "/v1/operator/webhooks", body.to_string()).await;
        let id = |field: &str| shown[field].as_i64().unwrap_or_else(|| panic!("{field}: {shown}"));
        let change = Move { from, to, webhook: id("webhook_id"), endpoint: id("endpoint_id") };
        self.diary.lock().unwrap().moves.push(change);
    }

    async fn rotate(&self, partner_id: &str, ports: &[u16]) {
        let path = format!("/v1/operator/partners/{partner_id}/rotate-webhook-secret");
        let (_, shown, from, to, lost) = self.ask(Method::POST, &path, String::new()).await;
        let secret = shown["webhook_secret_key"].as_str().expect("the new secret").to_owned();
        let mut diary = self.diary.lock().unwrap();
        for port in ports {
            let secrets = diary.secrets.entry(*port).or_default();
            // One that was replaced may sign until its successor's answer.
            secrets.extend(lost.iter().map(|at| (*at, None)));
            secrets.push((if lost.is_empty() { from } else { to }, Some(secret.clone())));
        }
    }

    async fn hold(&self, webhook: i64, held: bool) {
        let verb = if held { "disable" } else { "enable" };
        let path = format!("/v1/operator/webhooks/{webhook}/{verb}");
        let (_, shown, from, to, _) = self.ask(Method::POST, &path, String::new()).await;
        let endpoint = shown["endpoint_id"].as_i64().expect("its endpoint");
        self.diary.lock().unwrap().holds.push((if held { to } else { from }, endpoint, held));
    }

    /// Lets go whatever is held.
    async fn enable_all(&self) {
        let (_, shown, ..) = self.ask(Method::GET, "/v1/operator/webhooks", String::new()).await;
        for webhook in shown["webhooks"].as_array().into_iter().flatten().filter(|w| !w["hold"].is_null()) {
            self.hold(webhook["webhook_id"].as_i64().expect("an id"), false).await;
        }
    }

    /// Sends one of the deliveries again that have ended.
    async fn replay(&self, dice: &mut Xoshiro256PlusPlus) {
        let state = ["delivered", "dead"][dice.random_range(0..2)];
        let path = format!("/v1/operator/deliveries?state={state}&limit=40");
        let (_, shown, ..) = self.ask(Method::GET, &path, String::new()).await;
        let Some(ended) = shown["deliveries"].as_array().filter(|ended| !ended.is_empty()) else { return };
        let id = ended[dice.random_range(0..ended.len())]["delivery_id"].as_str().expect("an id").to_owned();
        self.diary.lock().unwrap().replays.entry(id.clone()).or_insert_with(now);
        // It may have been sent again already, and be pending.
        self.ask(Method::POST, &format!("/v1/operator/deliveries/{id}/replay"), String::new()).await;
    }
}

/// Says how to run it again, where it fails.
struct Again(u64);

impl Drop for Again {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let command = "cargo test -p hookit --test it proof::";
            let _ =
                writeln!(std::io::stderr(), "the same mixture again: HOOKIT_PROOF_SEED={} {command}", self.0);
        }
    }
}

fn config(dice: &mut Xoshiro256PlusPlus) -> String {
    let tick_ms = [0, 0, 15][dice.random_range(0..3)];
    format!(
        "[tick]\ntick_ms = {tick_ms}\norders_per_delivery_max = {ORDERS_PER_DELIVERY}\n\
         [delivery]\nretry_delays_ms = {RETRY_DELAYS_MS:?}\nin_flight_per_endpoint_max = {IN_FLIGHT_PER_ENDPOINT}\n\
         in_flight_max = {IN_FLIGHT}\nexchange_timeout_ms = 800\nprobe_pause_min_ms = 80\n\
         probe_pause_max_ms = {PROBE_PAUSE_MAX_MS}\n"
    )
}

fn rules() -> Rules {
    Rules {
        delays_ms: RETRY_DELAYS_MS.to_vec(),
        jitter_percent: 20,
        retry_after_max_ms: 3_600_000,
        in_flight_per_endpoint_max: IN_FLIGHT_PER_ENDPOINT,
        in_flight_max: IN_FLIGHT,
        orders_per_delivery_max: ORDERS_PER_DELIVERY,
        failures_to_open: 3,
        probe_pause_max_ms: PROBE_PAUSE_MAX_MS * 12 / 10,
        hold_ms: 72 * 3_600_000,
        // On a machine that is busy with other things no wait is too long; that things go on is waited for instead.
        idle_max_ms: None,
    }
}

/// Kills the process, or stops it in good order.
async fn end_a_life(platform: &mut Platform, diary: &Shared<Diary>, born: i64, kill: bool) {
    if kill {
        platform.server.kill().await
    } else {
        platform.server.stop().await
    }
    diary.lock().unwrap().lives.push(Life { from: born, to: now(), killed: kill });
}

/// Waits until nothing is pending, however long it takes, as long as it goes on.
async fn quiet(platform: &Platform, operator: &Operator) {
    let mut before = u64::MAX;
    loop {
        let fewer = until("fewer pending deliveries", async || {
            operator.enable_all().await;
            let status = platform.status().await;
            let left = status["pending"].as_u64()? + status["in_flight"].as_u64()?;
            (left < before).then_some(left)
        });
        before = fewer.await;
        if before == 0 {
            return;
        }
    }
}

async fn world(seed: u64) -> Counts {
    let _again = Again(seed);
    let mut dice = generator(seed);
    let scratch = Scratch::new();
    let diary: Shared<Diary> = Arc::default();
    let born = now();
    let mut platform = Platform::start(&scratch, &config(&mut dice)).await;
    let operator = Operator { client: platform.operator.clone(), diary: diary.clone() };

    // A receiver that is always well, two that are not, and a partner that moves between two.
    let mut receivers = Vec::new();
    for number in 0..5 {
        receivers.push(Receiver::start(&diary, seed ^ (number << 32)).await);
    }
    let ports: Vec<u16> = receivers.iter().map(|receiver| receiver.endpoint.address().port()).collect();
    let urls: Vec<String> = receivers.iter().map(|receiver| receiver.endpoint.url()).collect();
    let mut partners = Vec::new();
    for (name, places) in [("Well", vec![0]), ("Unwell", vec![1, 2]), ("Moving", vec![3, 4])] {
        let partner = platform.partner(name).await;
        for place in places {
            diary
                .lock()
                .unwrap()
                .secrets
                .insert(ports[place], vec![(0, Some(partner.webhook_secret.clone()))]);
        }
        partners.push(partner.partner_id);
    }
    for event_type in EventType::ALL {
        operator.register(&partners[0], event_type, None, &urls[0]).await;
        operator.register(&partners[1], event_type, None, &urls[1]).await;
    }
    // Brand 663 goes elsewhere.
    operator.register(&partners[1], EventType::OrderStatusUpdated, Some(663), &urls[2]).await;
    operator.register(&partners[2], EventType::OrderStatusUpdated, None, &urls[3]).await;
    let webhooks: BTreeMap<i64, i64> =
        diary.lock().unwrap().moves.iter().map(|m| (m.endpoint, m.webhook)).collect();
    let webhooks: Vec<i64> = webhooks.into_values().skip(1).collect();

    let producers = Producers::start_paced(&platform.operator, seed, 5, None, Duration::from_millis(40));
    // Operators at work, whatever happens to the platform meanwhile.
    let enough = CancellationToken::new();
    let mut operators = JoinSet::new();
    let moods: Vec<Shared<Mood>> = receivers.iter().map(|receiver| receiver.mood.clone()).collect();
    operators.spawn({
        let (operator, enough, urls, ports) = (operator.clone(), enough.clone(), urls.clone(), ports.clone());
        let (partners, mut dice) = (partners.clone(), generator(seed + 1));
        async move {
            let mut here = 3;
            while !enough.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(dice.random_range(10..200))).await;
                match dice.random_range(0..20) {
                    0..9 => *moods[dice.random_range(1..5)].lock().unwrap() = Mood::any(&mut dice),
                    9 | 10 => {
                        here = 7 - here;
                        let event_type = EventType::OrderStatusUpdated;
                        operator.register(&partners[2], event_type, None, &urls[here]).await;
                    }
                    11 => operator.rotate(&partners[1], &ports[1..3]).await,
                    12 => operator.hold(webhooks[dice.random_range(0..webhooks.len())], true).await,
                    13..16 => operator.enable_all().await,
                    _ => operator.replay(&mut dice).await,
                }
            }
        }
    });
    let mut born = born;
    let until_at = now() + i64::try_from(FAULTS.as_millis()).expect("a few seconds");
    for turn in 0.. {
        // Some kills come while it is starting.
        let ms_max = if turn % 4 == 3 { 60 } else { 2_500 };
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..ms_max))).await;
        let kill = turn % 4 != 1;
        if !kill {
            platform.server.listening().await;
        }
        end_a_life(&mut platform, &diary, born, kill).await;
        born = now();
        platform.server.spawn(&scratch);
        if now() > until_at {
            break;
        }
    }
    platform.server.listening().await;
    enough.cancel();
    while let Some(ended) = operators.join_next().await {
        ended.unwrap();
    }
    // G5: whoever is well gets everything while the others take requests and never answer.
    for receiver in &receivers[1..] {
        receiver.becomes(Mood::Hanging);
    }
    let ledger = producers.finish().await;
    let well = diary.lock().unwrap().moves[0].endpoint;
    until("the last delivery of the endpoint that is well", async || {
        let path = format!("/v1/operator/deliveries?state=pending&endpoint_id={well}&limit=1");
        let (_, shown, ..) = operator.ask(Method::GET, &path, String::new()).await;
        shown["deliveries"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    // The faults are over.
    for receiver in &receivers {
        receiver.becomes(Mood::Well);
    }
    quiet(&platform, &operator).await;
    end_a_life(&mut platform, &diary, born, false).await;

    let disk = Disk::read(&platform.data);
    let diary = diary.lock().unwrap();
    let (auditor, wrong) = Story::of(&disk, &diary).judge(rules(), &ledger.records(), &disk);
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    auditor.counts()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_auditor_finds_nothing_wrong_with_a_real_process_that_is_killed_among_faults() {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = variable("HOOKIT_PROOF_SEED").unwrap_or(SEED);
    let seconds = variable("HOOKIT_PROOF_SECONDS").unwrap_or(0);
    let until_at = now() + i64::try_from(seconds * 1_000).expect("some hours at most");
    let mut sum = Counts::default();
    for seed in first.. {
        let counts = world(seed).await;
        assert!(counts.crashes > 0 && counts.delivered > 0, "seed {seed} was a run of nothing:\n{counts}");
        sum.add(&counts);
        if now() >= until_at {
            break;
        }
    }
    println!("{sum}");
}
