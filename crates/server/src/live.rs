//! Answers that go on: server-sent events.
//!
//! What is told is asked for only when there is room to write it, so a reader that does not read costs a connection and a
//! place, and no memory. A comment goes out now and then, so that who listens sees that somebody is there, and who has gone away
//! is noticed. At the stop every stream ends after the event that is being written; its reader comes again with
//! `Last-Event-ID`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http::{HeaderValue, header};
use schemars::{SchemaGenerator, json_schema};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::ApiError;
use crate::input::{Incoming, Input};
use crate::routes::{Content, Operation, Output};

/// From one comment to the next, where nothing else is told.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Where the reader of a stream that broke off says how far it came.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// What a server's streams have in common.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    pub(crate) fn new(streams_max: usize, stop: CancellationToken) -> Self {
        Streams { places: Arc::new(Semaphore::new(streams_max)), stop }
    }
}

/// One event for whoever listens.
#[derive(Clone, Debug)]
pub struct LiveEvent(Event);

impl LiveEvent {
    /// An event of a name with JSON text. Line ends in it are white space, which is what they are between JSON's tokens.
    pub fn json(name: &str, text: &str) -> Self {
        let text =
            if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], " ") } else { text.to_owned() };
        LiveEvent(Event::default().event(name).data(text))
    }

    /// No event, but the number from which a reader goes on that lost the connection.
    pub fn place(id: i64) -> Self {
        LiveEvent(Event::default()).with_id(id)
    }

    /// With the number from which a reader goes on that lost the connection.
    #[must_use]
    pub fn with_id(self, id: i64) -> Self {
        LiveEvent(self.0.id(id.to_string()))
    }
}

/// A place for a stream. A handler takes it as an argument.
#[derive(Debug)]
pub struct Live {
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
}

impl<S: Send + Sync> FromRequestParts<S> for Live {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let full = || ApiError::unavailable("as many live streams are open as may be").with_retry_after(30);
        let Streams { places, stop } = parts.extensions.get().cloned().ok_or_else(full)?;
        let place = places.try_acquire_owned().map_err(|_| full())?;
        Ok(Live { place, stop })
    }
}

impl<S: Send + Sync> Input<S> for Live {
    fn describe(operation: &mut Operation) {
        const SAID: &str = "The `id` of the last event that was seen; the stream goes on behind it.";
        operation.headers.push(("Last-Event-ID", SAID, false));
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        incoming.extracted(shared).await
    }
}

impl Live {
    /// Tells one event after the other, each asked for when the one before it is written; none ends the stream.
    pub fn tell<T, F, R>(self, state: T, next: F) -> LiveEvents
    where
        T: Send + 'static,
        F: FnMut(T) -> R + Send + 'static,
        R: Future<Output = Option<(LiveEvent, T)>> + Send + 'static,
    {
        let Live { place, stop } = self;
        let events =
            stream::unfold(state, next).take_until(stop.cancelled_owned()).map(move |LiveEvent(event)| {
                // Held as long as there is a stream.
                let _ = &place;
                Ok::<_, Infallible>(event)
            });
        let comments = KeepAlive::new().interval(COMMENT_EVERY);
        let mut response = Sse::new(events).keep_alive(comments).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies of the nginx kind would gather events to whole buffers.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        LiveEvents(response)
    }
}

/// A stream, as a handler gives it back.
#[derive(Debug)]
pub struct LiveEvents(Response);

impl IntoResponse for LiveEvents {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Output for LiveEvents {
    fn describe(operation: &mut Operation) {
        operation.answer = Some(Content {
            media_type: "text/event-stream",
            schema: |_: &mut SchemaGenerator| json_schema!({"type": "string"}),
            enveloped: false,
        });
    }
}
