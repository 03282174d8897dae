//! The ordering surfaces of the demo: they post orders and let them live.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{Clock as _, KnownStatus, OrderStatus, Record, StatusCodes};
use hookit_server::SystemClock;
use hookit_sim::traffic::{Step, StepChange, World, generator};
use http::{Method, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::demo::pause;
use crate::exit::{Exit, coded};

/// Orders that live at a time when there are no pauses: enough to fill every tick.
const LIVES_AT_FULL_SPEED: usize = 128;
/// Orders that live at a time at most.
const LIVES_MAX: usize = 20_000;
/// The longest pause in a life, in real time: a meal ordered for tomorrow would outlast the demo.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The pause before a platform that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How many recent changes are kept for the view.
const RECENT_MAX: usize = 64;

/// How much traffic, and how fast.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) orders: Option<u64>,
    pub(super) rate: f64,
    pub(super) pace: f64,
    /// Whether a platform that does not answer is asked until it does, as surfaces do. Else that ends the run.
    pub(super) is_patient: bool,
}

/// What the surfaces did so far.
pub(super) struct Traffic {
    seed: u64,
    created: AtomicU64,
    moves: AtomicU64,
    edits: AtomicU64,
    cancelled: AtomicU64,
    voided: AtomicU64,
    /// Orders by status, in the order of [`KnownStatus::ALL`].
    board: [AtomicU64; KnownStatus::ALL.len()],
    /// Changes that wait for a platform that does not answer.
    unanswered: AtomicU64,
    /// How many times more orders than were asked for.
    flood: watch::Sender<u32>,
    recent: Mutex<VecDeque<String>>,
}

/// The figures of [`Traffic`] at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) created: u64,
    pub(crate) moves: u64,
    pub(crate) edits: u64,
    pub(crate) cancelled: u64,
    pub(crate) voided: u64,
    pub(crate) board: [u64; KnownStatus::ALL.len()],
    pub(crate) unanswered: u64,
    pub(crate) recent: Vec<String>,
}

impl Figures {
    /// Changes of orders that the platform took: creations, moves, edits.
    pub(crate) fn changes(&self) -> u64 {
        self.created + self.moves + self.edits + self.cancelled + self.voided
    }
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Traffic {
            seed,
            created: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            edits: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            voided: AtomicU64::new(0),
            board: std::array::from_fn(|_| AtomicU64::new(0)),
            unanswered: AtomicU64::new(0),
            flood: watch::Sender::new(1),
            recent: Mutex::new(VecDeque::with_capacity(RECENT_MAX)),
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Figures {
            created: read(&self.created),
            moves: read(&self.moves),
            edits: read(&self.edits),
            cancelled: read(&self.cancelled),
            voided: read(&self.voided),
            board: std::array::from_fn(|i| read(&self.board[i])),
            unanswered: read(&self.unanswered),
            recent: self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
        }
    }

    /// From now on there are so many times more orders than were asked for.
    pub(super) fn flood(&self, times: u32) {
        self.flood.send_replace(times.max(1));
    }

    fn moved(&self, from: Option<KnownStatus>, to: KnownStatus) {
        if let Some(from) = from {
            self.board[from as usize].fetch_sub(1, Ordering::Relaxed);
        }
        self.board[to as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, what: String) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(what);
    }
}

/// Posts orders and lets them live, until the bounds are reached and all lives have ended, or until the stop.
pub(super) async fn drive(
    traffic: Arc<Traffic>,
    surface: Client,
    bounds: Bounds,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut world = World::new(traffic.seed);
    let mut dice = generator(traffic.seed.wrapping_add(1));
    let at_full_speed = bounds.rate == 0.0;
    let places = Arc::new(Semaphore::new(if at_full_speed { LIVES_AT_FULL_SPEED } else { LIVES_MAX }));
    let mut flood = traffic.flood.subscribe();
    let mut next = beat(bounds.rate, 1);
    let mut lives = JoinSet::new();
    let mut made = 0;
    while bounds.orders.is_none_or(|orders| made < orders) && !stop.is_cancelled() {
        if !at_full_speed {
            tokio::select! {
                _ = next.tick() => {}
                // The sender lives as long as the traffic does.
                Ok(()) = flood.changed() => {
                    next = beat(bounds.rate, *flood.borrow_and_update());
                    continue;
                }
                () = stop.cancelled() => break,
            }
        }
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = stop.cancelled() => break,
        };
        while let Some(ended) = lives.try_join_next() {
            ended??;
        }
        made += 1;
        let order = world.order(&mut dice, SystemClock.now());
        let steps = world.life(&order, &mut dice);
        let scale = if at_full_speed { 0.0 } else { 1.0 / bounds.pace };
        let (traffic, surface, stop) = (traffic.clone(), surface.clone(), stop.clone());
        lives.spawn(async move {
            let _place = place;
            let surface =
                Surface { client: surface, traffic: &traffic, is_patient: bounds.is_patient, stop: &stop };
            surface.live(order.record.into(), steps, scale).await
        });
    }
    while let Some(ended) = lives.join_next().await {
        ended??;
    }
    Ok(())
}

/// When the next orders come.
fn beat(rate: f64, times: u32) -> tokio::time::Interval {
    let pause = if rate == 0.0 { 1.0 } else { 1.0 / (rate * f64::from(times)) };
    let mut beat = tokio::time::interval(Duration::from_secs_f64(pause));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    beat
}

/// Who posts one order and what becomes of it.
struct Surface<'a> {
    client: Client,
    traffic: &'a Traffic,
    is_patient: bool,
    stop: &'a CancellationToken,
}

impl Surface<'_> {
    async fn live(&self, record: Bytes, steps: Vec<Step>, scale: f64) -> anyhow::Result<()> {
        let traffic = self.traffic;
        let Some((id, mut status)) = self.change(Method::POST, "/v1/operator/orders", record).await? else {
            return Ok(());
        };
        traffic.created.fetch_add(1, Ordering::Relaxed);
        traffic.moved(None, status);
        traffic.note(format!("order {id} {status}"));
        for step in steps {
            let wait = step.after.min(PAUSE_MAX).mul_f64(scale);
            if self.stop.is_cancelled() || !wait.is_zero() && !pause(self.stop, wait).await {
                return Ok(());
            }
            let before = status;
            let changed = match &step.change {
                StepChange::EditCart(cart) => {
                    let path = format!("/v1/operator/orders/{id}/cart");
                    self.change(Method::PUT, &path, cart.clone().into()).await?
                }
                StepChange::Move(to) => self.move_to(id, *to, None).await?,
                StepChange::Cancel { reason_code } | StepChange::Void { reason_code } => {
                    self.move_to(id, KnownStatus::Cancelled, Some(reason_code)).await?
                }
            };
            let Some((_, after)) = changed else { return Ok(()) };
            status = after;
            let (counter, what) = match &step.change {
                StepChange::EditCart(_) => (&traffic.edits, format!("order {id} cart edited in {status}")),
                StepChange::Move(_) => (&traffic.moves, format!("order {id} {before} → {status}")),
                StepChange::Cancel { reason_code } => {
                    (&traffic.cancelled, format!("order {id} {before} → {status}: {reason_code}"))
                }
                StepChange::Void { reason_code } => {
                    (&traffic.voided, format!("order {id} {before} → {status}, voided: {reason_code}"))
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
            traffic.moved(Some(before), status);
            traffic.note(what);
        }
        Ok(())
    }

    async fn move_to(
        &self,
        id: i64,
        to: KnownStatus,
        reason_code: Option<&str>,
    ) -> anyhow::Result<Option<(i64, KnownStatus)>> {
        let mut body = json!({"status": to.name().to_lowercase()});
        if let Some(reason_code) = reason_code {
            body["reason_code"] = reason_code.into();
        }
        let path = format!("/v1/operator/orders/{id}/status");
        self.change(Method::PATCH, &path, body.to_string().into()).await
    }

    /// Makes one change; asks again while the platform says that it is too busy. The order's id and status afterwards, and nothing
    /// where the stop was asked for before the platform answered.
    async fn change(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Option<(i64, KnownStatus)>> {
        loop {
            let reply = match self.client.send(method.clone(), path, body.clone()).await {
                Ok(reply) => reply,
                // Whether it was done nobody knows, so it is asked for again: a move is made once, an order perhaps twice.
                Err(_) if self.is_patient => {
                    self.traffic.unanswered.fetch_add(1, Ordering::Relaxed);
                    let goes_on = pause(self.stop, AGAIN).await;
                    self.traffic.unanswered.fetch_sub(1, Ordering::Relaxed);
                    if goes_on {
                        continue;
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            if reply.status == StatusCode::SERVICE_UNAVAILABLE {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            if !reply.status.is_success() {
                return Err(coded(Exit::Refused, format!("{method} {path}: {}", reply.explain())));
            }
            let data: &RawValue = reply.data()?;
            let record = Record::parse(reply.body.slice_ref(data.get().as_bytes()))?;
            let (id, status) = (record.id()?, record.status(&StatusCodes::default())?);
            return match (id, status) {
                (Some(id), Some(OrderStatus::Known(status))) => Ok(Some((id.0, status))),
                _ => Err(coded(Exit::Refused, format!("{method} {path}: a record without id or status"))),
            };
        }
    }
}
