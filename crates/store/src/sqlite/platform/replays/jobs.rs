//! Replays as durable jobs: each step finds in a reading connection what comes next, and one small transaction puts it in
//! line and moves the job on. So a replay goes on after a crash where it was, and never stalls the writer.

use hookit_contract::{DeliverySeq, DeliveryState, EndpointId, OrderId, ReplayId, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::matches::{Look, Put};
use super::{again, anew, hint};
use crate::Error;
use crate::fanout::Routes;
use crate::platform::{
    CountReplay, OPEN_REPLAYS_MAX, Replay, ReplayCount, ReplayFilter, ReplayKind, ReplayRequest, ReplayState,
    StartReplay, SteerReplay, SteeredReplay,
};
use crate::sqlite::ids::DeliveryIds;
use crate::sqlite::platform::book::Tick;
use crate::sqlite::platform::reads;
use crate::sqlite::{count, failed, limit as sql_limit, word};

/// Deliveries that one step puts in line or takes back, about: what others wait for behind it.
const STEP_DELIVERIES: u64 = 250;

/// Deliveries of one replay that are in line at most, about: it goes on when some of them have ended.
const IN_LINE_MAX: u64 = 10_000;

/// Looks without a find that one step makes before it writes down how far it came.
const LOOKS_PER_STEP: usize = 20;

/// Deliveries counted in one part.
const COUNT_DELIVERIES: u64 = 20_000;

/// What the next step does.
pub(in crate::sqlite::platform) enum Step {
    /// Puts in line what was found at these deliveries or events.
    Queue {
        /// Of this replay.
        replay_id: ReplayId,
        /// Where it stood when it was looked for: it does so still, or the step is not made.
        looked_from: i64,
        numbers: Vec<i64>,
        looked_to: i64,
    },
    /// Takes back what is in line of a replay that was cancelled.
    TakeBack(ReplayId),
}

/// Whether there is a next step.
pub(in crate::sqlite::platform) enum Next {
    /// This one.
    Step(Step),
    /// Not before some of what is in line has ended.
    Waiting,
    /// No.
    Idle,
}

const COLUMNS: &str =
    "replay_id, kind, history, endpoint_id, webhook_id, order_id, event_type, of_state, since, until,
     state, looked_to, looks_to, queued, delivered, dead, cancelled, created_at, finished_at";

/// A row whose words and figures are still to be read.
struct ReplayRow {
    replay: Replay,
    kind: String,
    event_type: Option<String>,
    of_state: Option<String>,
    state: String,
    figures: [i64; 4],
}

fn replay_row(row: &Row<'_>) -> rusqlite::Result<ReplayRow> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|t| t.map(Timestamp::from_millis));
    let id = |column| row.get::<_, Option<i64>>(column);
    Ok(ReplayRow {
        replay: Replay {
            replay_id: ReplayId(row.get(0)?),
            request: ReplayRequest {
                kind: ReplayKind::SameIds,
                history: row.get(2)?,
                filter: ReplayFilter {
                    endpoint_id: id(3)?.map(EndpointId),
                    webhook_id: id(4)?.map(WebhookId),
                    order_id: id(5)?.map(OrderId),
                    event_type: None,
                    state: None,
                    since: time(8)?,
                    until: time(9)?,
                },
            },
            state: ReplayState::Running,
            looked_to: row.get(11)?,
            looks_to: row.get(12)?,
            queued: 0,
            delivered: 0,
            dead: 0,
            cancelled: 0,
            created_at: Timestamp::from_millis(row.get(17)?),
            finished_at: time(18)?,
        },
        kind: row.get(1)?,
        event_type: row.get(6)?,
        of_state: row.get(7)?,
        state: row.get(10)?,
        figures: [row.get(13)?, row.get(14)?, row.get(15)?, row.get(16)?],
    })
}

fn whole(row: ReplayRow) -> Result<Replay, Error> {
    let ReplayRow { mut replay, kind, event_type, of_state, state, figures } = row;
    replay.request.kind = word(&kind, "kind of replay")?;
    replay.request.filter.event_type = event_type.map(|text| word(&text, "event type")).transpose()?;
    replay.request.filter.state = of_state.map(|text| word(&text, "state of a delivery")).transpose()?;
    replay.state = word(&state, "state of a replay")?;
    let [queued, delivered, dead, cancelled] = figures;
    replay.queued = count(queued, "a replay's deliveries in line")?;
    replay.delivered = count(delivered, "a replay's delivered deliveries")?;
    replay.dead = count(dead, "a replay's dead deliveries")?;
    replay.cancelled = count(cancelled, "a replay's cancelled deliveries")?;
    Ok(replay)
}

pub(in crate::sqlite::platform) fn replay(
    db: &Connection,
    replay_id: ReplayId,
) -> Result<Option<Replay>, Error> {
    let row = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM replays WHERE replay_id = ?1"))
        .and_then(|mut s| s.query_row([replay_id.0], replay_row).optional())
        .map_err(failed("reading a replay"))?;
    row.map(whole).transpose()
}

pub(in crate::sqlite::platform) fn replays(
    db: &Connection,
    before: Option<ReplayId>,
    limit: usize,
) -> Result<Vec<Replay>, Error> {
    let rows: Vec<ReplayRow> = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM replays WHERE ?1 IS NULL OR replay_id < ?1 ORDER BY replay_id DESC LIMIT ?2"
        ))
        .and_then(|mut s| {
            s.query_map(params![before.map(|id| id.0), sql_limit(limit)], replay_row)?.collect()
        })
        .map_err(failed("listing replays"))?;
    rows.into_iter().map(whole).collect()
}

/// What a filter names and is not there.
enum Unknown {
    Webhook,
    Endpoint,
}

fn unknown(db: &Connection, filter: &ReplayFilter) -> Result<Option<Unknown>, Error> {
    let is_there = |table: &str, id: Option<i64>| match id {
        None => Ok(true),
        Some(id) => db
            .prepare_cached(&format!("SELECT 1 FROM {table}s WHERE {table}_id = ?1"))
            .and_then(|mut s| s.exists([id]))
            .map_err(failed("looking for what a replay is about")),
    };
    if !is_there("webhook", filter.webhook_id.map(|id| id.0))? {
        return Ok(Some(Unknown::Webhook));
    }
    Ok((!is_there("endpoint", filter.endpoint_id.map(|id| id.0))?).then_some(Unknown::Endpoint))
}

pub(in crate::sqlite::platform) fn start(
    db: &Connection,
    routes: &Routes,
    request: &ReplayRequest,
    now: Timestamp,
) -> Result<StartReplay, Error> {
    let writing = failed("beginning a replay");
    let open: i64 = db
        .prepare_cached("SELECT count(*) FROM replays WHERE finished_at IS NULL")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(&writing)?;
    if open >= sql_limit(OPEN_REPLAYS_MAX) {
        return Ok(StartReplay::TooMany);
    }
    match unknown(db, &request.filter)? {
        Some(Unknown::Webhook) => return Ok(StartReplay::NoSuchWebhook),
        Some(Unknown::Endpoint) => return Ok(StartReplay::NoSuchEndpoint),
        None => {}
    }
    let looks_to = Look::last(db, request.kind)?;
    if Look::new(db, routes, request, looks_to, now)?.is_none() {
        return Ok(StartReplay::NoSuchWebhook);
    }
    let filter = &request.filter;
    db.prepare_cached(
        "INSERT INTO replays (kind, history, endpoint_id, webhook_id, order_id, event_type, of_state, since, until,
             state, looked_to, looks_to, queued, delivered, dead, cancelled, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'running', 0, ?10, 0, 0, 0, 0, ?11)",
    )
    .and_then(|mut s| {
        s.execute(params![
            request.kind.as_str(),
            request.history,
            filter.endpoint_id.map(|id| id.0),
            filter.webhook_id.map(|id| id.0),
            filter.order_id.map(|id| id.0),
            filter.event_type.map(|t| t.as_str()),
            filter.state.map(DeliveryState::as_str),
            filter.since.map(Timestamp::as_millis),
            filter.until.map(Timestamp::as_millis),
            looks_to,
            now.as_millis()
        ])
    })
    .map_err(&writing)?;
    let replay_id = ReplayId(db.last_insert_rowid());
    // With nothing to look at it is done already.
    settle(db, replay_id, now)?;
    Ok(StartReplay::Started(existing(db, replay_id)?))
}

fn existing(db: &Connection, replay_id: ReplayId) -> Result<Replay, Error> {
    replay(db, replay_id)?.ok_or_else(|| Error::Corrupt(format!("replay {replay_id} is gone")))
}

pub(in crate::sqlite::platform) fn deliveries(
    db: &Connection,
    routes: &Routes,
    request: &ReplayRequest,
    after: i64,
) -> Result<CountReplay, Error> {
    match unknown(db, &request.filter)? {
        Some(Unknown::Webhook) => return Ok(CountReplay::NoSuchWebhook),
        Some(Unknown::Endpoint) => return Ok(CountReplay::NoSuchEndpoint),
        None => {}
    }
    let looks_to = Look::last(db, request.kind)?;
    // Nothing is made, so no time is needed.
    let Some(look) = Look::new(db, routes, request, looks_to, Timestamp::from_millis(0))? else {
        return Ok(CountReplay::NoSuchWebhook);
    };
    let found = look.on(after, COUNT_DELIVERIES)?;
    let next = (found.looked_to < looks_to).then_some(found.looked_to);
    Ok(CountReplay::Part(ReplayCount { deliveries: found.deliveries, next }))
}

/// What the next step does, found by an index that holds only replays with work left: with another condition than the
/// index's the statement would be refused. Those that were cancelled come first, then the oldest that has room in line.
pub(in crate::sqlite::platform) fn next_step(
    db: &Connection,
    routes: &Routes,
    now: Timestamp,
) -> Result<Next, Error> {
    let found = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM replays INDEXED BY replays_to_do
             WHERE ((state = 'cancelled' AND queued > delivered + dead + cancelled)
                 OR (state = 'running' AND looked_to < looks_to))
             ORDER BY state <> 'cancelled', queued - delivered - dead - cancelled >= ?1, replay_id LIMIT 1"
        ))
        .and_then(|mut s| s.query_row([IN_LINE_MAX as i64], replay_row).optional())
        .map_err(failed("looking for a replay to go on with"))?;
    let Some(replay) = found.map(whole).transpose()? else { return Ok(Next::Idle) };
    let replay_id = replay.replay_id;
    if replay.state == ReplayState::Cancelled {
        return Ok(Next::Step(Step::TakeBack(replay_id)));
    }
    if replay.pending() >= IN_LINE_MAX {
        return Ok(Next::Waiting);
    }
    let looked_from = replay.looked_to;
    let Some(look) = Look::new(db, routes, &replay.request, replay.looks_to, now)? else {
        // Its registration is gone, and misses nothing any more.
        let looked_to = replay.looks_to;
        return Ok(Next::Step(Step::Queue { replay_id, looked_from, numbers: Vec::new(), looked_to }));
    };
    let mut looked_to = looked_from;
    for _ in 0..LOOKS_PER_STEP {
        let found = look.on(looked_to, STEP_DELIVERIES)?;
        looked_to = found.looked_to;
        if !found.numbers.is_empty() {
            return Ok(Next::Step(Step::Queue { replay_id, looked_from, numbers: found.numbers, looked_to }));
        }
        if looked_to >= replay.looks_to {
            break;
        }
    }
    Ok(Next::Step(Step::Queue { replay_id, looked_from, numbers: Vec::new(), looked_to }))
}

/// Makes a step that was found before.
pub(in crate::sqlite::platform) fn step(
    db: &Connection,
    tick: &mut Tick,
    ids: &mut DeliveryIds,
    step: &Step,
    now: Timestamp,
) -> Result<(), Error> {
    match step {
        Step::Queue { replay_id, looked_from, numbers, looked_to } => {
            let replay = existing(db, *replay_id)?;
            if replay.state == ReplayState::Running && replay.looked_to == *looked_from {
                queue(db, tick, ids, &replay, numbers, *looked_to, now)?;
            }
            Ok(())
        }
        Step::TakeBack(replay_id) => take_back(db, tick, *replay_id, now),
    }
}

fn queue(
    db: &Connection,
    tick: &mut Tick,
    ids: &mut DeliveryIds,
    replay: &Replay,
    numbers: &[i64],
    looked_to: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let replay_id = replay.replay_id;
    let registry = tick.registry(db)?;
    let mut queued = 0i64;
    if let Some(look) = Look::new(db, &registry.routes, &replay.request, replay.looks_to, now)? {
        for number in numbers {
            for put in look.at(*number)? {
                match put {
                    Put::Again(seq) => {
                        let Some(delivery) = reads::delivery_in_row(db, seq)? else { continue };
                        again(db, tick, &delivery, Some(replay_id), now)?;
                    }
                    Put::New(planned) => anew(db, tick, ids, &planned, replay_id)?,
                }
                queued += 1;
            }
        }
    }
    db.prepare_cached("UPDATE replays SET looked_to = ?2, queued = queued + ?3 WHERE replay_id = ?1")
        .and_then(|mut s| s.execute([replay_id.0, looked_to, queued]))
        .map_err(failed("moving a replay on"))?;
    settle(db, replay_id, now)
}

/// Takes back some of what is in line of a replay. What was acknowledged once, before it was replayed, is delivered again.
fn take_back(db: &Connection, tick: &mut Tick, replay_id: ReplayId, now: Timestamp) -> Result<(), Error> {
    let writing = failed("taking back a delivery of a replay");
    let in_line: Vec<(i64, i64)> = db
        .prepare_cached(
            "SELECT delivery_seq, endpoint_id FROM deliveries WHERE replay_id = ?1 AND state = 'pending' LIMIT ?2",
        )
        .and_then(|mut s| {
            s.query_map([replay_id.0, STEP_DELIVERIES as i64], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .map_err(&writing)?;
    for (seq, endpoint_id) in in_line {
        let acknowledged_at: Option<i64> = db
            .prepare_cached(
                "SELECT max(started_at + duration_us / 1000) FROM webhook_logs
                 WHERE delivery_seq = ?1 AND outcome = 'acknowledged'",
            )
            .and_then(|mut s| s.query_row([seq], |row| row.get(0)))
            .map_err(&writing)?;
        let state = match acknowledged_at {
            Some(_) => DeliveryState::Delivered,
            None => DeliveryState::Cancelled,
        };
        db.prepare_cached(
            "UPDATE deliveries SET state = ?2, next_attempt_at = NULL, finished_at = ?3 WHERE delivery_seq = ?1",
        )
        .and_then(|mut s| {
            s.execute(params![seq, state.as_str(), acknowledged_at.unwrap_or(now.as_millis())])
        })
        .map_err(&writing)?;
        tick.ended(EndpointId(endpoint_id), state);
        tally(db, replay_id, DeliveryState::Cancelled, now)?;
    }
    Ok(())
}

/// Says that a delivery of a replay has ended, or, cancelled, was taken back.
fn tally(db: &Connection, replay_id: ReplayId, how: DeliveryState, now: Timestamp) -> Result<(), Error> {
    let sql = match how {
        // A replay is not passed over.
        DeliveryState::Pending | DeliveryState::Superseded => return Ok(()),
        DeliveryState::Delivered => "UPDATE replays SET delivered = delivered + 1 WHERE replay_id = ?1",
        DeliveryState::Dead => "UPDATE replays SET dead = dead + 1 WHERE replay_id = ?1",
        DeliveryState::Cancelled => "UPDATE replays SET cancelled = cancelled + 1 WHERE replay_id = ?1",
    };
    db.prepare_cached(sql)
        .and_then(|mut s| s.execute([replay_id.0]))
        .map_err(failed("counting a delivery of a replay"))?;
    settle(db, replay_id, now)
}

/// Says that a delivery has ended; where a replay had put it in line, that one counts it.
pub(in crate::sqlite::platform) fn ended(
    db: &Connection,
    seq: DeliverySeq,
    row_id: i64,
    how: DeliveryState,
    now: Timestamp,
) -> Result<(), Error> {
    if !seq.is_among_replays() {
        return Ok(());
    }
    let replay_id: Option<i64> = db
        .prepare_cached("SELECT replay_id FROM deliveries WHERE delivery_seq = ?1")
        .and_then(|mut s| s.query_row([row_id], |row| row.get(0)))
        .map_err(failed("reading a delivery's replay"))?;
    replay_id.map_or(Ok(()), |id| tally(db, ReplayId(id), how, now))
}

/// A replay that has looked at everything is done when all of its deliveries have ended.
fn settle(db: &Connection, replay_id: ReplayId, now: Timestamp) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE replays SET state = 'done', finished_at = ?2
         WHERE replay_id = ?1 AND state = 'running' AND looked_to = looks_to
           AND delivered + dead + cancelled = queued",
    )
    .and_then(|mut s| s.execute([replay_id.0, now.as_millis()]))
    .map(|_| ())
    .map_err(failed("ending a replay"))
}

pub(in crate::sqlite::platform) fn steer(
    db: &Connection,
    tick: &mut Tick,
    replay_id: ReplayId,
    steer: SteerReplay,
    now: Timestamp,
) -> Result<SteeredReplay, Error> {
    let Some(replay) = replay(db, replay_id)? else { return Ok(SteeredReplay::NoSuchReplay) };
    let to = match steer {
        SteerReplay::Pause => ReplayState::Paused,
        SteerReplay::Resume => ReplayState::Running,
        SteerReplay::Cancel => ReplayState::Cancelled,
    };
    if replay.state == to {
        return Ok(SteeredReplay::Unchanged(replay));
    }
    if replay.state.has_ended() {
        return Ok(SteeredReplay::Ended(replay.state));
    }
    let finished_at = to.has_ended().then_some(now.as_millis());
    db.prepare_cached("UPDATE replays SET state = ?2, finished_at = ?3 WHERE replay_id = ?1")
        .and_then(|mut s| s.execute(params![replay_id.0, to.as_str(), finished_at]))
        .map_err(failed("pausing, resuming or cancelling a replay"))?;
    settle(db, replay_id, now)?;
    // The engine forgets what it knows of these endpoints, and reads what may be sent now.
    for endpoint_id in endpoints(db, replay_id)? {
        tick.endpoints.push(endpoint_id);
        hint(db, tick, endpoint_id)?;
    }
    Ok(SteeredReplay::Done(existing(db, replay_id)?))
}

/// The endpoints at which something of a replay is in line. By leaps in the index: a replay may have a million deliveries.
fn endpoints(db: &Connection, replay_id: ReplayId) -> Result<Vec<EndpointId>, Error> {
    let mut endpoints = Vec::new();
    let mut after = 0;
    loop {
        let next: Option<i64> = db
            .prepare_cached(
                "SELECT min(endpoint_id) FROM deliveries
                 WHERE replay_id = ?1 AND state = 'pending' AND endpoint_id > ?2",
            )
            .and_then(|mut s| s.query_row([replay_id.0, after], |row| row.get(0)))
            .map_err(failed("looking for a replay's endpoints"))?;
        let Some(endpoint_id) = next else { return Ok(endpoints) };
        endpoints.push(EndpointId(endpoint_id));
        after = endpoint_id;
    }
}
