//! What a handler takes, read off a request one after the other.
//!
//! Whatever is wrong with any of it is told at once: of the path, the parameters, the headers and the body. So nothing that a
//! handler takes refuses a request by itself. It takes down what is wrong, the others are read all the same, and the handler is
//! called where nothing was.
//!
//! Form is looked at first and what values say afterwards, but in one go: what cannot be read is replaced by a value that can, the
//! rest is judged by [`Checked::check`], and what that says of a replaced value is not told.
//!
//! What this module must not do: know any call.

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::routes::{Operation, Output};
use crate::takes::Encoded;
use crate::{ApiError, Faults, Limits, read_body};

/// A value that a call takes, as parameters or as a body. What it may be is said by its schema; what no schema can say, such as
/// what goes together, is said here. `S` is what the handlers share.
pub trait Checked<S>: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Takes down what is wrong beyond what the schema says.
    fn check(&self, shared: &S, faults: &mut Faults) {
        let _ = (shared, faults);
    }

    /// Takes down what is wrong in the light of what is kept. It is asked only where something else is wrong, so that this is told
    /// as well: the last word is that of the transaction in which it matters.
    fn look_up(&self, shared: &S, faults: &mut Faults) -> impl Future<Output = ()> + Send {
        let _ = (shared, faults);
        async {}
    }
}

/// A value that did not come in a request, where it is right.
///
/// # Errors
/// What [`Checked::check`] takes down.
pub fn checked<T: Checked<S>, S>(value: T, shared: &S) -> Result<T, ApiError> {
    let mut faults = Faults::default();
    value.check(shared, &mut faults);
    faults.none(value)
}

/// A request of which a handler's arguments are taken.
#[derive(Debug)]
pub struct Incoming {
    parts: Parts,
    body: Body,
    faults: Faults,
    /// Why else it is refused.
    refusal: Option<Response>,
}

impl Incoming {
    pub(crate) fn of(request: Request, faults: Faults) -> Self {
        let (parts, body) = request.into_parts();
        Incoming { parts, body, faults, refusal: None }
    }

    /// Its head.
    pub fn parts(&mut self) -> &mut Parts {
        &mut self.parts
    }

    /// What is wrong with it as far as it was read. To be asked for by whatever takes another part of it.
    pub fn faults(&mut self) -> &mut Faults {
        self.faults.of_reading([]);
        &mut self.faults
    }

    /// Its body, of at most so many bytes, within the time that the router carries.
    pub async fn body(&mut self, bytes_max: usize) -> Option<Bytes> {
        let timeout = self.limits().body_timeout;
        let read = read_body(self.raw_body()?, bytes_max, timeout).await;
        read.map_err(|refusal| self.faults().add_refusal(&refusal)).ok()
    }

    /// Its body, unread; none where it is in an encoding, which is told already.
    pub fn raw_body(&mut self) -> Option<Body> {
        let is_encoded = self.parts.extensions.get::<Encoded>().is_some();
        (!is_encoded).then(|| std::mem::take(&mut self.body))
    }

    /// Its body, within the limits that the router carries.
    pub(crate) async fn limited_body(&mut self) -> Option<Bytes> {
        self.body(self.limits().body_bytes_max).await
    }

    fn limits(&self) -> Limits {
        self.parts.extensions.get().copied().unwrap_or_default()
    }

    /// A value that was read, if only in part, and is checked now.
    pub(crate) async fn checked<T: Checked<S>, S>(
        &mut self,
        read: impl FnOnce(&Parts, &mut Faults) -> Option<T>,
        shared: &S,
    ) -> Option<T> {
        let value = read(&self.parts, &mut self.faults)?;
        value.check(shared, &mut self.faults);
        if !self.faults.is_empty() {
            value.look_up(shared, &mut self.faults).await;
        }
        Some(value)
    }

    /// Takes something that axum knows how to read.
    pub(crate) async fn extracted<T: FromRequestParts<S>, S: Send + Sync>(
        &mut self,
        shared: &S,
    ) -> Option<T> {
        match T::from_request_parts(&mut self.parts, shared).await {
            Ok(taken) => Some(taken),
            Err(rejection) => {
                self.refusal.get_or_insert_with(|| rejection.into_response());
                None
            }
        }
    }

    /// The refusal of it, where it is refused. What is wrong with the request comes before what we cannot do for it.
    fn refused(self) -> Option<Response> {
        match self.faults.none(()) {
            Ok(()) => self.refusal,
            Err(refusal) => Some(refusal.into_response()),
        }
    }
}

/// Something that a handler takes. `S` is what the handlers share.
pub trait Input<S>: Sized + Send {
    /// Says what of the request it reads.
    fn describe(operation: &mut Operation);

    /// Reads it. Whatever is wrong is taken down, and then the handler is not called; none where nothing came of it.
    fn take(incoming: &mut Incoming, shared: &S) -> impl Future<Output = Option<Self>> + Send;
}

/// What says nothing about the request that its sender has to know.
macro_rules! silent {
    ($(<$($parameter:ident $(: $bound:path)?),*> $input:ty;)*) => {$(
        impl<S: Send + Sync $(, $parameter: Clone + Send + Sync + 'static $(+ $bound)?)*> Input<S> for $input {
            fn describe(_: &mut Operation) {}

            async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
                incoming.extracted(shared).await
            }
        }
    )*};
}

silent! { <T: FromRef<S>> State<T>; <T> ConnectInfo<T>; <T> axum::Extension<T>; <> HeaderMap; <> Method; }

/// The whole of it, for a handler that reads its body by itself. It is the last that a handler takes.
impl<S: Sync> Input<S> for Request {
    fn describe(_: &mut Operation) {}

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let body = incoming.raw_body()?;
        let parts = std::mem::replace(&mut incoming.parts, Request::new(()).into_parts().0);
        Some(Request::from_parts(parts, body))
    }
}

/// A handler; `A` are its arguments.
pub trait Describe<A, S>: Clone + Send + Sync + 'static {
    /// Says what it takes and answers.
    fn describe(operation: &mut Operation);

    /// Reads its arguments, and calls it where nothing is wrong with any.
    fn answer(self, incoming: Incoming, shared: S) -> impl Future<Output = Response> + Send;
}

macro_rules! describe {
    ($(($($argument:ident $kind:ident),*))*) => {$(
        impl<F, G, R, S, $($kind),*> Describe<($($kind,)*), S> for F
        where
            F: FnOnce($($kind),*) -> G + Clone + Send + Sync + 'static,
            G: Future<Output = R> + Send,
            R: Output + IntoResponse,
            S: Send + Sync,
            $($kind: Input<S>,)*
        {
            fn describe(operation: &mut Operation) {
                $(<$kind as Input<S>>::describe(operation);)*
                R::describe(operation);
            }

            async fn answer(self, mut incoming: Incoming, shared: S) -> Response {
                $(let $argument = <$kind as Input<S>>::take(&mut incoming, &shared).await;)*
                if let Some(refused) = incoming.refused() {
                    return refused;
                }
                $(let $argument = $argument.expect("what could not be had is refused");)*
                self($($argument),*).await.into_response()
            }
        }
    )*};
}

describe! {
    (a A)
    (a A, b B)
    (a A, b B, c C)
    (a A, b B, c C, d D)
    (a A, b B, c C, d D, e E)
    (a A, b B, c C, d D, e E, f F6)
    (a A, b B, c C, d D, e E, f F6, g G7)
}

impl<F, G, R, S> Describe<(), S> for F
where
    F: FnOnce() -> G + Clone + Send + Sync + 'static,
    G: Future<Output = R> + Send,
    R: Output + IntoResponse,
    S: Send,
{
    fn describe(operation: &mut Operation) {
        R::describe(operation);
    }

    async fn answer(self, incoming: Incoming, _: S) -> Response {
        match incoming.refused() {
            Some(refused) => refused,
            None => self().await.into_response(),
        }
    }
}
