//! Reading request bodies, bounded in bytes, time and depth, with errors that name the field.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use hookit_contract::{ErrorCode, RecordError, depth_fits};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::input::{Checked, Incoming, Input};
use crate::routes::Operation;
use crate::{ApiError, Fault, Faults, Limits, shape, wrong};

/// Reads a body of at most `bytes_max` bytes within `timeout`.
///
/// # Errors
/// `request_too_large`, `request_timeout`, or `request_invalid` where the body broke off.
pub async fn read_body(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    read_body_or_part(body, bytes_max, timeout).await.map_err(|(error, _)| error)
}

/// The same, with what came of a body that cannot be had as a whole.
///
/// # Errors
/// Those of [`read_body`].
pub async fn read_body_or_part(
    body: Body,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, (ApiError, Bytes)> {
    let mut read = Read::default();
    let (code, message) = match tokio::time::timeout(timeout, read.collect(body, bytes_max)).await {
        Ok(Ok(())) => return Ok(read.bytes()),
        Ok(Err(Failed::TooLarge)) => {
            (ErrorCode::RequestTooLarge, format!("at most {bytes_max} bytes are taken"))
        }
        Ok(Err(Failed::BrokeOff)) => (ErrorCode::RequestInvalid, "broke off before its end".to_owned()),
        Err(_) => (ErrorCode::RequestTimeout, format!("did not arrive within {} s", timeout.as_secs_f32())),
    };
    Err((ApiError::about(code, Fault::new("body", message)), read.bytes()))
}

/// A body up to this size is copied out of what was read from the connection.
const COPIED_BYTES_MAX: usize = 8 << 10;

enum Failed {
    TooLarge,
    BrokeOff,
}

/// A body as it comes. A large one that comes in one piece is not copied.
#[derive(Default)]
struct Read {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl Read {
    async fn collect(&mut self, mut body: Body, bytes_max: usize) -> Result<(), Failed> {
        let announced = body.size_hint().lower();
        if announced > bytes_max as u64 {
            return Err(Failed::TooLarge);
        }
        let Read { first, rest } = self;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Failed::BrokeOff)?.into_data() else { continue };
            if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > bytes_max {
                return Err(Failed::TooLarge);
            }
            match &first {
                None => *first = Some(data),
                Some(head) => {
                    if rest.is_empty() {
                        rest.reserve((announced as usize).max(head.len() + data.len()));
                        rest.extend_from_slice(head);
                        *first = Some(Bytes::new());
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        Ok(())
    }

    fn bytes(self) -> Bytes {
        match self.first {
            // A part of what was read from the connection: a copy gives that memory back to it, which else has to get new one.
            Some(alone) if self.rest.is_empty() && alone.len() <= COPIED_BYTES_MAX => {
                Bytes::copy_from_slice(&alone)
            }
            Some(alone) if self.rest.is_empty() => alone,
            _ => self.rest.freeze(),
        }
    }
}

/// A request's body, within the limits that the router carries.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let limits = request.extensions().get::<Limits>().copied().unwrap_or_default();
        read_body(request.into_body(), limits.body_bytes_max, limits.body_timeout).await.map(RawBody)
    }
}

/// The body of a call that takes none: empty, or an object without fields.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

/// True for a body that says nothing.
pub(crate) fn is_nothing(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii(), b"" | b"{}")
}

impl<S: Sync> Input<S> for NoBody {
    fn describe(operation: &mut Operation) {
        operation.reads_a_body();
    }

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let bytes = incoming.limited_body().await?;
        incoming.faults().unless(is_nothing(&bytes), "body", "this call takes none");
        Some(NoBody)
    }
}

/// A value that is an object in JSON. A derived struct by itself takes an array of its fields too, which would be a
/// second, undocumented way to say the same.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

/// A request's body, an object, as a value. Everything that is wrong in it is told by its path. Fields that the type does not know
/// are refused where the type says so.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: Checked<S>, S: Sync> Input<S> for JsonBody<T> {
    fn describe(operation: &mut Operation) {
        operation.takes("application/json", SchemaGenerator::subschema_for::<T>, true);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        let bytes = incoming.limited_body().await?;
        incoming.checked(|_, faults| value(&bytes, faults), shared).await.map(JsonBody)
    }
}

/// The same with its bytes, for a write that is known by them and its key.
#[derive(Clone, Debug)]
pub struct KeptBody<T>(pub T, pub Bytes);

impl<T: Checked<S>, S: Sync> Input<S> for KeptBody<T> {
    fn describe(operation: &mut Operation) {
        <JsonBody<T> as Input<S>>::describe(operation);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        let bytes = incoming.limited_body().await?;
        let value = incoming.checked(|_, faults| value(&bytes, faults), shared).await?;
        Some(KeptBody(value, bytes))
    }
}

/// The body of a call that may be made without one; none where it is empty.
#[derive(Clone, Debug)]
pub struct OptionalBody<T>(pub Option<T>);

impl<T: Checked<S>, S: Sync> Input<S> for OptionalBody<T> {
    fn describe(operation: &mut Operation) {
        operation.takes("application/json", SchemaGenerator::subschema_for::<T>, false);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        let bytes = incoming.limited_body().await?;
        if bytes.trim_ascii().is_empty() {
            return Some(OptionalBody(None));
        }
        let value = incoming.checked(|_, faults| value(&bytes, faults), shared).await?;
        Some(OptionalBody(Some(value)))
    }
}

impl<T> JsonBody<T> {
    /// Reads a text that is an object, as a body is read.
    ///
    /// # Errors
    /// `request_invalid`, naming everything that is not as expected.
    pub fn parse<S>(bytes: &[u8], shared: &S) -> Result<Self, ApiError>
    where
        T: Checked<S>,
    {
        let mut faults = Faults::default();
        let value: Option<T> = value(bytes, &mut faults);
        if let Some(value) = &value {
            value.check(shared, &mut faults);
        }
        let value = faults.none(value)?;
        Ok(JsonBody(value.expect("what could not be read has a fault")))
    }
}

/// Why a text cannot be read as a value.
enum Unread {
    /// It is no JSON that is taken.
    Whole(Fault),
    /// It is, and this is the first thing in it that is not as expected.
    InPart(Fault),
}

/// Reads a text that is an object, and takes down what is wrong with its form; then the value is made of the rest.
fn value<T: DeserializeOwned + JsonSchema>(bytes: &[u8], faults: &mut Faults) -> Option<T> {
    match parse(bytes) {
        Ok(value) => {
            faults.of_reading([]);
            Some(value)
        }
        Err(Unread::Whole(fault)) => {
            faults.of_reading([fault]);
            None
        }
        Err(Unread::InPart(first)) => {
            let (told, rest) = shape::faults::<T>(bytes, first);
            faults.of_reading(told);
            // A type may ask for more than its schema says.
            serde_json::from_value(rest?).map(|Object(value)| value).ok()
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    let whole = |message: String| Unread::Whole(Fault::new("body", message));
    // The JSON reader would find it too, but only where it is in a field that counts.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("not UTF-8: the first bad byte is number {}", error.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(whole("missing; expected an object".to_owned()));
    }
    if !depth_fits(bytes) {
        return Err(whole(RecordError::TooDeep.to_string()));
    }
    let not_json = |error| whole(format!("not JSON: {error}"));
    let mut reader = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // What is no JSON at all is told first. The reader's own kinds of error do not say it: it stops at the
        // first thing that is wrong, and calls some values that are only not the expected ones syntax errors.
        match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => not_json(error),
            Ok(IgnoredAny) => {
                let (path, cause) = (error.path().to_string(), error.inner().to_string());
                Unread::InPart(wrong::in_words("body", &path, &cause))
            }
        }
    })?;
    reader.end().map_err(not_json)?;
    Ok(value)
}
