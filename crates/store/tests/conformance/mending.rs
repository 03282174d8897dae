//! The inbox's store: reconciling, and the moves of a partner's own.

use bytes::Bytes;
use hookit_contract::{DeliveryId, KnownStatus, OrderId, PartnerMove};
use hookit_store::inbox::{
    Heal, HealOutcome, HealReason, MOVES_PENDING_MAX, MoveAsked, MoveEnd, MoveState, NewMove, OrderMove,
    Received, ReconcileMark, ReconcileStep, RunCause, RunEnd, Source, Store,
};

use crate::fixture::at;

fn delivery(source: Source, id: &str, orders: &str) -> Received {
    Received {
        delivery_id: DeliveryId::from(id),
        event_type: None,
        source,
        secret: None,
        headers: Vec::new(),
        body: Bytes::from(format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{orders}]}}"#)),
        received_at: at(5),
    }
}

async fn came(store: &impl Store, id: &str, orders: &str) {
    store.receive(delivery(Source::Webhook, id, orders)).await.unwrap();
}

fn heal(order_id: i64, held: Option<&str>, id: &str, record: &str) -> Heal {
    Heal {
        order_id: OrderId(order_id),
        held: held.map(DeliveryId::from),
        was_refused: false,
        received: delivery(Source::Reconcile, id, record),
    }
}

async fn versions(store: &impl Store, ids: &[i64]) -> Vec<Option<i64>> {
    let mut versions = Vec::new();
    for id in ids {
        versions.push(store.order(OrderId(*id)).await.unwrap().and_then(|order| order.version));
    }
    versions
}

pub(crate) async fn what_the_view_lacks_is_healed_and_the_run_says_why_it_was_missing(store: &impl Store) {
    came(store, "a", r#"{"id":1,"version":1},{"id":3,"version":4},{"id":2,"version":1}"#).await;
    came(store, "b", r#"{"id":2,"version":2,"status":"two"}"#).await;
    let held = store.held([1, 9, 3].map(OrderId).to_vec()).await.unwrap();
    let told: Vec<_> = held.iter().map(|h| (h.order_id.0, h.state.version, h.delivery_id.as_str())).collect();
    assert_eq!(told, [(1, Some(1), "a"), (3, Some(4), "a")]);

    let run_id = store.reconcile_begin(RunCause::Start, at(9)).await.unwrap();
    let heals = vec![
        heal(1, Some("a"), "r1", r#"{"id":1,"version":3,"status":4}"#),
        heal(2, Some("a"), "r2", r#"{"id":2,"version":2,"status":2}"#),
        heal(3, Some("a"), "r3", r#"{"id":3,"version":3}"#),
        heal(4, None, "r4", r#"{"id":4,"version":1}"#),
        // Its event after that: compared with what the one before it brings.
        heal(4, Some("r4"), "r5", r#"{"id":4,"version":2}"#),
    ];
    use HealOutcome::{Healed, Held, MovedOn};
    let outcomes = store.heal(run_id, heals.clone()).await.unwrap();
    let (older, never) = (Healed(HealReason::OlderHeld), Healed(HealReason::NotSeen));
    assert_eq!(outcomes, [older, Healed(HealReason::Quarantined), Held, never, older]);
    assert_eq!(versions(store, &[1, 2, 3, 4]).await, [Some(3), Some(2), Some(4), Some(2)]);
    let order = store.order(OrderId(1)).await.unwrap().unwrap();
    assert_eq!((order.status, order.delivery_id.as_str()), (Some(KnownStatus::Ready.into()), "r1"));
    let changes = store.changes(3, 100).await.unwrap().changes;
    let line: Vec<_> = changes.iter().map(|c| (c.order_id.0, c.version)).collect();
    assert_eq!(line, [(1, Some(3)), (2, Some(2)), (4, Some(1)), (4, Some(2))]);

    let again = store.heal(run_id, heals).await.unwrap();
    assert_eq!(again, [MovedOn, MovedOn, Held, MovedOn, MovedOn]);
    let [run] = &store.reconcile_runs(10).await.unwrap()[..] else { panic!("one run") };
    let counts = &run.counts;
    assert_eq!((counts.not_seen, counts.older_held, counts.quarantined, counts.healed()), (1, 2, 1, 4));
    let healed = store.healed(10).await.unwrap();
    let told: Vec<_> = healed.iter().map(|h| (h.order_id.0, h.reason, h.version_held, h.version)).collect();
    assert_eq!(
        told,
        [
            (4, HealReason::OlderHeld, Some(1), Some(2)),
            (4, HealReason::NotSeen, None, Some(1)),
            (2, HealReason::Quarantined, Some(1), Some(2)),
            (1, HealReason::OlderHeld, Some(1), Some(3)),
        ]
    );
    assert_eq!(store.healed(1).await.unwrap(), healed[..1]);
}

pub(crate) async fn what_was_refused_is_told_apart_from_what_never_came(store: &impl Store) {
    came(store, "a", r#"{"id":1,"version":1},{"id":2,"version":1}"#).await;
    came(store, "b", r#"{"id":2,"version":2,"status":"two"}"#).await;
    let held = store.held(vec![OrderId(1)]).await.unwrap();
    assert_eq!(held[0].received_at, at(5));
    let run_id = store.reconcile_begin(RunCause::Start, at(9)).await.unwrap();
    let refused = |heal| Heal { was_refused: true, ..heal };
    let heals = vec![
        refused(heal(1, Some("a"), "r1", r#"{"id":1,"version":2}"#)),
        refused(heal(2, Some("a"), "r2", r#"{"id":2,"version":3}"#)),
        refused(heal(3, None, "r3", r#"{"id":3,"version":1}"#)),
        heal(4, None, "r4", r#"{"id":4,"version":1}"#),
        refused(heal(3, Some("r3"), "r5", r#"{"id":3,"version":1}"#)),
    ];
    let told = [HealReason::WasRefused, HealReason::Quarantined, HealReason::WasRefused, HealReason::NotSeen];
    let outcomes = store.heal(run_id, heals).await.unwrap();
    assert_eq!(outcomes[..4], told.map(HealOutcome::Healed), "what is in quarantine came and was taken");
    assert_eq!(outcomes[4], HealOutcome::Held);
    let counts = &store.reconcile_runs(1).await.unwrap()[0].counts;
    assert_eq!((counts.was_refused, counts.not_seen, counts.older_held), (2, 1, 0));
    assert_eq!((counts.quarantined, counts.healed()), (1, 4));
    let healed = store.healed(10).await.unwrap();
    assert_eq!(healed.iter().rev().map(|one| one.reason).collect::<Vec<_>>(), told);
}

pub(crate) async fn a_state_that_came_after_the_comparison_is_left_as_it_is(store: &impl Store) {
    // Nothing in these records says which of them is the newer one: only the order in which they came does.
    came(store, "a", r#"{"id":1,"cart":"as it was"}"#).await;
    let run_id = store.reconcile_begin(RunCause::Interval, at(9)).await.unwrap();
    came(store, "b", r#"{"id":1,"cart":"edited"}"#).await;
    let late = heal(1, Some("a"), "r1", r#"{"id":1,"cart":"as it was, read before"}"#);
    assert_eq!(store.heal(run_id, vec![late]).await.unwrap(), [HealOutcome::MovedOn]);
    let new = heal(2, None, "r2", r#"{"id":2}"#);
    came(store, "c", r#"{"id":2}"#).await;
    assert_eq!(store.heal(run_id, vec![new]).await.unwrap(), [HealOutcome::MovedOn]);
    assert_eq!(store.order(OrderId(1)).await.unwrap().unwrap().record, r#"{"id":1,"cart":"edited"}"#);
    assert_eq!(store.counts().await.unwrap().received, 3, "what was left leaves nothing");
}

pub(crate) async fn reconciling_goes_on_where_it_was_and_its_runs_are_kept(store: &impl Store) {
    assert_eq!(store.reconcile_mark().await.unwrap(), ReconcileMark::default());
    let first = store.reconcile_begin(RunCause::Start, at(1)).await.unwrap();
    let mark = ReconcileMark { cursor: Some("c1".to_owned()), deep_at: Some(at(2)) };
    let step = ReconcileStep { run_id: first, requests: 3, compared: 40, mark: mark.clone(), ended: None };
    store.reconcile_step(step.clone()).await.unwrap();
    assert_eq!(store.reconcile_mark().await.unwrap(), mark);
    let runs = store.reconcile_runs(10).await.unwrap();
    assert_eq!((runs[0].run_id, runs[0].cause, runs[0].started_at), (first, RunCause::Start, at(1)));
    assert_eq!((runs[0].ended, runs[0].counts.requests, runs[0].counts.compared), (None, 3, 40));

    let second = store.reconcile_begin(RunCause::Quarantine, at(7)).await.unwrap();
    let problem = Some("no answer".to_owned());
    let mark = ReconcileMark::default();
    let ended = Some((at(8), RunEnd::Failed, problem.clone()));
    store.reconcile_step(ReconcileStep { run_id: second, mark: mark.clone(), ended, ..step }).await.unwrap();
    assert_eq!(store.reconcile_mark().await.unwrap(), mark);
    let runs = store.reconcile_runs(10).await.unwrap();
    let told: Vec<_> = runs.iter().map(|run| (run.run_id, run.ended.map(|(_, end)| end))).collect();
    assert_eq!(told, [(second, Some(RunEnd::Failed)), (first, Some(RunEnd::BrokenOff))]);
    assert_eq!((&runs[0].problem, runs[0].ended.unwrap().0), (&problem, at(8)));
    assert_eq!(store.reconcile_runs(1).await.unwrap().len(), 1);
}

fn new_move(move_id: &str, key: Option<&str>, order_id: i64, hash: u8, ms: i64) -> NewMove {
    NewMove {
        move_id: move_id.to_owned(),
        key: key.map(str::to_owned),
        request_hash: [hash; 32],
        order_id: OrderId(order_id),
        asked: PartnerMove::Ready,
        body: Bytes::from_static(br#"{"status":"ready"}"#),
        asked_at: at(ms),
    }
}

fn ids(moves: &[OrderMove]) -> Vec<&str> {
    moves.iter().map(|of| of.move_id.as_str()).collect()
}

pub(crate) async fn a_move_is_kept_until_it_has_ended_and_its_key_stands_for_it_alone(store: &impl Store) {
    let asked = async |new| store.ask_move(new).await.unwrap();
    assert!(matches!(asked(new_move("m1", Some("k"), 7, 1, 1)).await, MoveAsked::New));
    assert!(matches!(asked(new_move("m2", None, 8, 2, 2)).await, MoveAsked::New));
    assert!(matches!(asked(new_move("m3", None, 7, 2, 3)).await, MoveAsked::New));
    let MoveAsked::Same(same) = asked(new_move("m4", Some("k"), 7, 1, 4)).await else { panic!("the same") };
    assert_eq!((same.move_id.as_str(), same.state, same.asked_at), ("m1", MoveState::Pending, at(1)));
    assert!(matches!(asked(new_move("m5", Some("k"), 7, 9, 5)).await, MoveAsked::KeyTaken));
    assert_eq!(ids(&store.pending_moves(10).await.unwrap()), ["m1", "m2", "m3"]);
    assert_eq!(ids(&store.pending_moves(1).await.unwrap()), ["m1"]);
    assert_eq!(ids(&store.moves_of(OrderId(7), 10).await.unwrap()), ["m3", "m1"]);

    let end = |state, code: Option<&str>| MoveEnd {
        state,
        code: code.map(str::to_owned),
        message: code.map(|_| "why".to_owned()),
        ended_at: at(6),
    };
    assert!(store.end_move("m1".to_owned(), end(MoveState::Done, None)).await.unwrap());
    assert!(!store.end_move("m1".to_owned(), end(MoveState::GivenUp, Some("late"))).await.unwrap());
    assert!(store.end_move("m3".to_owned(), end(MoveState::Refused, Some("no"))).await.unwrap());
    assert_eq!(ids(&store.pending_moves(10).await.unwrap()), ["m2"]);
    let done = store.order_move("m1".to_owned()).await.unwrap().unwrap();
    assert_eq!((done.state, done.ended_at, done.code), (MoveState::Done, Some(at(6)), None));
    assert_eq!((done.body, done.asked), (Bytes::from(r#"{"status":"ready"}"#), PartnerMove::Ready));
    let refused = store.order_move("m3".to_owned()).await.unwrap().unwrap();
    assert_eq!((refused.code.as_deref(), refused.message.as_deref()), (Some("no"), Some("why")));
    let MoveAsked::Same(same) = asked(new_move("m6", Some("k"), 7, 1, 7)).await else { panic!("the same") };
    assert_eq!(same.state, MoveState::Done);

    // A month later, those that have ended make room.
    let month = 31 * 86_400_000;
    asked(new_move("m7", Some("k2"), 9, 1, month)).await;
    assert!(store.order_move("m1".to_owned()).await.unwrap().is_none());
    assert!(matches!(asked(new_move("m8", Some("k"), 9, 3, month)).await, MoveAsked::New));
    assert_eq!(ids(&store.pending_moves(10).await.unwrap()), ["m2", "m7", "m8"]);
}

pub(crate) async fn so_many_moves_may_be_pending_and_no_more(store: &impl Store) {
    for n in 0..MOVES_PENDING_MAX {
        let new = new_move(&format!("m{n}"), None, 7, 1, 1);
        assert!(matches!(store.ask_move(new).await.unwrap(), MoveAsked::New));
    }
    assert!(matches!(store.ask_move(new_move("more", None, 7, 1, 1)).await.unwrap(), MoveAsked::TooMany));
    let end = MoveEnd { state: MoveState::Done, code: None, message: None, ended_at: at(2) };
    assert!(store.end_move("m500".to_owned(), end).await.unwrap());
    assert!(matches!(store.ask_move(new_move("more", None, 7, 1, 1)).await.unwrap(), MoveAsked::New));
}
