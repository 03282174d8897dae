//! Moves that the partner's own people make, at a kitchen display or a till, sent on to the Partner API.
//!
//! A move is on disk, with the key that the platform will know it by, before it is tried for the first time; every further
//! try carries the same key and the same bytes. So whatever dies in between, the platform makes it once. Moves go out one
//! after the other, in the order in which they were asked for.
//!
//! What this module must not do: judge whether a move is allowed (the platform does), or change the view. What the move
//! makes of the order comes as a delivery, as any change does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use bytes::Bytes;
use hookit_contract::{ErrorCode, GivenReason, OrderId, PartnerMove, Timestamp};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{
    Answer, ApiError, Checked, Fault, Faults, KeptBody, OptionalKey, PathId, Tasks, random_hex,
};
use hookit_store::Error as StoreError;
use hookit_store::inbox::{MoveAsked, MoveEnd, MoveState, NewMove, OrderMove};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::partner::{CallError, NO_CREDENTIAL, PartnerApi};
use crate::read::failed;

/// How long whoever asks for a move waits for the platform's word. After that it is told that the move is pending.
const WAIT: Duration = Duration::from_secs(20);

/// How long the platform's word is waited for, where the configuration says nothing else.
pub const HOLD_TIME: Duration = Duration::from_secs(3600);

/// A pause where the store fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Moves of an order that are shown, the newest.
const SHOWN_MAX: usize = 100;

/// What asks for the next move to be sent, and tells that one has ended.
pub(crate) struct Mover {
    wake: Notify,
    ended: watch::Sender<u64>,
}

impl Default for Mover {
    fn default() -> Self {
        Mover { wake: Notify::new(), ended: watch::Sender::new(0) }
    }
}

/// The heading of the calls.
const GROUP: &str = "Moves";

pub(crate) fn shown() -> Routes<Arc<Shared>> {
    Routes::new(GROUP).route(
        "/orders/{id}/moves",
        get(list).named("listMoves", "The moves of an order that were asked for here, the newest first."),
    )
}

pub(crate) fn asked() -> Routes<Arc<Shared>> {
    let refusals = [
        ErrorCode::ResourceNotFound,
        ErrorCode::RateLimited,
        ErrorCode::StateInvalidTransition,
        ErrorCode::StateIdempotencyConflict,
        ErrorCode::Unavailable,
    ];
    Routes::new(GROUP).route(
        "/orders/{id}/moves",
        post(ask)
            .named("askForMove", "Moves an order through the Partner API.")
            .details(
                "The move is on disk before it is sent, and sent under one key until the platform has answered. What the platform \
                 refuses is refused here in its words. 202 where it has not answered within 20 seconds: the inbox goes on trying. \
                 `rejected` and `cancelled` need a `reason_code`.",
            )
            .header("Idempotency-Key", "What the same move is known by when it is asked for again.", false)
            .accepted_or_not()
            .refuses(&refusals),
    )
}

/// A reason, as it is written in the body.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(untagged, expecting = "expected a text or an integer")]
enum ReasonCode {
    Code(i64),
    Text(String),
}

#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    status: PartnerMove,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<ReasonCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<Timestamp>,
}

impl Checked<Arc<Shared>> for MoveBody {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        let given = match &self.reason_code {
            None => GivenReason::None,
            Some(ReasonCode::Code(_)) => GivenReason::Code,
            Some(ReasonCode::Text(text)) => GivenReason::Text(text),
        };
        let is_known = faults.has_read("status");
        let checked = if is_known { self.status.check_reason(given) } else { given.check() };
        faults.of(checked.map_err(|fault| Fault::new("reason_code", fault.to_string())));
    }
}

/// A move as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderMove")]
struct Shown {
    move_id: String,
    order_id: OrderId,
    status: PartnerMove,
    /// `pending`, `done`, `refused`, or `given_up` where the platform never answered.
    state: &'static str,
    asked_at: Timestamp,
    ended_at: Option<Timestamp>,
    code: Option<String>,
    message: Option<String>,
}

impl From<OrderMove> for Shown {
    fn from(of: OrderMove) -> Self {
        Shown {
            move_id: of.move_id,
            order_id: of.order_id,
            status: of.asked,
            state: of.state.as_str(),
            asked_at: of.asked_at,
            ended_at: of.ended_at,
            code: of.code,
            message: of.message,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderMoves")]
struct MovesShown {
    moves: Vec<Shown>,
}

/// The newest moves of an order, newest first.
async fn list(State(inbox): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer<MovesShown>, ApiError> {
    let moves = inbox.store.moves_of(OrderId(id), SHOWN_MAX).await.map_err(failed)?;
    Ok(Answer::ok(&MovesShown { moves: moves.into_iter().map(Shown::from).collect() }))
}

/// Asks for a move, and waits a while for the platform's word.
async fn ask(
    State(inbox): State<Arc<Shared>>,
    PathId(id): PathId,
    OptionalKey(key): OptionalKey,
    KeptBody(mut body, bytes): KeptBody<MoveBody>,
) -> Result<Answer<Shown>, ApiError> {
    if inbox.config.partner_api.is_none() {
        return Err(ApiError::new(ErrorCode::Unavailable, NO_CREDENTIAL));
    }
    let asked_at = inbox.clock.now();
    // It may arrive much later; when it was done, the platform should know.
    body.occurred_at.get_or_insert(asked_at);
    let mut hash = Sha256::new();
    hash.update(id.to_be_bytes());
    hash.update(&bytes);
    let new = NewMove {
        move_id: random_hex("mv_", 16),
        key,
        request_hash: hash.finalize().into(),
        order_id: OrderId(id),
        asked: body.status,
        body: Bytes::from(serde_json::to_vec(&body).expect("a move is plain text")),
        asked_at,
    };
    let move_id = new.move_id.clone();
    let mut ended = inbox.mover.ended.subscribe();
    let move_id = match inbox.store.ask_move(new).await.map_err(failed)? {
        MoveAsked::New => move_id,
        MoveAsked::Same(known) => known.move_id,
        MoveAsked::KeyTaken => {
            let message = "Idempotency-Key: used for another move; a new move needs a new key";
            return Err(ApiError::new(ErrorCode::StateIdempotencyConflict, message));
        }
        MoveAsked::TooMany => {
            return Err(ApiError::unavailable("too many moves wait for the platform's answer"));
        }
    };
    inbox.mover.wake.notify_one();
    let wait_end = tokio::time::Instant::now() + WAIT;
    loop {
        let found = inbox.store.order_move(move_id.clone()).await.map_err(failed)?;
        let found =
            found.ok_or_else(|| ApiError::not_found(format!("move {move_id} is not kept any more")))?;
        let is_over = found.state != MoveState::Pending;
        if is_over || !matches!(tokio::time::timeout_at(wait_end, ended.changed()).await, Ok(Ok(()))) {
            return answer(found);
        }
    }
}

/// What is told of a move. A refusal is the platform's own.
fn answer(found: OrderMove) -> Result<Answer<Shown>, ApiError> {
    let refused = |code, found: OrderMove| Err(ApiError::new(code, found.message.unwrap_or_default()));
    match found.state {
        MoveState::Done => Ok(Answer::ok(&Shown::from(found))),
        MoveState::Pending => Ok(Answer::ok(&Shown::from(found)).accepted()),
        MoveState::GivenUp => refused(ErrorCode::Unavailable, found),
        MoveState::Refused => {
            let code = found.code.as_deref().and_then(ErrorCode::from_word).unwrap_or(ErrorCode::Internal);
            refused(code, found)
        }
    }
}

/// Starts sending moves as a task. What was pending when the inbox stopped goes first.
pub(crate) fn start(shared: Arc<Shared>, api: Arc<PartnerApi>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("moves", async move {
        loop {
            match shared.store.pending_moves(1).await {
                Ok(mut pending) => match pending.pop() {
                    Some(next) => {
                        if !send(&shared, &api, next, &stop).await {
                            return;
                        }
                    }
                    None => tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = shared.mover.wake.notified() => {}
                    },
                },
                Err(error) => {
                    if !pause(&error, &stop).await {
                        return;
                    }
                }
            }
        }
    });
}

/// Waits after an error of the store; false where it is time to stop.
async fn pause(error: &StoreError, stop: &CancellationToken) -> bool {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the store does not give or take a move; trying again"
    );
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(STORE_PAUSE) => true,
    }
}

/// One try at a move, and what follows from it; false where it is time to stop.
async fn send(shared: &Shared, api: &PartnerApi, next: OrderMove, stop: &CancellationToken) -> bool {
    let hold_time = shared.config.moves_hold_time;
    let tried = async {
        api.writes.wait().await;
        if shared.clock.now().since(next.asked_at) >= hold_time {
            return None;
        }
        Some(api.move_order(next.order_id, &next.move_id, next.body.clone()).await)
    };
    let tried = tokio::select! {
        biased;
        () = stop.cancelled() => return false,
        tried = tried => tried,
    };
    let (move_id, order_id, status) = (next.move_id.as_str(), next.order_id, next.asked.as_str());
    let (state, code, message) = match tried {
        Some(Ok(_)) => {
            tracing::info!(move_id, %order_id, status, "moved");
            (MoveState::Done, None, None)
        }
        Some(Err(
            CallError::Credential { status: http, code, message }
            | CallError::Refused { status: http, code, message },
        )) => {
            let message = format!("the Partner API answers {http} {code}: {message}");
            tracing::warn!(move_id, %order_id, status, message, "a move was refused");
            (MoveState::Refused, Some(relayed(http, &code)), Some(message))
        }
        Some(Err(error)) => {
            tracing::warn!(move_id, %order_id, status, %error, "a move did not get through; trying again");
            return true;
        }
        None => {
            let message = format!(
                "the Partner API gave no answer within {} s; whether the order was moved, it alone knows",
                hold_time.as_secs()
            );
            tracing::warn!(move_id, %order_id, status, "a move was given up");
            (MoveState::GivenUp, None, Some(message))
        }
    };
    let end = MoveEnd {
        state,
        code: code.map(|code| code.as_str().to_owned()),
        message,
        ended_at: shared.clock.now(),
    };
    loop {
        match shared.store.end_move(next.move_id.clone(), end.clone()).await {
            Ok(_) => break,
            Err(error) => {
                if !pause(&error, stop).await {
                    return false;
                }
            }
        }
    }
    shared.mover.ended.send_modify(|ended| *ended += 1);
    true
}

/// The code that a refusal is told with: the platform's own, or the one that its status stands for.
fn relayed(status: u16, code: &str) -> ErrorCode {
    ErrorCode::from_word(code).unwrap_or(match status {
        401 => ErrorCode::AuthInvalidCredential,
        403 => ErrorCode::AuthForbidden,
        404 => ErrorCode::ResourceNotFound,
        409 => ErrorCode::StateInvalidTransition,
        _ => ErrorCode::RequestInvalid,
    })
}
