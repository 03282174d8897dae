//! `POST /v1/operator/orders/bulk`: many operations in one request, a line of JSON each, and an answer line for each.
//!
//! Both directions stream. Lines that have arrived while one batch was being written make up the next; a batch is one
//! store verb, and so one commit, and its answer lines are written when it is on disk. Nothing is held beyond the batch
//! that is being written, the one that is gathering, and the answers of one that is done: whoever does not read its
//! answers is not read from.
//!
//! A line is refused by itself, with the same codes and words as the call for one order; the lines around it are not
//! concerned. Each answer line is the answer of that call in its envelope, with the request's id; so one that is kept by itself can
//! still be found in the log. The body's end is the end of the answers.
//!
//! What this module must not do: put a line before another one. Lines about one order take effect in their order.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf as _, Bytes, BytesMut};
use hookit_contract::{ErrorCode, OrderId, Record};
use hookit_server::routes::{Call, Operation, post};
use hookit_server::{ApiError, Checked, Fault, Faults, Incoming, Input, JsonBody, Limits, RequestId};
use hookit_store::Error;
use hookit_store::platform::{Change, Changed, Role, Store, StoredOrder};
use http::{HeaderValue, Method, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::orders::{MoveBody, NameOrCode, RECORD_BODY_MAX, TextOrCode, check_move, object};
use super::roles;
use crate::Shared;
use crate::api::{self, Result, store_error};
use crate::credentials::{Acting, Operator};
use crate::order_schema::NewOrder;

/// Lines in one commit at most.
const BATCH_LINES_MAX: usize = 1_000;
/// Bytes of lines in one commit; the line that passes it is the last one in.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of a line: as many as the call for one order takes.
const LINE_BYTES_MAX: usize = RECORD_BODY_MAX;
/// Lines that are read in one go before others have their turn.
const LINES_IN_A_GO: usize = 64;
/// How long to wait when the store's queue is full. Within this call that is no refusal.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn call() -> Call<Arc<Shared>> {
    post(bulk)
        .named("bulkOrders", "Many new orders and moves: a line of JSON each, and an answer line for each.")
        .details(
            "Both directions stream. A line without `op` is a new order's record; one with `op` is a move. A line is \
             refused by itself, with the codes and words of the call for one order; `error` says why. Lines about one \
             order take effect in their order. Each answer line has the call's `request_id`. The schemas are those of one line.",
        )
        .takes::<InLine>("application/x-ndjson")
        .answers::<AnswerLine<'_>>("application/x-ndjson")
}

async fn bulk(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    Extension(Acting(store)): Extension<Acting>,
    Extension(request_id): Extension<RequestId>,
    lines: Lines,
) -> Response {
    let (answers, ready) = mpsc::channel(1);
    let answering = Answering { request_id, answers };
    let work = Box::pin(async move { work(&shared, &*store, operator.role, lines, &answering).await });
    let mut response = Body::new(Answers { work: Some(work), ready }).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl<S: Sync> Input<S> for Lines {
    /// What is in them is said of the call.
    fn describe(_: &mut Operation) {}

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let limits: Limits = incoming.parts().extensions.get().copied().unwrap_or_default();
        let mut lines = Lines::new(incoming.raw_body()?, limits.body_timeout);
        // The first bytes are waited for here: until then there is no answer, and a refusal can have its status. It is also
        // what tells a sender to go ahead that asks first.
        match lines.more().await {
            Ok(true) => return Some(lines),
            Ok(false) => incoming.faults().add("body", "missing; expected a line for each operation"),
            Err(error) => incoming.faults().add_refusal(&error),
        }
        None
    }
}

/// The answer's body. Asking it for more is what makes the work go on, so it rests where nobody reads, and ends with
/// the connection.
struct Answers {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ready: mpsc::Receiver<Bytes>,
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(Some(lines)) = this.ready.poll_recv(context) {
            return Poll::Ready(Some(Ok(Frame::data(lines))));
        }
        if let Some(work) = &mut this.work
            && work.as_mut().poll(context).is_ready()
        {
            // The end of the channel then follows from it.
            this.work = None;
        }
        let lines = ready!(this.ready.poll_recv(context));
        Poll::Ready(lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// The request's body, cut into lines.
struct Lines {
    body: Body,
    timeout: Duration,
    buffer: BytesMut,
    /// How far the buffer has been looked through for the end of a line.
    looked: usize,
    /// Within a line that is too long: its end is looked for, and nothing of it is kept.
    skipping: bool,
    ended: bool,
}

/// A line of the request.
enum Line {
    Text(Bytes),
    TooLong,
}

impl Lines {
    fn new(body: Body, timeout: Duration) -> Self {
        Lines { body, timeout, buffer: BytesMut::new(), looked: 0, skipping: false, ended: false }
    }

    /// Waits for more of the body. False at its end. Cancel safe.
    async fn more(&mut self) -> Result<bool> {
        loop {
            let frame = tokio::time::timeout(self.timeout, self.body.frame()).await.map_err(|_| {
                let message = format!("nothing came for {} s", self.timeout.as_secs_f32());
                ApiError::about(ErrorCode::RequestTimeout, Fault::new("body", message))
            })?;
            match frame {
                None => return Ok(false),
                Some(Err(_)) => return Err(Fault::new("body", "broke off before its end").into()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => {
                        self.buffer.extend_from_slice(&data);
                        return Ok(true);
                    }
                    _ => {}
                },
            }
        }
    }

    /// The next line that is here whole, without its end.
    fn next(&mut self) -> Option<Line> {
        let end = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n');
        let Some(length) = end.map(|end| self.looked + end) else {
            if self.ended && (self.skipping || !self.buffer.is_empty()) {
                let rest = self.buffer.split().freeze();
                self.looked = 0;
                return Some(self.whole(rest));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                self.skipping = true;
            }
            if self.skipping {
                self.buffer.clear();
            }
            self.looked = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(length).freeze();
        self.buffer.advance(1);
        self.looked = 0;
        Some(self.whole(line))
    }

    fn whole(&mut self, line: Bytes) -> Line {
        let too_long = std::mem::take(&mut self.skipping) || line.len() > LINE_BYTES_MAX;
        if too_long { Line::TooLong } else { Line::Text(line) }
    }
}

/// One answer line. Records are not given back: who sends many has them, and can ask for one.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkOutcome")]
enum Said<'a> {
    Data {
        id: i64,
        version: i64,
        status: i64,
    },
    Error {
        code: ErrorCode,
        message: &'a str,
        #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
        details: &'a [Fault],
    },
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BulkAnswerLine")]
struct AnswerLine<'a> {
    /// The same in all lines: it is the call's.
    request_id: &'a str,
    line: u64,
    #[serde(flatten)]
    said: Said<'a>,
}

/// Where the answer lines go.
struct Answering {
    request_id: RequestId,
    answers: mpsc::Sender<Bytes>,
}

impl Answering {
    fn say(&self, out: &mut Vec<u8>, line: u64, said: Said<'_>) {
        let line = AnswerLine { request_id: self.request_id.as_str(), line, said };
        serde_json::to_writer(&mut *out, &line).expect("numbers and text go into memory");
        out.push(b'\n');
    }

    fn refuse(&self, out: &mut Vec<u8>, line: u64, error: &ApiError) {
        let said = Said::Error { code: error.code(), message: error.message(), details: error.details() };
        self.say(out, line, said);
    }
}

/// Lines that are to be written together.
#[derive(Default)]
struct Batch {
    /// The lines in their order, refused ones among them.
    lines: Vec<(u64, std::result::Result<(), ApiError>)>,
    /// What the others ask for, in the same order.
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_LINES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn take_in(&mut self, number: u64, change: Result<Change>, bytes: usize) {
        self.bytes += bytes;
        let line = change.map(|change| self.changes.push(change));
        self.lines.push((number, line));
    }
}

/// Reads lines, has them written, and says what became of them, until the body ends or cannot be read on.
async fn work(shared: &Arc<Shared>, store: &dyn Store, role: Role, mut lines: Lines, answering: &Answering) {
    let mut number = 0;
    let mut gathering = Batch::default();
    let mut broken = None;
    let mut writing = std::pin::pin!(None);
    loop {
        let mut in_this_go = 0;
        while !gathering.is_full() && in_this_go < LINES_IN_A_GO {
            let Some(line) = lines.next() else { break };
            number += 1;
            in_this_go += 1;
            match line {
                Line::TooLong => {
                    let message = format!("line {number}: at most {LINE_BYTES_MAX} bytes are taken");
                    let error = ApiError::new(ErrorCode::RequestTooLarge, message);
                    gathering.take_in(number, Err(error), 0);
                }
                Line::Text(text) if text.trim_ascii().is_empty() => {}
                Line::Text(text) => {
                    let bytes = text.len();
                    gathering.take_in(number, operation(shared, role, text), bytes);
                }
            }
        }
        if in_this_go == LINES_IN_A_GO && !gathering.is_full() {
            tokio::task::yield_now().await;
            continue;
        }
        let mut said = None;
        if writing.is_none() && !gathering.lines.is_empty() {
            writing.set(Some(write(shared, store, answering, std::mem::take(&mut gathering))));
            // Handed over right away: what is here already is read while it is being written.
            said = poll_fn(|context| match poll(writing.as_mut(), context) {
                Poll::Ready(said) => Poll::Ready(Some(said)),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
            if said.is_none() {
                continue;
            }
        } else if writing.is_none() && lines.ended {
            break;
        }
        tokio::select! {
            biased;
            written = poll_fn(|context| poll(writing.as_mut(), context)), if writing.is_some() && said.is_none() => {
                said = Some(written);
            }
            more = lines.more(), if said.is_none() && !lines.ended && !gathering.is_full() => match more {
                Ok(true) => {}
                Ok(false) => lines.ended = true,
                Err(error) => {
                    // What came of a line that was not finished is not one.
                    lines.buffer.clear();
                    lines.looked = 0;
                    lines.skipping = false;
                    lines.ended = true;
                    broken = Some(error);
                }
            },
            else => {}
        }
        if let Some(said) = said {
            writing.set(None);
            if answering.answers.send(Bytes::from(said)).await.is_err() {
                return;
            }
        }
    }
    if let Some(error) = broken {
        let mut out = Vec::new();
        answering.refuse(&mut out, number + 1, &error);
        // Whoever has gone does not want to know.
        let _ = answering.answers.send(Bytes::from(out)).await;
    }
}

/// Polls what may be there.
fn poll<F: Future>(future: Pin<&mut Option<F>>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(context))
}

/// Has a batch written, and gives the answer lines.
async fn write(shared: &Shared, store: &dyn Store, answering: &Answering, batch: Batch) -> Vec<u8> {
    let Batch { lines, changes, .. } = batch;
    let mut outcomes = change_all(shared, store, changes).await.into_iter();
    let mut out = Vec::with_capacity(lines.len() * 128);
    for (number, line) in lines {
        let outcome = line.and_then(|()| outcomes.next().expect("each change has an outcome"));
        match outcome {
            Ok(order) => {
                let status = shared.codes.code_of(order.status);
                let said = Said::Data { id: order.order_id.0, version: order.version, status };
                answering.say(&mut out, number, said);
            }
            Err(error) => answering.refuse(&mut out, number, &error),
        }
    }
    out
}

/// Makes changes together; what became of each, in their order.
async fn change_all(shared: &Shared, store: &dyn Store, changes: Vec<Change>) -> Vec<Result<StoredOrder>> {
    if changes.is_empty() {
        return Vec::new();
    }
    match patiently(shared, store, &changes).await {
        Ok(changed) => changed.into_iter().map(api::stored).collect(),
        // An order that cannot be read fails the change that is about it, and was found before anything was kept.
        Err(Error::Corrupt(_)) if changes.len() > 1 => {
            let mut outcomes = Vec::with_capacity(changes.len());
            for change in changes {
                let alone = patiently(shared, store, &[change]).await.map_err(store_error);
                outcomes.push(alone.and_then(|mut one| api::stored(one.pop().expect("one for one"))));
            }
            outcomes
        }
        Err(error) => {
            let error = store_error(error);
            changes.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// Asks again for as long as there is no room in the queue. The connection's end, a stop included, ends this too.
async fn patiently(
    shared: &Shared,
    store: &dyn Store,
    changes: &[Change],
) -> std::result::Result<Vec<Changed>, Error> {
    loop {
        match store.changes(changes.to_vec(), shared.clock.now()).await {
            Err(Error::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            other => return other,
        }
    }
}

/// A line that is a move. A line without `op` is a new order's record.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BulkMove")]
struct MoveLine {
    #[serde(rename = "op")]
    _op: Op,
    id: i64,
    status: NameOrCode,
    #[serde(default)]
    reason_code: Option<TextOrCode>,
    #[serde(default)]
    occurred_at: Option<hookit_contract::Timestamp>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkOperation")]
enum Op {
    Move,
}

/// A line of the request, for its description.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "BulkLine")]
#[expect(dead_code, reason = "a line is read by what is in it")]
enum InLine {
    Move(MoveLine),
    Create(NewOrder),
}

impl Checked<Arc<Shared>> for MoveLine {
    fn check(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        check_move(&self.status, self.reason_code.as_ref(), &shared.codes, faults);
    }
}

fn operation(shared: &Arc<Shared>, role: Role, text: Bytes) -> Result<Change> {
    let record: Record = object(text)?;
    if record.get("op").is_none() {
        return Ok(Change::Create { record });
    }
    if !roles::may(role, &Method::PATCH, "/orders/{id}/status") {
        let message = format!("op: the role {} may not move orders", role.as_str());
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    let JsonBody(line) = JsonBody::parse(record.bytes(), shared)?;
    let MoveLine { id, status, reason_code, occurred_at, .. } = line;
    MoveBody { status, reason_code, occurred_at }.change(&shared.codes, OrderId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], ended: bool) -> (Vec<Option<String>>, Lines) {
        let mut lines = Lines::new(Body::empty(), Duration::ZERO);
        lines.buffer.extend_from_slice(text);
        lines.ended = ended;
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            found.push(match line {
                Line::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                Line::TooLong => None,
            });
        }
        (found, lines)
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_the_last_one_needs_none() {
        for (text, ended, expect) in [
            (&b""[..], true, &[][..]),
            (b"a\nb", false, &["a"]),
            (b"a\nb", true, &["a", "b"]),
            (b"a\n\nb\n", true, &["a", "", "b"]),
            (b"\n", true, &[""]),
        ] {
            let found: Vec<_> = lines(text, ended).0.into_iter().flatten().collect();
            assert_eq!(found, expect, "{:?} {ended}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nothing_is_kept_of_a_line_that_is_too_long() {
        let (found, mut lines) = lines(&vec![b'x'; LINE_BYTES_MAX + 1], false);
        assert!(found.is_empty() && lines.buffer.is_empty());
        lines.buffer.extend_from_slice(b"xx\nnext\n");
        assert!(matches!(lines.next(), Some(Line::TooLong)));
        assert!(matches!(lines.next(), Some(Line::Text(text)) if text == "next"));
        assert!(lines.next().is_none());
    }
}
