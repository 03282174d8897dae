//! One run: what is asked, what is compared, what is healed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, DeliveryId, ErrorCode, EventType, Freshness, OrderId, RecordState, Timestamp,
    envelope_bytes,
};
use hookit_store::Error as StoreError;
use hookit_store::inbox::{
    Heal, HealOutcome, Held, Received, ReconcileMark, ReconcileRun, ReconcileStep, RunCause, RunCounts,
    RunEnd, Source,
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::ReconcileWay;
use super::pages::{EventsPage, OrdersPage, Read, Seen, Wanted};
use super::window::Windows;
use crate::Shared;
use crate::partner::{CallError, PartnerApi, Reply, in_query};

/// A whole look at the orders is due after so long, where there are no events to go by.
const DEEP_EVERY: Duration = Duration::from_secs(86_400);

/// Events that are asked for at a time.
const EVENTS_PAGE: usize = 200;

/// Orders that are looked at a second time in one run. More will have to wait for the next.
const SECOND_LOOKS_MAX: usize = 10_000;

/// Records that are healed in one commit.
const HEALS_AT_ONCE: usize = 64;

/// How often a page is compared anew where the view moves on meanwhile.
const COMPARISONS_MAX: u32 = 5;

/// A run under way.
pub(super) struct Run<'a> {
    shared: &'a Shared,
    api: &'a PartnerApi,
    row: ReconcileRun,
    mark: ReconcileMark,
    has_events: Option<bool>,
    second: HashMap<OrderId, RecordState>,
    /// When the first of them was put aside.
    second_since: Option<Instant>,
    /// Orders of which something was refused since the view was last renewed, before this run. What it heals renews it.
    refused: HashSet<OrderId>,
    /// Something was to be looked at again and there was no room for it, or never added up.
    is_incomplete: bool,
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A page of the list. What has changed just now is put aside.
    Page,
    /// Events that are old enough.
    Events,
    /// An order by itself, after it was put aside. Only here does a state count that nothing shows to be the newer one.
    Alone,
}

/// Why events could not be walked to their end.
enum EventsEnd {
    /// The cursor is not good any more.
    CursorGone,
    /// There are none, or not for us.
    None(String),
    Problem(String),
}

impl<'a> Run<'a> {
    /// Begins a run. `has_events` is what an earlier one has learnt of the other side.
    pub(super) async fn begin(
        shared: &'a Shared,
        api: &'a PartnerApi,
        cause: RunCause,
        has_events: Option<bool>,
    ) -> Result<Self, StoreError> {
        let started_at = shared.clock.now();
        let mark = shared.store.reconcile_mark().await?;
        let run_id = shared.store.reconcile_begin(cause, started_at).await?;
        let row = ReconcileRun {
            run_id,
            cause,
            started_at,
            ended: None,
            counts: RunCounts::default(),
            problem: None,
        };
        tracing::debug!(run_id, cause = cause.as_str(), "reconciling");
        Ok(Run {
            shared,
            api,
            row,
            mark,
            has_events,
            second: HashMap::new(),
            second_since: None,
            refused: HashSet::new(),
            is_incomplete: false,
        })
    }

    pub(super) fn has_events(&self) -> Option<bool> {
        self.has_events
    }

    /// Does all of it; where it cannot, says why in words. What was healed until then stays.
    pub(super) async fn go(&mut self) -> Result<(), String> {
        let now = self.row.started_at;
        let deep_is_due = self.row.cause == RunCause::Start
            || self.mark.deep_at.is_none_or(|at| now.since(at) >= DEEP_EVERY || at > now);
        if self.has_events == Some(false) && deep_is_due {
            // It may have got some meanwhile.
            self.has_events = None;
        }
        if self.has_events != Some(false) && self.mark.cursor.is_some() {
            match self.walk_events().await {
                Ok(()) => return self.look_again().await,
                Err(EventsEnd::Problem(problem)) => return Err(problem),
                Err(EventsEnd::CursorGone) => {
                    tracing::warn!(
                        "the events that were missed are not kept any more; the orders are read instead"
                    );
                    self.mark.cursor = None;
                    self.mark.deep_at = None;
                    self.step(None).await?;
                }
                Err(EventsEnd::None(why)) => self.note_no_events(&why),
            }
        }
        let deep_is_due = deep_is_due || self.mark.deep_at.is_none();
        self.read_orders(if deep_is_due { self.config().lookback } else { self.config().recent }).await?;
        if deep_is_due && !self.is_incomplete {
            self.mark.deep_at = Some(now);
            self.step(None).await?;
        }
        if self.has_events != Some(false) {
            // From the earliest that is kept on: nothing that happens while the orders are read falls in between.
            match self.walk_events().await {
                Ok(()) => {}
                Err(EventsEnd::Problem(problem)) => return Err(problem),
                Err(EventsEnd::CursorGone) => return Err("the events vanish while they are read".to_owned()),
                Err(EventsEnd::None(why)) => self.note_no_events(&why),
            }
        }
        self.look_again().await?;
        match self.is_incomplete {
            true => Err("not all orders could be looked at; the next run goes on".to_owned()),
            false => Ok(()),
        }
    }

    /// Ends the run, in the store, the log and the status.
    pub(super) async fn end(mut self, (end, problem): (RunEnd, Option<String>)) {
        let ended_at = self.shared.clock.now();
        let ended = Some((ended_at, end, problem.clone()));
        if let Err(error) = self.step(ended).await {
            tracing::warn!(error, "the end of a reconciliation could not be written down");
        }
        self.row.ended = Some((ended_at, end));
        self.row.problem.clone_from(&problem);
        let RunCounts { requests, compared, not_seen, was_refused, older_held, quarantined } =
            self.row.counts;
        let (run_id, cause) = (self.row.run_id, self.row.cause.as_str());
        let healed = self.row.counts.healed();
        if let Some(problem) = problem.filter(|_| end == RunEnd::Failed) {
            tracing::warn!(
                run_id,
                cause,
                requests,
                compared,
                healed,
                problem,
                "reconciling did not get to its end"
            );
        } else if healed > 0 {
            tracing::warn!(
                run_id,
                cause,
                requests,
                compared,
                not_seen,
                was_refused,
                older_held,
                quarantined,
                "the view was healed"
            );
        } else {
            tracing::info!(
                run_id,
                cause,
                requests,
                compared,
                end = end.as_str(),
                "reconciled, nothing was missing"
            );
        }
        let mut status = self.shared.reconciler.state();
        status.running = None;
        match end {
            RunEnd::Done => {
                status.done_at = Some(ended_at);
                status.failed_runs = 0;
            }
            RunEnd::Failed => status.failed_runs += 1,
            RunEnd::BrokenOff => {}
        }
        status.way = match self.has_events {
            Some(true) => Some(ReconcileWay::Events),
            Some(false) => Some(ReconcileWay::List),
            None => status.way,
        };
        status.healed += healed;
        status.last = Some(self.row);
    }

    fn config(&self) -> &'a super::ReconcileConfig {
        &self.shared.config.reconcile
    }

    fn note_no_events(&mut self, why: &str) {
        if self.has_events != Some(false) {
            tracing::info!(
                why,
                "the other side has no events for this credential; the orders are read instead"
            );
        }
        self.has_events = Some(false);
    }

    async fn get(&mut self, path: &str) -> Result<Reply, CallError> {
        let reply = self.api.get(path).await;
        self.row.counts.requests += 1;
        self.shared.reconciler.state().running = Some(self.row.clone());
        reply
    }

    /// Writes down how far it has come.
    async fn step(&mut self, ended: Option<(Timestamp, RunEnd, Option<String>)>) -> Result<(), String> {
        let step = ReconcileStep {
            run_id: self.row.run_id,
            requests: self.row.counts.requests,
            compared: self.row.counts.compared,
            mark: self.mark.clone(),
            ended,
        };
        self.shared.store.reconcile_step(step).await.map_err(in_words)
    }

    /// Reads the events behind the cursor, up to those that are so fresh that their deliveries may be on their way.
    async fn walk_events(&mut self) -> Result<(), EventsEnd> {
        loop {
            let mut path = format!("/events?limit={EVENTS_PAGE}");
            if let Some(cursor) = &self.mark.cursor {
                path.push_str("&after=");
                path.push_str(&in_query(cursor));
            }
            let has_cursor = self.mark.cursor.is_some();
            let reply = self.get(&path).await.map_err(|error| match (error.code(), error.status()) {
                (Some(ErrorCode::RequestCursorExpired), _) => EventsEnd::CursorGone,
                // A cursor that the other side does not know: it was restored from a backup that is older than ours.
                (Some(ErrorCode::RequestInvalid), _) if has_cursor => EventsEnd::CursorGone,
                (Some(ErrorCode::AuthForbidden), _) | (_, Some(404 | 405 | 501)) => {
                    EventsEnd::None(error.to_string())
                }
                _ => EventsEnd::Problem(error.to_string()),
            })?;
            let page = EventsPage::read(&reply.data)
                .map_err(|error| EventsEnd::Problem(CallError::Unreadable(error.to_string()).to_string()))?;
            self.has_events = Some(true);
            let mut batch = Vec::with_capacity(page.events.len());
            let mut is_fresh = false;
            for event in page.events {
                is_fresh = match (event.created_at, reply.server_time) {
                    (Some(created_at), Some(now)) => now.since(created_at) < self.config().settle,
                    _ => false,
                };
                if is_fresh {
                    break;
                }
                batch.push((event.record, event.event_type));
            }
            self.look(batch, Look::Events, None).await.map_err(EventsEnd::Problem)?;
            if is_fresh {
                return Ok(());
            }
            let is_stuck = self.mark.cursor.as_ref() == Some(&page.next_after);
            self.mark.cursor = Some(page.next_after);
            self.step(None).await.map_err(EventsEnd::Problem)?;
            if !page.has_more || is_stuck {
                return Ok(());
            }
        }
    }

    /// Reads the orders that were created within this time.
    async fn read_orders(&mut self, lookback: Duration) -> Result<(), String> {
        let to = self.row.started_at;
        let back = i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX);
        let from = Timestamp::from_millis(to.as_millis().saturating_sub(back));
        let mut windows = Windows::new(from, to);
        let mut size = self.config().page_size;
        'windows: while let Some(mut reading) = windows.next() {
            loop {
                let (window, page) = (reading.window(), reading.page());
                let path = format!(
                    "/orders?page={page}&size={size}&created_from={}&created_to={}{}",
                    window.from,
                    window.to,
                    self.filters()
                );
                let reply = match self.get(&path).await {
                    Ok(reply) => reply,
                    Err(CallError::TooLong) if size > 1 => {
                        // The numbers of the pages mean something else now, so the window is read from its beginning.
                        size = (size / 2).max(1);
                        windows.anew(&reading);
                        continue 'windows;
                    }
                    Err(error) => return Err(error.to_string()),
                };
                let page = OrdersPage::read(&reply.data)
                    .map_err(|error| CallError::Unreadable(error.to_string()).to_string())?;
                let ids: Vec<OrderId> = page.records.iter().filter_map(id_of).collect();
                let unreadable = page.records.len() - ids.len();
                let batch = page.records.into_iter().map(|record| (record, None)).collect();
                self.look(batch, Look::Page, reply.server_time).await?;
                // One without an id cannot be told from another; each counts as itself.
                let total = page.total.map(|total| total.saturating_sub(unreadable as u64));
                match reading.read(&mut windows, ids, page.size.unwrap_or(size), total) {
                    Some(next) => reading = next,
                    None => break,
                }
            }
            self.step(None).await?;
        }
        if windows.unfinished > 0 {
            tracing::warn!(windows = windows.unfinished, "the list of orders never added up to its total");
            self.is_incomplete = true;
        }
        Ok(())
    }

    /// The call takes one brand and one branch; where more are wanted, they are picked out here.
    fn filters(&self) -> String {
        let mut filters = String::new();
        if let [brand_id] = self.config().brand_ids[..] {
            filters.push_str(&format!("&brand_id={brand_id}"));
        }
        if let [branch_id] = self.config().branch_ids[..] {
            filters.push_str(&format!("&branch_id={branch_id}"));
        }
        filters
    }

    /// Looks at what was put aside, once it has had the time to come by itself.
    async fn look_again(&mut self) -> Result<(), String> {
        let Some(since) = self.second_since.take() else { return Ok(()) };
        tokio::time::sleep_until(since + self.config().settle).await;
        let second = std::mem::take(&mut self.second);
        for (order_id, state) in second {
            let held = self.shared.store.held(vec![order_id]).await.map_err(in_words)?;
            if held.iter().any(|held| stands(&state, &held.state) == Stands::Held) {
                continue;
            }
            match self.get(&format!("/orders/{order_id}")).await {
                Ok(reply) => self.look(vec![(reply.data, None)], Look::Alone, None).await?,
                Err(error) if error.status() == Some(404) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Compares states, given in their order, with the view, and heals what the view lacks.
    async fn look(
        &mut self,
        records: Vec<(Bytes, Option<Arc<str>>)>,
        look: Look,
        server_time: Option<Timestamp>,
    ) -> Result<(), String> {
        let wanted = Wanted { brand_ids: &self.config().brand_ids, branch_ids: &self.config().branch_ids };
        let mut seen = Vec::with_capacity(records.len());
        for (record, event_type) in records {
            match wanted.read(record.clone(), event_type.clone(), &self.shared.config.codes) {
                Read::Order(order) => seen.push(order),
                Read::Unwanted => {}
                Read::Unreadable => self.keep_aside(record, event_type).await?,
            }
        }
        self.row.counts.compared += seen.len() as u64;
        for _ in 0..COMPARISONS_MAX {
            if seen.is_empty() {
                return Ok(());
            }
            seen = self.compare(seen, look, server_time).await?;
        }
        // Orders of which something comes all the time are in good hands.
        Ok(())
    }

    /// Compares once; gives back the states whose orders the view has renewed meanwhile.
    async fn compare(
        &mut self,
        seen: Vec<Seen>,
        look: Look,
        server_time: Option<Timestamp>,
    ) -> Result<Vec<Seen>, String> {
        let ids = seen.iter().map(|seen| seen.order_id).collect();
        let held = self.shared.store.held(ids).await.map_err(in_words)?;
        let mut view: HashMap<OrderId, (RecordState, DeliveryId, Timestamp)> = held
            .into_iter()
            .map(|Held { order_id, state, delivery_id, received_at }| {
                (order_id, (state, delivery_id, received_at))
            })
            .collect();
        let healed_at = self.shared.clock.now();
        let mut lacking = Vec::new();
        for order in seen {
            let held = view.get(&order.order_id);
            let stands = held.map_or(Stands::Newer, |(state, ..)| stands(&order.state, state));
            match stands {
                Stands::Held => continue,
                Stands::Undecided if self.is_same_record(&order).await? => continue,
                Stands::Undecided | Stands::Newer => {}
            }
            let age = server_time.zip(order.state.updated_at).map(|(now, updated_at)| now.since(updated_at));
            let is_old_enough = age.is_some_and(|age| age >= self.config().settle);
            let is_put_aside = match look {
                Look::Page => stands == Stands::Undecided || !is_old_enough,
                Look::Events => stands == Stands::Undecided,
                Look::Alone => false,
            };
            if is_put_aside {
                self.put_aside(&order);
                continue;
            }
            let delivery_id = reconciled_id(&order.record);
            let before = view.insert(order.order_id, (order.state, delivery_id.clone(), healed_at));
            let held_since = before.as_ref().map(|(.., received_at)| *received_at);
            if let Some(refused_at) = self.shared.refused.last(order.order_id)
                && held_since.is_none_or(|since| refused_at > since)
            {
                self.refused.insert(order.order_id);
            }
            let before = before.map(|(_, id, _)| id);
            lacking.push((order, delivery_id, before));
        }
        let mut moved_on = Vec::new();
        while !lacking.is_empty() {
            let now = lacking.drain(..HEALS_AT_ONCE.min(lacking.len())).collect::<Vec<_>>();
            moved_on.extend(self.heal(now).await?);
        }
        Ok(moved_on)
    }

    /// Heals these orders; gives back those that the view has renewed meanwhile.
    async fn heal(
        &mut self,
        lacking: Vec<(Seen, DeliveryId, Option<DeliveryId>)>,
    ) -> Result<Vec<Seen>, String> {
        let healed_at = self.shared.clock.now();
        let heals = lacking
            .iter()
            .map(|(order, delivery_id, held)| {
                let event_type = order.event_type.as_deref().unwrap_or(match held {
                    None => EventType::OrderCreated.as_str(),
                    Some(_) => EventType::OrderStatusUpdated.as_str(),
                });
                let body = envelope(order.brand_id, order.branch_id, &order.record);
                let received = reconciled(delivery_id.clone(), Some(event_type.to_owned()), body, healed_at);
                Heal {
                    order_id: order.order_id,
                    held: held.clone(),
                    was_refused: self.refused.contains(&order.order_id),
                    received,
                }
            })
            .collect();
        let outcomes = self.shared.store.heal(self.row.run_id, heals).await.map_err(in_words)?;
        let mut moved_on = Vec::new();
        for ((order, delivery_id, _), outcome) in lacking.into_iter().zip(outcomes) {
            match outcome {
                HealOutcome::Healed(reason) => {
                    self.row.counts.count(reason);
                    let version = order.state.version;
                    tracing::debug!(order_id = %order.order_id, version, %delivery_id, reason = reason.as_str(), "healed");
                }
                HealOutcome::Held => {}
                HealOutcome::MovedOn => moved_on.push(order),
            }
        }
        Ok(moved_on)
    }

    /// Whether the view has this very record.
    async fn is_same_record(&self, order: &Seen) -> Result<bool, String> {
        let viewed = self.shared.store.order(order.order_id).await.map_err(in_words)?;
        Ok(viewed.is_some_and(|viewed| viewed.record == order.record))
    }

    fn put_aside(&mut self, order: &Seen) {
        if self.second.len() >= SECOND_LOOKS_MAX {
            self.is_incomplete = true;
            return;
        }
        self.second.insert(order.order_id, order.state);
        // The last one to be put aside sets the time: each has then had as long as it is given.
        self.second_since = Some(Instant::now());
    }

    /// A record that cannot be read goes where a delivery of it would have gone, once.
    async fn keep_aside(&self, record: Bytes, event_type: Option<Arc<str>>) -> Result<(), String> {
        let body = envelope(None, None, &record);
        let event_type = event_type.map(|text| text.to_string());
        let received = reconciled(reconciled_id(&record), event_type, body, self.shared.clock.now());
        self.shared.store.receive(received).await.map_err(in_words)?;
        Ok(())
    }
}

/// How a state stands to the one that the view has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// The view has it, or a newer one.
    Held,
    Newer,
    /// Nothing tells: neither of the two is the older one.
    Undecided,
}

fn stands(seen: &RecordState, held: &RecordState) -> Stands {
    match (seen.compare(held, held), held.compare(seen, seen)) {
        (Freshness::Newer, Freshness::Newer) => Stands::Undecided,
        (Freshness::Newer, _) => Stands::Newer,
        (Freshness::Same | Freshness::Older, _) => Stands::Held,
    }
}

/// The id of a reconciled record: the same for the same bytes, and none that a webhook has.
fn reconciled_id(record: &[u8]) -> DeliveryId {
    let mut id = String::from("reconcile:");
    for byte in Sha256::digest(record) {
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(digit), 16).expect("a half byte is a hex digit"));
        }
    }
    DeliveryId::from(id)
}

/// A record as a delivery would carry it; where it does not say where it belongs, the envelope does not, either.
fn envelope(brand_id: Option<BrandId>, branch_id: Option<BranchId>, record: &Bytes) -> Bytes {
    match (brand_id, branch_id) {
        (Some(brand_id), Some(branch_id)) => envelope_bytes(brand_id, branch_id, &[record]),
        _ => [&b"{\"orders\":["[..], record, b"]}"].concat().into(),
    }
}

fn reconciled(
    delivery_id: DeliveryId,
    event_type: Option<String>,
    body: Bytes,
    received_at: Timestamp,
) -> Received {
    Received {
        delivery_id,
        event_type,
        source: Source::Reconcile,
        secret: None,
        headers: Vec::new(),
        body,
        received_at,
    }
}

fn id_of(record: &Bytes) -> Option<OrderId> {
    hookit_contract::Record::parse(record.clone()).ok()?.id().ok()?
}

fn in_words(error: StoreError) -> String {
    format!("the store: {error}")
}
