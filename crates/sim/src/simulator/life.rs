//! One life of the platform's process, and the steps that fill it: each lets something happen, and then some time go by.

use std::sync::Arc;
use std::time::Duration;

use hookit_contract::{Clock as _, DeliveryId, DeliveryState, EndpointId, EventType, OrderId, PartnerId};
use hookit_platform::{Platform, PlatformConfig, StartError, Vault};
use hookit_store::platform::{Delivery, HoldReason, SteerReplay, Store as _};
use http::Method;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::config::{PARTNERS_MAX, STOP_TIMEOUT, URLS_PER_PARTNER};
use super::network::{Mood, Network};
use super::producers::{Desk, Wanted};
use super::store::{Medium, SimStore, StoreMood};
use super::trace::{Trace, VirtualClock, lock};
use crate::auditor::Rules;
use crate::auditor::event::Event;

const BUSINESSES: [i64; 2] = [7, 8];
const BRANDS: i64 = 3;
const BRANCHES: i64 = 2;

/// Orders that are changed: the newest ones, so that their lanes grow long.
const LIVELY: usize = 6;

/// The statuses that an order is moved to, forward and (in vain) backward.
const STATUSES: [&str; 7] =
    ["ACCEPTED", "PREPARING", "READY", "DRIVER_ASSIGNED", "DISPATCHED", "DELIVERED", "PICKED_UP"];

/// All that outlives the process.
pub(super) struct World {
    pub(super) config: PlatformConfig,
    pub(super) rules: Rules,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) trace: Arc<Trace>,
    pub(super) medium: Arc<Medium>,
    pub(super) network: Arc<Network>,
    pub(super) vault: Vault,
}

/// How a life ended.
pub(super) enum End {
    /// Before it had begun: the store would not let it read.
    NotStarted,
    /// In the middle of something.
    Crash,
    /// In good order.
    Stop {
        /// All that was under way came to its end.
        drained: bool,
    },
    /// The schedule is over.
    Over,
}

/// Decides what happens next.
pub(super) struct Driver {
    dice: Xoshiro256PlusPlus,
    steps_left: u64,
    partners: Vec<(PartnerId, i64)>,
    orders: i64,
    edits: u64,
    healed: bool,
    lives: u64,
    rules: Rules,
}

impl Driver {
    pub(super) fn new(dice: Xoshiro256PlusPlus, rules: Rules, steps: u64) -> Self {
        let (partners, orders, edits) = (Vec::new(), 0, 0);
        Driver { dice, steps_left: steps, partners, orders, edits, healed: false, lives: 0, rules }
    }

    /// How many tasks get a turn before the driver gets one: with few, a crash can come between any two.
    pub(super) fn event_interval(&mut self) -> u32 {
        [1, 2, 7, 61][self.dice.random_range(0..4)]
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.dice.random_range(0..of.len())].clone())
    }

    /// Who takes something back.
    fn name(&mut self) -> String {
        ["ann", "ben", "cho"][self.dice.random_range(0..3)].to_owned()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    /// How long until the next step.
    fn pause_ms(&mut self) -> u64 {
        match self.dice.random_range(0..100) {
            0..30 => 0,
            30..55 => self.dice.random_range(1..50),
            55..80 => self.dice.random_range(50..2_000),
            80..95 => self.dice.random_range(2_000..30_000),
            95..99 => self.dice.random_range(30_000..1_200_000),
            _ => self.dice.random_range(1_200_000..30_000_000),
        }
    }
}

/// Goes on with the schedule in a new process.
pub(super) async fn live(world: &World, driver: &mut Driver) -> End {
    driver.lives += 1;
    let mut tasks = JoinSet::new();
    let store = Arc::new(SimStore::new(world.medium.clone()));
    tasks.spawn(store.clone().serve());
    let config = PlatformConfig {
        jitter_seed: world.config.jitter_seed.wrapping_add(driver.lives),
        ..world.config.clone()
    };
    let platform = Platform::start(
        config,
        store.clone(),
        world.clock.clone(),
        world.vault.clone(),
        world.network.clone(),
    )
    .await;
    let platform = match platform {
        Ok(platform) => platform,
        Err(StartError::Store(_)) => {
            sleep(Duration::from_secs(1)).await;
            try_again(world, driver);
            return End::NotStarted;
        }
        Err(StartError::WrongKey { .. }) => unreachable!("there is one key"),
    };
    world.trace.note(&Event::Started);
    let desk = Desk::new(platform.router(), world.trace.clone(), world.network.clone());
    if driver.partners.is_empty() {
        set_up(world, driver, &desk).await;
    }
    while driver.steps_left > 0 {
        driver.steps_left -= 1;
        look_around(world);
        if world.trace.violation().is_some() {
            return End::Over;
        }
        match step(world, driver, &desk, &store, &mut tasks) {
            Next::On => {}
            Next::Crash => {
                let pause_ms = driver.pause_ms().min(5_000);
                sleep(Duration::from_millis(pause_ms)).await;
                for _ in 0..driver.dice.random_range(0..40) {
                    tokio::task::yield_now().await;
                }
                return End::Crash;
            }
            Next::Stop => {
                let began = Instant::now();
                drop(desk);
                platform.stop().await;
                return End::Stop { drained: began.elapsed() < STOP_TIMEOUT };
            }
        }
        sleep(Duration::from_millis(driver.pause_ms())).await;
        while tasks.try_join_next().is_some() {}
    }
    rest(world, driver, &store).await;
    look_around(world);
    let began = Instant::now();
    platform.stop().await;
    if world.trace.violation().is_none() {
        world.trace.note(&Event::Stopped { drained: began.elapsed() < STOP_TIMEOUT });
    }
    End::Over
}

/// A start that fails is a step as well, in which the store may come round; it has to when there are no more.
fn try_again(world: &World, driver: &mut Driver) {
    driver.steps_left = driver.steps_left.saturating_sub(1);
    if driver.chance(20) || driver.steps_left == 0 {
        world.medium.set_mood(None);
    }
    look_around(world);
}

fn look_around(world: &World) {
    let endpoints = lock(&world.medium.disk).endpoints();
    world.network.meet(endpoints.into_iter().map(|endpoint| endpoint.endpoint_id.0));
    world.network.find_late();
    world.trace.next_step();
}

/// The faults end, and all goes quiet in its own time: the longest pause of the plan, and what an overloaded endpoint
/// has asked for.
async fn rest(world: &World, driver: &mut Driver, store: &Arc<SimStore>) {
    if !driver.healed {
        driver.healed = true;
        world.trace.note(&Event::Healed);
        world.medium.set_mood(None);
        for endpoint in world.network.endpoints() {
            world.network.set_mood(endpoint, Mood::Well);
        }
        // What was on its way when the faults ended comes to its end, and then an operator opens all that is held.
        sleep(Duration::from_secs(60)).await;
        for endpoint in world.network.endpoints() {
            hold(store.clone(), world.clock.clone(), endpoint, None).await;
        }
        let replays = lock(&world.medium.disk).replays.clone();
        for replay in replays {
            // One that has ended says so, and stays as it is.
            let _ = store.steer_replay(replay.replay_id, SteerReplay::Resume, world.clock.now()).await;
        }
    }
    let longest_ms = world.rules.delays_ms.iter().max().copied().unwrap_or_default();
    let bound_ms = longest_ms * 13 / 10
        + world.rules.retry_after_max_ms
        + 2 * world.rules.probe_pause_max_ms
        + 3_600_000;
    let (began, mut pause_ms) = (world.clock.elapsed_ms(), 500);
    while world.clock.elapsed_ms() - began < bound_ms && world.trace.violation().is_none() {
        sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(3_600_000);
        look_around(world);
        if world.trace.is_quiet() {
            // Nothing may come after.
            sleep(Duration::from_secs(60)).await;
            break;
        }
    }
}

/// Partners and their first registrations, before anything goes wrong.
async fn set_up(world: &World, driver: &mut Driver, desk: &Desk) {
    let partners = driver.dice.random_range(2..=PARTNERS_MAX);
    for number in 0..partners {
        let business = BUSINESSES[usize::from(number > 0 && driver.chance(25))];
        let partner_id = desk.add_partner(&format!("partner {number}"), business).await;
        let partner_id = partner_id.expect("a calm store takes a partner");
        driver.partners.push((partner_id, business));
        for event_type in EventType::ALL {
            if driver.chance(85) {
                let wanted = wanted(driver, number, event_type);
                desk.clone().put_webhook(wanted).await;
            }
        }
    }
    look_around(world);
}

fn wanted(driver: &mut Driver, partner: usize, event_type: EventType) -> Wanted {
    let any = driver.chance(50);
    let brand = (!any && driver.chance(70)).then(|| driver.dice.random_range(1..=BRANDS));
    let branch = (!any && driver.chance(40)).then(|| driver.dice.random_range(1..=BRANCHES));
    let place = driver.dice.random_range(0..URLS_PER_PARTNER);
    // One more than others have, where there is room for it.
    let in_flight_max = (driver.rules.in_flight_per_endpoint_max + 1).min(driver.rules.in_flight_max);
    let orders_max = driver.rules.orders_per_delivery_max.min(3);
    Wanted {
        partner_id: driver.partners[partner].0.clone(),
        brand,
        branch,
        event_type: event_type.as_str(),
        coalesce: driver.chance(30),
        // Only where every registration of a URL does without it there is no order, so one of the URLs is for that.
        unordered: driver.chance(if place == 1 && partner % 2 == 1 { 85 } else { 5 }),
        in_flight_max: driver.chance(20).then(|| driver.dice.random_range(1..=in_flight_max)),
        rate_per_second_max: driver.chance(15).then(|| [1, 2, 5, 50][driver.dice.random_range(0..4)]),
        orders_per_delivery_max: driver.chance(20).then(|| driver.dice.random_range(1..=orders_max)),
        url: format!("https://partner{partner}.example.com/{place}"),
    }
}

/// What comes after a step.
enum Next {
    On,
    Crash,
    Stop,
}

fn step(
    world: &World,
    driver: &mut Driver,
    desk: &Desk,
    store: &Arc<SimStore>,
    tasks: &mut JoinSet<()>,
) -> Next {
    match driver.dice.random_range(0..111) {
        0..20 => create(driver, desk, tasks),
        20..48 => change(world, driver, desk, tasks),
        48..62 => {
            // All at one moment: that is what makes batches.
            for _ in 0..driver.dice.random_range(2..8) {
                if driver.chance(45) {
                    create(driver, desk, tasks);
                } else {
                    change(world, driver, desk, tasks);
                }
            }
        }
        62..76 => {
            let endpoints = world.network.endpoints();
            if let Some(endpoint) = driver.one(&endpoints) {
                let mood = mood(driver);
                world.network.set_mood(endpoint, mood);
            }
        }
        76..82 => {
            let mood = driver.chance(55).then(|| store_mood(driver));
            world.medium.set_mood(mood);
        }
        82..86 => {
            let partner = driver.dice.random_range(0..driver.partners.len());
            let event_type = EventType::ALL[driver.dice.random_range(0..3)];
            let wanted = wanted(driver, partner, event_type);
            tasks.spawn(desk.clone().put_webhook(wanted));
            // Changes that cross the new registration on their way.
            for _ in 0..driver.dice.random_range(0..6) {
                change(world, driver, desk, tasks);
            }
        }
        86..88 => {
            let endpoints = world.network.endpoints();
            if let Some(endpoint) = driver.one(&endpoints) {
                let reason = driver.chance(35).then_some(HoldReason::Operator);
                tasks.spawn(hold(store.clone(), world.clock.clone(), endpoint, reason));
            }
        }
        88..89 => {
            let partner = driver.dice.random_range(0..driver.partners.len());
            tasks.spawn(desk.clone().rotate_webhook_secret(driver.partners[partner].0.clone()));
        }
        89..91 => replay(world, driver, desk, tasks),
        91..92 => {
            let by_ms = driver.dice.random_range(-300_000..300_000);
            world.clock.step(by_ms);
            world.trace.note(&Event::ClockStepped { by_ms });
        }
        92..97 => return Next::Crash,
        97..100 => return Next::Stop,
        100..104 => remove(world, driver, desk, tasks),
        104..107 => {
            let partner = driver.dice.random_range(0..driver.partners.len());
            let partner_id = driver.partners[partner].0.clone();
            let soon = Duration::from_millis(
                driver.dice.random_range(1..4_000_000) >> driver.dice.random_range(0..12),
            );
            tasks.spawn(desk.clone().stage_webhook_secret(partner_id, world.clock.now().plus(soon)));
        }
        _ => {
            let ids = pending(world);
            // The newest, too: it may be under way.
            let newest = ids.last().cloned().filter(|_| driver.chance(30));
            if let Some(id) = newest.or_else(|| driver.one(&ids)) {
                let (by, and_again) = (driver.name(), driver.chance(40));
                tasks.spawn(desk.clone().cancel_delivery(id, by, and_again));
            }
        }
    }
    Next::On
}

/// An operator sends one delivery again, or many, or steers a replay.
fn replay(world: &World, driver: &mut Driver, desk: &Desk, tasks: &mut JoinSet<()>) {
    let (ids, replays) = {
        let disk = lock(&world.medium.disk);
        let ids: Vec<_> = disk.deliveries().map(|(delivery, _)| delivery.delivery_id.clone()).collect();
        (ids, disk.replays.len() as i64)
    };
    let post = |path: String, body: String| desk.clone().post(path, body);
    match driver.dice.random_range(0..100) {
        0..25 => {
            if let Some(id) = driver.one(&ids) {
                tasks.spawn(post(format!("deliveries/{id}/replay"), String::new()));
            }
        }
        25..60 => {
            let endpoints = world.network.endpoints();
            let state = driver.one(&["dead", "delivered", "cancelled"]);
            let filter = match driver.one(&endpoints).filter(|_| driver.chance(70)) {
                Some(endpoint) => {
                    json!({ "endpoint_id": endpoint, "state": state.filter(|_| driver.chance(50)) })
                }
                None => json!({ "state": state }),
            };
            let body = json!({ "filter": filter, "new_ids": driver.chance(40) });
            tasks.spawn(post("replays".to_owned(), body.to_string()));
        }
        60..75 => {
            let webhooks = lock(&world.medium.disk).webhooks();
            if let Some(webhook) = driver.one(&webhooks) {
                world.trace.note(&Event::MissedAsked { webhook: webhook.webhook_id.0 });
                let body = json!({ "filter": { "webhook_id": webhook.webhook_id }, "missed": true });
                tasks.spawn(post("replays".to_owned(), body.to_string()));
            }
        }
        _ if replays == 0 => {}
        _ => {
            let replay = driver.dice.random_range(0..replays.min(3));
            let how = ["pause", "resume", "cancel"][driver.dice.random_range(0..3)];
            tasks.spawn(post(format!("replays/{}/{how}", replays - replay), String::new()));
        }
    }
}

/// What waits, oldest first.
fn pending(world: &World) -> Vec<DeliveryId> {
    let disk = lock(&world.medium.disk);
    let waits = |(delivery, _): (&Delivery, _)| {
        (delivery.state == DeliveryState::Pending).then(|| delivery.delivery_id.clone())
    };
    let mut ids: Vec<_> = disk.deliveries().filter_map(waits).collect();
    ids.reverse();
    ids
}

/// An operator removes a registration, and often puts another in its place.
fn remove(world: &World, driver: &mut Driver, desk: &Desk, tasks: &mut JoinSet<()>) {
    let webhooks = lock(&world.medium.disk).webhooks();
    let Some(webhook) = driver.one(&webhooks) else { return };
    let by = driver.name();
    tasks.spawn(desk.clone().remove_webhook(webhook.webhook_id.0, by));
    for _ in 0..driver.dice.random_range(0..4) {
        change(world, driver, desk, tasks);
    }
    if driver.chance(60)
        && let Some(partner) = driver.partners.iter().position(|(id, _)| *id == webhook.partner_id)
    {
        let wanted = Wanted {
            brand: webhook.brand_id.map(|id| id.0),
            branch: webhook.branch_id.map(|id| id.0),
            ..wanted(driver, partner, webhook.event_type)
        };
        tasks.spawn(desk.clone().put_webhook(wanted));
    }
}

/// An operator holds an endpoint, or lets it go, and asks again where the store would not.
async fn hold(store: Arc<SimStore>, clock: Arc<VirtualClock>, endpoint: i64, reason: Option<HoldReason>) {
    while store.hold_endpoint(EndpointId(endpoint), reason, clock.now()).await.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
}

fn create(driver: &mut Driver, desk: &Desk, tasks: &mut JoinSet<()>) {
    driver.orders += 1;
    let mut brands: Vec<i64> = (1..=BRANDS).filter(|_| driver.chance(50)).collect();
    if brands.is_empty() {
        brands.push(driver.dice.random_range(1..=BRANDS));
    }
    let brands: Vec<_> = brands.into_iter().map(|id| json!({ "id": id })).collect();
    let record = json!({
        "id": driver.orders,
        "business_id": BUSINESSES[usize::from(driver.chance(15))],
        "branch_id": driver.dice.random_range(1..=BRANCHES),
        "brands": brands,
        "type": driver.dice.random_range(1..=3),
        "cart": [],
        "order_comment": "ไม่เผ็ด 🍜",
    });
    tasks.spawn(desk.clone().change(Method::POST, "orders".to_owned(), record));
}

fn change(world: &World, driver: &mut Driver, desk: &Desk, tasks: &mut JoinSet<()>) {
    let mut orders: Vec<OrderId> = lock(&world.medium.disk).orders().map(|order| order.order_id).collect();
    let lively = orders.split_off(orders.len().saturating_sub(LIVELY));
    let Some(OrderId(order)) = driver.one(&lively) else { return create(driver, desk, tasks) };
    let (method, path, body) = match driver.dice.random_range(0..100) {
        0..55 => {
            let status = STATUSES[driver.dice.random_range(0..STATUSES.len())];
            (Method::PATCH, format!("orders/{order}/status"), json!({ "status": status }))
        }
        55..62 => {
            let body = json!({ "status": "CANCELLED", "reason_code": "too_busy" });
            (Method::PATCH, format!("orders/{order}/status"), body)
        }
        _ => {
            driver.edits += 1;
            (Method::PUT, format!("orders/{order}/cart"), json!({ "cart": [{ "item_id": driver.edits }] }))
        }
    };
    tasks.spawn(desk.clone().change(method, path, body));
}

fn mood(driver: &mut Driver) -> Mood {
    match driver.dice.random_range(0..100) {
        0..35 => Mood::Well,
        35..60 => Mood::Sick,
        60..70 => Mood::Down,
        70..80 => Mood::Hanging,
        80..87 => Mood::Overloaded,
        87..93 => Mood::Slow,
        _ => Mood::Flapping { turn_ms: driver.dice.random_range(100..60_000) },
    }
}

fn store_mood(driver: &mut Driver) -> StoreMood {
    let mut some = |max: u32| if driver.chance(50) { driver.dice.random_range(0..max) } else { 0 };
    StoreMood {
        commit_ms_max: u64::from(some(3_000)) + 1,
        commit_fails_percent: some(50),
        busy_percent: some(50),
        read_ms_max: u64::from(some(3_000)) + 1,
        read_fails_percent: some(60),
        told_ms_max: u64::from(some(500)),
        hints_lost_percent: some(15),
        queue_max: [1, 2, 5, usize::MAX][some(4) as usize],
    }
}
