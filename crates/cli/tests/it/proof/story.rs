//! From what is left behind to the auditor's events: what the disk says, what receivers saw, what operators did, put in
//! the order in which it happened.
//!
//! The times are milliseconds of several tasks and processes, so an order is chosen wherever they leave one open: the one
//! that accuses nobody. A commit stands at its earliest possible moment, a decision at its latest, an end at its earliest.
//!
//! What this must not do: judge what the auditor can. What only the file can show (totals, states without a row that
//! explains them, an answer that nobody gave) is said here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hookit_contract::WebhookSecret;
use hookit_sim::auditor::event::{self, Commit, End, Event, Verdict};
use hookit_sim::auditor::{Auditor, Rules};

use super::disk::{Delivery, Disk, Logged};

/// How near two ends may be to have been heard of in the other order, and how long a request may sign with a secret
/// that was just replaced.
const BLUR_MS: i64 = 1_000;
/// How long after its end an attempt may have been judged, on the slowest machine.
const JUDGED_MS: i64 = 60_000;
/// How long an operator's word may take to reach those who send.
const TOLD_MS: i64 = 5_000;
/// How late a receiver may read a request whose sender was killed.
const CUT_LATE_MS: i64 = 1_000;
/// How late a receiver may read a request whose sender has turned away.
const LATE_MS: i64 = 10_000;

/// What a receiver does about a request.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// The status that the sender can have read; none where there is none to be read.
    pub(super) status: Option<u16>,
    pub(super) retry_after_ms: Option<i64>,
    /// False where it refuses the request.
    pub(super) processed: bool,
}

/// A request that a receiver has read to its end.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: i64,
    pub(super) port: u16,
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) signature: String,
    pub(super) body: Bytes,
    pub(super) answered: Answered,
}

/// One life of the platform's process.
pub(super) struct Life {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) killed: bool,
}

/// A registration got another URL, at some moment from its first request to its answer.
pub(super) struct Move {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) webhook: i64,
    pub(super) endpoint: i64,
}

/// What was seen and done outside of the process.
#[derive(Default)]
pub(super) struct Diary {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) lives: Vec<Life>,
    pub(super) moves: Vec<Move>,
    /// When an endpoint was certainly held, or perhaps let go.
    pub(super) holds: Vec<(i64, i64, bool)>,
    /// The secrets of who receives at a port: the earliest and the latest moment at which it was replaced by the next,
    /// and the secret, unless it was lost with the answer that told it.
    pub(super) secrets: BTreeMap<u16, Vec<(i64, Option<String>)>>,
    /// Deliveries that an operator asked to send again, and when first.
    pub(super) replays: BTreeMap<String, i64>,
}

impl Diary {
    fn signed(&self, arrival: &Arrival) -> Option<bool> {
        let secrets = &self.secrets[&arrival.port];
        let mut unknown = false;
        for (index, (from, secret)) in secrets.iter().enumerate() {
            let until = secrets.get(index + 1).map_or(i64::MAX, |(next, _)| next + TOLD_MS);
            if !(*from..=until).contains(&arrival.at) {
                continue;
            }
            match secret {
                Some(secret) => {
                    let secret = WebhookSecret::new(secret.as_bytes());
                    if secret.verify(&arrival.body, arrival.signature.as_bytes()).is_ok() {
                        return Some(true);
                    }
                }
                None => unknown = true,
            }
        }
        (!unknown).then_some(false)
    }
}

/// A moment: milliseconds, place within the millisecond, the delivery that it is about.
type Moment = (i64, u8, i64);

const STARTS: u8 = 0;
const COMMITS: u8 = 1;
const SEES: u8 = 2;
const ENDS: u8 = 3;
const RECORDS: u8 = 4;
/// An attempt that begins and ends within a millisecond, whole.
const FLASH: u8 = 5;
const GOES: u8 = 6;
const TOLD: u8 = 7;
const STOPS: u8 = 9;

/// All that happened, and what is wrong with it already.
#[derive(Default)]
pub(super) struct Story {
    events: Vec<(Moment, Event)>,
    wrong: Vec<String>,
    ticks: u64,
}

impl Story {
    fn tell(&mut self, at: i64, place: u8, about: i64, event: Event) {
        self.events.push(((at, place, about), event));
    }

    fn commit(&mut self, at: i64, place: u8, about: i64, commit: Commit) -> u64 {
        self.ticks += 1;
        self.tell(at, place, about, Event::Committed(Box::new(Commit { tick: self.ticks, ..commit })));
        self.ticks
    }

    /// Puts it together.
    pub(super) fn of(disk: &Disk, diary: &Diary) -> Story {
        let mut story = Story::default();
        story.lives(diary);
        story.operators(disk, diary);
        story.commits(disk, diary);
        let attempts = story.attempts(disk, diary);
        story.blurred(&attempts);
        story.totals(disk);
        story
    }

    /// Shows it to an auditor; what it or the file itself says is wrong.
    pub(super) fn judge(
        mut self,
        rules: Rules,
        acknowledged: &[(i64, i64, Bytes)],
        disk: &Disk,
    ) -> (Auditor, Vec<String>) {
        let stored: BTreeMap<(i64, i64), &Bytes> =
            disk.changes.iter().map(|change| ((change.order, change.version), &change.record)).collect();
        for (order, version, record) in acknowledged {
            if stored.get(&(*order, *version)).is_some_and(|stored| *stored != record) {
                self.wrong.push(format!("G1: order {order} v{version} is not stored as it was acknowledged"));
            }
        }
        self.events.sort_by_key(|(moment, _)| *moment);
        let begin = self.events.first().map_or(0, |((at, ..), _)| *at);
        let mut auditor = Auditor::from_outside(rules, begin, BLUR_MS, JUDGED_MS);
        let mut now = 0;
        for ((at, ..), event) in &self.events {
            now = at - begin;
            auditor.observe(now, event);
            if let Some(violation) = auditor.violation() {
                self.wrong.push(format!("{violation} (after {now} ms, by: {event})"));
                break;
            }
        }
        if auditor.violation().is_none() {
            for &(order, version, _) in acknowledged {
                auditor.observe(now, &Event::Acknowledged { order, version });
            }
            auditor.finish(now);
            self.wrong.extend(auditor.violation().map(ToString::to_string));
        }
        (auditor, self.wrong)
    }

    fn lives(&mut self, diary: &Diary) {
        for life in &diary.lives {
            self.tell(life.from, STARTS, 0, Event::Started);
            let end = if life.killed { Event::Crashed } else { Event::Stopped { drained: true } };
            self.tell(life.to, STOPS, 0, end);
        }
    }

    /// Registrations, their moves, and holds.
    fn operators(&mut self, disk: &Disk, diary: &Diary) {
        let mut partners: Vec<&str> = Vec::new();
        let mut now: BTreeMap<i64, event::Registration> = BTreeMap::new();
        for webhook in &disk.webhooks {
            let partner = partners.iter().position(|id| *id == webhook.partner_id).unwrap_or_else(|| {
                partners.push(&webhook.partner_id);
                partners.len() - 1
            });
            // Where it pointed first: every registration was told to the diary as a move.
            let first =
                diary.moves.iter().find(|m| m.webhook == webhook.id).expect("all of them are in the diary");
            now.insert(
                webhook.id,
                event::Registration {
                    webhook: webhook.id,
                    partner,
                    business: webhook.business,
                    endpoint: first.endpoint,
                    brand: webhook.brand,
                    branch: webhook.branch,
                    event_type: webhook.event_type,
                    wishes: event::Wishes::default(),
                },
            );
        }
        for change in &diary.moves {
            let registration = now.get_mut(&change.webhook).expect("it is on disk");
            let is_new = registration.endpoint == change.endpoint;
            registration.endpoint = change.endpoint;
            let registrations = vec![registration.clone()];
            // Whatever was committed before the answer may have waited at the former endpoint.
            let mut moved = Vec::new();
            let mut in_between = Vec::new();
            for delivery in disk.deliveries.iter().filter(|d| !is_new && d.webhook == change.webhook) {
                if delivery.finished_at.is_some_and(|at| at < change.from) {
                    continue;
                }
                if delivery.created_at < change.from {
                    moved.push((delivery.seq, change.endpoint));
                } else if delivery.created_at <= change.to {
                    in_between.push((delivery.seq, change.endpoint));
                }
            }
            // Whoever starts before the answer came may not know of it yet.
            for life in diary.lives.iter().filter(|l| (change.from..=change.to).contains(&l.from)) {
                let moved = moved.clone();
                let tick = self.commit(life.from, COMMITS, i64::MAX, Commit { moved, ..Commit::default() });
                self.tell(change.to + TOLD_MS, TOLD, 0, Event::Hinted { tick, lost: false });
            }
            let tick =
                self.commit(change.from, COMMITS, 0, Commit { registrations, moved, ..Commit::default() });
            self.tell(change.to + TOLD_MS, TOLD, 0, Event::Hinted { tick, lost: false });
            let tick = self.commit(change.to, TOLD, 0, Commit { moved: in_between, ..Commit::default() });
            self.tell(change.to + TOLD_MS, TOLD, 0, Event::Hinted { tick, lost: false });
        }
        for &(at, endpoint, held) in &diary.holds {
            let tick =
                self.commit(at, COMMITS, 0, Commit { holds: vec![(endpoint, held)], ..Commit::default() });
            self.tell(at + TOLD_MS, TOLD, 0, Event::Hinted { tick, lost: false });
        }
    }

    /// Changes with their deliveries. Which of them shared a tick cannot be seen; so each change goes with what carries it,
    /// and with whatever shares a delivery with it.
    fn commits(&mut self, disk: &Disk, diary: &Diary) {
        let mut points: BTreeMap<i64, i64> =
            diary.moves.iter().rev().map(|m| (m.webhook, m.endpoint)).collect();
        let mut moves: Vec<&Move> = diary.moves.iter().collect();
        moves.sort_by_key(|m| std::cmp::Reverse(m.from));
        let mut by_record: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, delivery) in disk.deliveries.iter().enumerate() {
            for (_, _, record) in &delivery.orders {
                by_record.entry(*record).or_default().push(index);
            }
        }
        let (mut at, mut taken, mut met, mut furthest) = (0, 0, 0, 0);
        let mut last_record = 0;
        let mut commit = Commit::default();
        for change in &disk.changes {
            at = at.max(change.at);
            commit.changes.push(event::Change {
                order: change.order,
                version: change.version,
                business: change.business,
                branch: change.branch,
                brands: change.brands.clone(),
                event_type: change.event_type,
                record: change.record.clone(),
            });
            for &index in by_record.get(&change.record_id).into_iter().flatten() {
                let records = disk.deliveries[index].orders.iter().map(|(_, _, record)| *record);
                last_record = last_record.max(records.clone().max().unwrap_or(0));
                met += usize::from(records.min() == Some(change.record_id));
                furthest = furthest.max(index + 1);
            }
            if last_record > change.record_id || met < furthest {
                continue;
            }
            let formed = &disk.deliveries[taken..furthest];
            at = formed.iter().fold(at, |at, delivery| at.max(delivery.created_at));
            while let Some(next) = moves.pop_if(|m| m.from <= at) {
                points.insert(next.webhook, next.endpoint);
            }
            commit.deliveries = formed
                .iter()
                .map(|delivery| event::Delivery {
                    seq: delivery.seq,
                    id: delivery.id.clone(),
                    webhook: delivery.webhook,
                    // Where it was formed for is lost when it is moved; where it may be now is checked with its requests.
                    endpoint: points[&delivery.webhook],
                    brand: delivery.brand,
                    branch: delivery.branch,
                    event_type: delivery.event_type,
                    orders: delivery.orders.iter().map(|(order, version, _)| (*order, *version)).collect(),
                    due_ms: at,
                })
                .collect();
            taken = furthest;
            self.commit(at, COMMITS, 0, std::mem::take(&mut commit));
            // While a registration moves, what is formed for it may go to either place.
            for delivery in formed {
                let moving = |m: &&Move| m.webhook == delivery.webhook && (m.from..=m.to).contains(&at);
                if let Some(m) = diary.moves.iter().find(moving) {
                    let moved = vec![(delivery.seq, m.endpoint)];
                    let tick = self.commit(at, COMMITS, delivery.seq, Commit { moved, ..Commit::default() });
                    self.tell(m.to + TOLD_MS, TOLD, 0, Event::Hinted { tick, lost: false });
                }
            }
        }
        if taken < disk.deliveries.len() || !commit.changes.is_empty() {
            self.wrong.push("G1: there are deliveries that carry no change".to_owned());
        }
    }

    /// What was sent, by the log and by the receivers. Gives out which arrival belongs to which attempt.
    fn attempts<'a>(&mut self, disk: &'a Disk, diary: &Diary) -> Vec<Made<'a>> {
        let mut arrivals: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
        for arrival in &diary.arrivals {
            arrivals.entry(&arrival.id).or_default().push(arrival);
        }
        let ports: BTreeMap<i64, u16> =
            disk.endpoints.iter().map(|(id, url)| (*id, super::port(url))).collect();
        let by_port: BTreeMap<u16, i64> = ports.iter().map(|(id, port)| (*port, *id)).collect();
        let mut made = Vec::new();
        for delivery in &disk.deliveries {
            let log: &'a [Logged] = disk.log.get(&delivery.seq).map_or(&[], |log| log);
            self.explained(delivery, log);
            let came = arrivals.remove(delivery.id.as_str()).unwrap_or_default();
            let dialled = |logged: &Logged| {
                logged.port.and_then(|port| by_port.get(&port).copied()).unwrap_or(delivery.endpoint)
            };
            let mut of_attempt: BTreeMap<usize, &Arrival> = BTreeMap::new();
            let mut unlogged = Vec::new();
            for arrival in came {
                let may_be = |index: &usize| {
                    let logged = &log[*index];
                    let read = !matches!(
                        logged.outcome.as_str(),
                        "connect_failed" | "name_not_resolved" | "address_forbidden" | "tls_failed"
                    );
                    read && !of_attempt.contains_key(index)
                        && Some(dialled(logged)) == by_port.get(&arrival.port).copied()
                        && logged.started_at <= arrival.at
                };
                let candidates = || (0..log.len()).rev().filter(may_be);
                let in_time = candidates().find(|&i| arrival.at <= log[i].ended_at + 2);
                let late = || candidates().find(|&i| arrival.at <= log[i].ended_at + LATE_MS);
                match in_time.or_else(late) {
                    Some(index) => {
                        of_attempt.insert(index, arrival);
                    }
                    None => unlogged.push(arrival),
                }
            }
            let replayed_at = diary.replays.get(&delivery.id).copied().unwrap_or(i64::MAX);
            // What was sent again is told up to its first end: the rest is looked at by itself.
            let first_round = log.iter().position(Logged::is_last).map_or(log.len(), |index| index + 1);
            for (index, logged) in log.iter().enumerate() {
                let arrival = of_attempt.get(&index).copied();
                if index >= first_round {
                    self.again(delivery, arrival, diary);
                    if logged.started_at < replayed_at {
                        self.wrong.push(format!(
                            "G2: {} was sent after its end and nobody asked for it",
                            delivery.id
                        ));
                    }
                    continue;
                }
                let endpoint = dialled(logged);
                self.attempt(delivery, logged, endpoint, arrival, diary, log.len() > first_round);
                made.push(Made {
                    endpoint,
                    logged,
                    acknowledged: logged.outcome == "acknowledged",
                    id: &delivery.id,
                    seq: delivery.seq,
                });
            }
            for arrival in unlogged {
                if arrival.at >= replayed_at {
                    self.again(delivery, Some(arrival), diary);
                    continue;
                }
                self.unlogged(delivery, arrival, by_port[&arrival.port], diary);
            }
        }
        for (id, _) in arrivals {
            self.wrong.push(format!("G3: a receiver saw the id {id}, which is not on disk"));
        }
        made
    }

    /// A state has a row that explains it.
    fn explained(&mut self, delivery: &Delivery, log: &[Logged]) {
        let Delivery { id, state, attempts, .. } = delivery;
        if usize::try_from(*attempts) != Ok(log.len()) {
            self.wrong.push(format!("G2: {id} counts {attempts} attempts and its log has {}", log.len()));
        }
        let last = log.last().map(|logged| (logged.is_last(), logged.outcome == "acknowledged"));
        match (state.as_str(), last) {
            ("delivered", Some((true, true))) | ("dead", Some((true, false))) => {}
            _ => {
                self.wrong.push(format!("G2: {id} is {state} and its last attempt does not say so: {last:?}"))
            }
        }
    }

    /// A delivery that was sent again has its id and its bytes still.
    fn again(&mut self, delivery: &Delivery, arrival: Option<&Arrival>, diary: &Diary) {
        let Some(arrival) = arrival else { return };
        let first = diary.arrivals.iter().find(|other| other.id == delivery.id).map(|other| &other.body);
        if first != Some(&arrival.body) || diary.signed(arrival) == Some(false) {
            self.wrong
                .push(format!("G3: {} was sent again with other bytes or a wrong signature", delivery.id));
        }
    }

    fn attempt(
        &mut self,
        delivery: &Delivery,
        logged: &Logged,
        endpoint: i64,
        arrival: Option<&Arrival>,
        diary: &Diary,
        is_replayed: bool,
    ) {
        let (seq, id) = (delivery.seq, &delivery.id);
        let (from, to) = (logged.started_at, logged.ended_at);
        let is_flash = from == to;
        let (goes, sees, ends) = if is_flash { (FLASH, FLASH, FLASH) } else { (GOES, SEES, ENDS) };
        self.tell(from, goes, seq, Event::Decided { seq });
        self.tell(from, goes, seq, Event::Given { seq });
        match arrival {
            Some(arrival) => self.begun(from, goes, seq, arrival, endpoint, diary),
            None => self.tell(from, goes, seq, Event::Dialled { endpoint, delivery_id: id.clone() }),
        }
        let acknowledged = logged.outcome == "acknowledged";
        if let Some(arrival) = arrival.filter(|arrival| arrival.answered.processed) {
            // An answer comes after what it answers, whatever the clocks say.
            let late = !acknowledged && arrival.at > to + 2;
            let (at, place) = if late { (arrival.at, SEES) } else { (arrival.at.clamp(from, to), sees) };
            let place = if !late && at == from && !is_flash { GOES } else { place };
            self.saw(at, place, seq, arrival, endpoint, late);
        }
        let end = self.end(delivery, logged, arrival);
        self.tell(to, ends, seq, Event::Ended { request: 0, delivery_id: id.clone(), end });
        let verdict = match logged.next_attempt_at {
            _ if acknowledged => Verdict::Delivered,
            Some(at_ms) => Verdict::RetryAt { at_ms, counted: logged.counted },
            None => Verdict::Dead,
        };
        // When an outcome was written is known of the last one, unless another end of the delivery came after it.
        let known = delivery.finished_at.filter(|_| logged.is_last() && !is_replayed && !delivery.is_replay);
        let recorded = known.unwrap_or(to).max(to);
        let place = if is_flash && recorded == to { FLASH } else { RECORDS };
        let attempts = vec![event::Attempt {
            seq,
            number: logged.number,
            acknowledged,
            verdict,
            applied: true,
            late: false,
        }];
        self.commit(recorded, place, seq, Commit { attempts, ..Commit::default() });
    }

    fn begun(&mut self, at: i64, place: u8, seq: i64, arrival: &Arrival, endpoint: i64, diary: &Diary) {
        let event = Event::Begun {
            request: 0,
            endpoint,
            delivery_id: arrival.id.clone(),
            event_type: arrival.event_type.clone(),
            body: arrival.body.clone(),
            signed: diary.signed(arrival),
        };
        self.tell(at, place, seq, event);
    }

    fn saw(&mut self, at: i64, place: u8, seq: i64, arrival: &Arrival, endpoint: i64, late: bool) {
        let (delivery_id, body) = (arrival.id.clone(), arrival.body.clone());
        self.tell(at, place, seq, Event::Saw { request: 0, endpoint, delivery_id, body, late });
    }

    /// How a request ended: as its receiver says, who knows best, unless the answer was lost.
    fn end(&mut self, delivery: &Delivery, logged: &Logged, arrival: Option<&Arrival>) -> End {
        let given = arrival.map(|arrival| &arrival.answered);
        let status = given.and_then(|given| given.status);
        match logged.outcome.as_str() {
            "acknowledged" | "refused" if given.is_some_and(|given| given.status.is_none()) => {
                End::Failed("nobody answered")
            }
            "acknowledged" | "refused" if status.is_some_and(|status| (200..300).contains(&status)) => {
                End::Acknowledged
            }
            "acknowledged" if status.is_none() => End::Acknowledged,
            "acknowledged" | "refused" => {
                if status.is_none() || (logged.outcome == "refused" && status != logged.status) {
                    let what = "says that it was refused, and no receiver has";
                    self.wrong.push(format!("G2: attempt {} of {} {what}", logged.number, delivery.id));
                }
                let retry_after_ms = given.and_then(|given| given.retry_after_ms);
                End::Refused { status: status.unwrap_or_default(), retry_after_ms }
            }
            outcome => {
                let words = [
                    "timed_out",
                    "name_not_resolved",
                    "address_forbidden",
                    "connect_failed",
                    "tls_failed",
                    "connection_lost",
                    "answer_unreadable",
                ];
                End::Failed(words.into_iter().find(|word| *word == outcome).expect("a closed list"))
            }
        }
    }

    /// A request that a receiver saw and that is in no log: it was under way when its process died, or it should not
    /// have been. The auditor says which.
    fn unlogged(&mut self, delivery: &Delivery, arrival: &Arrival, endpoint: i64, diary: &Diary) {
        let seq = delivery.seq;
        let found_late = !diary.lives.iter().any(|life| (life.from..=life.to).contains(&arrival.at))
            || diary.lives.iter().any(|life| {
                // It was read a moment after its sender was killed.
                life.killed
                    && (life.to..=life.to + CUT_LATE_MS).contains(&arrival.at)
                    && delivery.created_at <= life.to
            });
        if found_late && diary.signed(arrival) != Some(false) {
            if arrival.answered.processed {
                self.saw(arrival.at, SEES, seq, arrival, endpoint, true);
            }
            return;
        }
        self.tell(arrival.at, GOES, seq, Event::Decided { seq });
        self.tell(arrival.at, GOES, seq, Event::Given { seq });
        self.begun(arrival.at, GOES, seq, arrival, endpoint, diary);
        if arrival.answered.processed {
            self.saw(arrival.at, GOES, seq, arrival, endpoint, false);
        }
        self.tell(arrival.at, GOES, seq, Event::Unheard { delivery_id: arrival.id.clone() });
    }

    /// Ends at one endpoint that are so near to one another that the platform may have heard of them the other way round.
    fn blurred(&mut self, made: &[Made<'_>]) {
        let mut ends: BTreeMap<i64, BTreeSet<(i64, i64, u32)>> = BTreeMap::new();
        for m in made {
            ends.entry(m.endpoint).or_default().insert((m.logged.ended_at, m.seq, m.logged.number));
        }
        for m in made.iter().filter(|m| !m.acknowledged) {
            let own = matches!(m.logged.status, Some(410 | 429 | 503))
                || matches!(
                    m.logged.outcome.as_str(),
                    "connect_failed" | "name_not_resolved" | "tls_failed" | "address_forbidden"
                );
            let at = m.logged.ended_at;
            let near =
                ends[&m.endpoint].range((at - BLUR_MS, i64::MIN, 0)..=(at + BLUR_MS, i64::MAX, u32::MAX));
            if !own && near.count() > 1 {
                // At the beginning, so that it stands before the end in any case.
                self.tell(
                    m.logged.started_at,
                    COMMITS,
                    m.seq,
                    Event::Unclear { delivery_id: m.id.to_owned() },
                );
            }
        }
    }

    /// G2: nothing is counted twice.
    fn totals(&mut self, disk: &Disk) {
        let count = |state: &str| disk.deliveries.iter().filter(|d| d.state == state).count();
        let attempts = disk.log.values().map(Vec::len).sum();
        let counted = [disk.changes.len(), count("pending"), count("delivered"), count("dead"), attempts];
        let counted = counted.map(|n| i64::try_from(n).expect("a small number"));
        if disk.totals != counted {
            self.wrong.push(format!("G2: the totals are {:?}, counted are {counted:?}", disk.totals));
        }
    }
}

/// An attempt of the log.
struct Made<'a> {
    endpoint: i64,
    logged: &'a Logged,
    acknowledged: bool,
    id: &'a str,
    seq: i64,
}
