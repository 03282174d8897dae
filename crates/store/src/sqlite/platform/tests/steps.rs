//! What is done in steps beside the traffic (replays, removals, expiry) and for each change and attempt finds its rows by
//! index: no statement of any of it reads a table from end to end that grows with the traffic.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use hookit_contract::{
    Actor, AttemptOutcome, BusinessId, DeliverySeq, DeliveryState, EventType, KnownStatus, OrderId,
    PartnerId, Record, Timestamp, WebhookId,
};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::super::book::{Command, PlatformBook, Reply};
use super::super::changes::Prepared;
use super::super::registry::Registry;
use super::super::replays::jobs;
use super::super::{KIND, PlatformOptions, Published, expiry, reads};
use super::plan;
use crate::hints::Hints;
use crate::platform::{
    Attempt, Change, Expiry, NewWebhook, Partner, Phases, PutWebhook, ReplayFilter, ReplayKind,
    ReplayRequest, StartReplay, SteerReplay, Verdict, WebhookSettings,
};
use crate::sqlite::file;
use crate::sqlite::writer::Book as _;

/// Tables whose rows come with the traffic, and the short names under which statements read them.
const GROW: [&str; 7] =
    ["records", "orders", "events", "deliveries", "delivery_orders", "webhook_logs", "replays"];

/// Indexes that hold little enough to be read from end to end.
const FEW: [&str; 2] = ["replays_open", "replays_to_do"];

/// A writer of whose statements a list is kept.
struct Traced {
    db: Connection,
    book: PlatformBook,
    published: Arc<Published>,
    statements: Arc<Mutex<BTreeSet<String>>>,
    _folder: tempfile::TempDir,
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

impl Traced {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut db = file::open(folder.path(), &KIND).unwrap().writer;
        let registry = Arc::new(Registry::load(&db).unwrap());
        let published = Arc::new(Published {
            hints: Hints::default(),
            tallied: Mutex::default(),
            registry: RwLock::new(Arc::clone(&registry)),
            fresh: crate::sqlite::platform::fresh::Fresh::default(),
        });
        let options = PlatformOptions::default();
        let book = PlatformBook::load(&db, &options, 1, registry, Arc::clone(&published)).unwrap();
        let statements = Arc::new(Mutex::new(BTreeSet::new()));
        let list = Arc::clone(&statements);
        let listen = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(_, sql) = event {
                list.lock().unwrap().insert(sql.to_owned());
            }
        };
        db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(listen)).unwrap();
        Traced { db, book, published, statements, _folder: folder }
    }

    /// One tick with one command.
    fn run(&mut self, command: &Command) -> Reply {
        self.db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut tick = self.book.begin();
        let reply = self.book.apply(&self.db, &mut tick, command).unwrap();
        self.book.finish(&self.db, &mut tick).unwrap();
        self.db.execute_batch("COMMIT").unwrap();
        self.book.committed(tick);
        reply
    }

    fn change(&mut self, change: Change) {
        let prepared =
            Prepared::new(change, &self.book.codes, &|| unreachable!("there is no fault in it")).unwrap();
        self.run(&Command::Change(prepared, at(1)));
    }

    fn order(&mut self) {
        let text = r#"{"business_id":9,"branch_id":1,"brands":[{"id":1},{"id":2}]}"#;
        self.change(Change::Create { record: Record::parse(text.to_owned()).unwrap() });
    }

    fn move_to(&mut self, order: i64, to: KnownStatus) {
        let order_id = OrderId(order);
        self.change(Change::Move { order_id, to, actor: Actor::Operator, reason: None, occurred_at: None });
    }

    fn register(&mut self, event_type: EventType, url: &str, coalesce: bool) -> WebhookId {
        let new = NewWebhook {
            partner_id: PartnerId::from("p".to_owned()),
            brand_id: None,
            branch_id: None,
            event_type,
            url: url.to_owned(),
            basic_auth: None,
            settings: WebhookSettings { coalesce, ..WebhookSettings::default() },
        };
        match self.run(&Command::PutWebhook(new, at(1))) {
            Reply::Webhook(PutWebhook::Created(webhook) | PutWebhook::Updated { webhook, .. }) => {
                webhook.webhook_id
            }
            _ => panic!("a registration of a partner that is there"),
        }
    }

    /// What is in line, of fresh deliveries and of replays, and what is to be sent of it.
    fn in_line(&mut self) -> Vec<(DeliverySeq, u32)> {
        let mut all = Vec::new();
        for endpoint in reads::endpoints(&self.db).unwrap() {
            for after in [DeliverySeq(0), DeliverySeq::REPLAYS_AFTER] {
                let page = reads::pending(&self.db, endpoint.endpoint_id, after, 100).unwrap();
                all.extend(page.deliveries.into_iter().map(|delivery| (delivery.seq, delivery.attempts)));
            }
        }
        for (seq, _) in &all {
            let _ = reads::payload(&self.db, *seq).unwrap();
        }
        all
    }

    fn end(&mut self, some: &[(DeliverySeq, u32)], verdict: Verdict) {
        let is_acknowledged = verdict == Verdict::Delivered;
        let attempt = |&(seq, attempts): &(DeliverySeq, u32)| Attempt {
            seq,
            delivery_id: None,
            number: attempts + 1,
            started_at: at(2),
            duration: std::time::Duration::ZERO,
            phases: Phases::default(),
            outcome: if is_acknowledged { AttemptOutcome::Acknowledged } else { AttemptOutcome::TimedOut },
            status: is_acknowledged.then_some(200),
            address: None,
            answer: Bytes::new(),
            error: None,
            verdict,
        };
        self.run(&Command::Attempts(some.iter().map(attempt).collect(), at(2)));
    }

    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.published.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a replay and makes its steps.
    fn replay(&mut self, kind: ReplayKind, history: bool, filter: ReplayFilter) -> hookit_contract::ReplayId {
        let request = ReplayRequest { kind, history, filter };
        jobs::deliveries(&self.db, &self.registry().routes, &request, 0).unwrap();
        let Reply::ReplayStarted(StartReplay::Started(replay)) =
            self.run(&Command::StartReplay(request, at(3)))
        else {
            panic!("a replay begins")
        };
        self.step_replays();
        replay.replay_id
    }

    fn step_replays(&mut self) {
        while let jobs::Next::Step(step) = jobs::next_step(&self.db, &self.registry().routes, at(3)).unwrap()
        {
            self.run(&Command::StepReplay(step, at(3)));
        }
    }

    fn expire(&mut self) {
        let mut place = Some(Expiry::default());
        while let Some(here) = place {
            let (step, next) = expiry::look(&self.db, at(1_000), here).unwrap();
            if step.rows() > 0 {
                self.run(&Command::Expire(step));
            }
            place = next;
        }
    }
}

fn live(traced: &mut Traced) {
    let partner = Partner {
        partner_id: PartnerId::from("p".to_owned()),
        name: "POS".to_owned(),
        business_id: BusinessId(9),
        scopes: Vec::new(),
        partner_key: "key".to_owned(),
        secret_hash: Bytes::new(),
        webhook_secret: Bytes::new(),
        webhook_secret_next: None,
        created_at: at(0),
        revoked_at: None,
    };
    traced.run(&Command::AddPartner(partner));
    let created = traced.register(EventType::OrderCreated, "https://a.example/", false);
    let moved = traced.register(EventType::OrderStatusUpdated, "https://a.example/", true);
    let first = 1_000_001;
    for order in first..first + 4 {
        traced.order();
        traced.move_to(order, KnownStatus::Accepted);
        traced.move_to(order, KnownStatus::Ready);
    }
    let line = traced.in_line();
    for (seq, _) in &line {
        traced.run(&Command::Supersede(*seq, at(2)));
    }
    let line = traced.in_line();
    traced.end(&line[..3], Verdict::Delivered);
    traced.end(&line[3..5], Verdict::Dead);
    traced.end(&line[5..6], Verdict::RetryAt { at: at(5), counted: true });
    traced.run(&Command::GiveUp(vec![line[6].0], at(2)));

    // Many again: each kind, and each condition of a filter by itself.
    let any = ReplayFilter::default();
    let filters = [
        any.clone(),
        ReplayFilter { order_id: Some(OrderId(first)), ..any },
        ReplayFilter { state: Some(DeliveryState::Dead), ..any },
        ReplayFilter { state: Some(DeliveryState::Delivered), ..any },
        ReplayFilter { since: Some(at(0)), until: Some(at(9)), ..any },
    ];
    for filter in &filters {
        for (kind, history) in
            [(ReplayKind::SameIds, true), (ReplayKind::NewIds, false), (ReplayKind::NewIds, true)]
        {
            traced.replay(kind, history, filter.clone());
            let line = traced.in_line();
            traced.end(&line[..line.len().min(5)], Verdict::Delivered);
        }
    }
    let late = traced.register(EventType::OrderCartUpdated, "https://b.example/", false);
    for webhook_id in [created, moved, late] {
        for order_id in [None, Some(OrderId(first))] {
            for history in [false, true] {
                let filter = ReplayFilter { webhook_id: Some(webhook_id), order_id, ..any };
                traced.replay(ReplayKind::Missed, history, filter);
            }
        }
    }
    let line = traced.in_line();
    traced.end(&line, Verdict::Dead);
    let replay_id = traced.replay(ReplayKind::SameIds, true, filters[2].clone());
    for steer in [SteerReplay::Pause, SteerReplay::Resume, SteerReplay::Cancel] {
        traced.run(&Command::SteerReplay(replay_id, steer, at(4)));
        traced.step_replays();
    }

    // Another URL, and the end.
    traced.order();
    traced.register(EventType::OrderCreated, "https://c.example/", false);
    traced.run(&Command::RemoveWebhook(created, "Mai".to_owned(), at(5)));
    while let Reply::RemovalStepped(true) = traced.run(&Command::StepRemovals(at(5))) {}
    traced.expire();
}

#[test]
fn no_step_of_anything_reads_a_table_from_end_to_end_that_grows_with_the_traffic() {
    let mut traced = Traced::start();
    live(&mut traced);
    let statements = std::mem::take(&mut *traced.statements.lock().unwrap());
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let statements: Vec<_> =
        statements.iter().filter(|sql| verbs.iter().any(|verb| sql.starts_with(verb))).collect();
    assert!(statements.len() > 60, "{} statements only", statements.len());
    let mut wrong = Vec::new();
    for sql in statements {
        let plan = plan(&traced.db, sql);
        for step in plan.split("; ").filter(|step| step.starts_with("SCAN ")) {
            let name = step.split(' ').nth(1).unwrap();
            let is_one = |table: &&str| {
                name == *table
                    || [format!("{table} {name}"), format!("{table} AS {name}")]
                        .iter()
                        .any(|as_| sql.contains(as_))
            };
            let is_large = GROW.iter().any(is_one) && !FEW.iter().any(|index| step.contains(index));
            if is_large {
                wrong.push(format!("{sql}\n{plan}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_has_changed_between_the_look_and_the_removal_stays() {
    let mut traced = Traced::start();
    live(&mut traced);
    traced.register(EventType::OrderCreated, "https://d.example/", false);
    for _ in 0..3 {
        traced.order();
    }
    let line = traced.in_line();
    let mut of_now = line[line.len() - 6..].to_vec();
    traced.end(&of_now, Verdict::Dead);
    // The last of all would stay anyway.
    of_now.pop();
    let (step, _) = expiry::look(&traced.db, at(1_000), Expiry::Deliveries { after: 0 }).unwrap();
    let expiry::Step::Deliveries(old, _) = &step else { panic!("deliveries are looked at") };
    assert!(of_now.iter().all(|(seq, _)| old.contains(&seq.0)), "{old:?} {of_now:?}");
    let (again, _) = of_now[0];
    let id = |traced: &Traced, seq: DeliverySeq| {
        reads::delivery_in_row(&traced.db, seq).unwrap().map(|delivery| delivery.delivery_id)
    };
    let replayed = id(&traced, again).unwrap();
    assert!(matches!(
        traced.run(&Command::ReplayDelivery(replayed, at(4))),
        Reply::Replayed(crate::platform::Replayed::Done)
    ));
    traced.run(&Command::Expire(step));
    assert!(id(&traced, again).is_some());
    assert!(of_now[1..].iter().all(|(seq, _)| id(&traced, *seq).is_none()));
}
