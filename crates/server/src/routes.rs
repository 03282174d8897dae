//! Routes that say what they take and what they answer.
//!
//! A call is described by the types of its handler: what it extracts says what it takes, what it gives back says what it
//! answers. Only what no type can say is said beside it: the name, the sentence, the codes that it refuses with.
//! [`crate::openapi`] makes a document of it. Since a router is built from the same list, no route can be missing there.
//!
//! What this module must not do: know any call.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use hookit_contract::ErrorCode;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::input::{Describe, Incoming};
use crate::takes::Takes;
use crate::{Answer, ApiError, Object, method_not_allowed, not_found};

/// The header that a write is known by when it is asked for again.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a call takes and what it answers.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with `{id}` for what changes.
    pub path: String,
    /// Its name, unique in a document.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What else there is to know; may be empty.
    pub details: &'static str,
    /// Under what it is listed.
    pub group: &'static str,
    /// The kind of credential that it asks for, and what this must allow; none for a call that anybody may make.
    pub credential: Option<(&'static str, Vec<&'static str>)>,
    /// Schema of the id in the path.
    pub path_id: Option<SchemaOf>,
    /// The query parameters, as the fields of an object.
    pub query: Option<SchemaOf>,
    /// Headers beside the credential: name, what it is for, and whether there has to be one.
    pub headers: Vec<(&'static str, &'static str, bool)>,
    /// The body.
    pub body: Option<Content>,
    /// Whether there has to be one.
    pub body_required: bool,
    /// What is answered when all is well.
    pub answer: Option<Content>,
    /// The statuses that this answer comes with.
    pub statuses: BTreeSet<u16>,
    /// Headers of whatever is answered to who has the right credential, each an integer: name, and what is in it.
    pub answer_headers: &'static [(&'static str, &'static str)],
    /// What it refuses with, beside what every call may.
    pub refusals: BTreeSet<ErrorCode>,
    /// Other answers; of a status that is among them there is no refusal in the envelope.
    pub others: Vec<Other>,
}

/// An answer that the handler makes by itself, with its status.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// Its status.
    pub status: u16,
    /// When it is answered, in a sentence.
    pub said: &'static str,
    /// What is in it.
    pub content: Content,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// Its schema; for an answer in the envelope, that of `data`.
    pub schema: SchemaOf,
    /// True for what stands in the envelope of [`Answer`].
    pub enveloped: bool,
}

impl Operation {
    /// What any call may be refused with, for the request's head alone.
    pub const OF_THE_HEAD: [ErrorCode; 2] = [ErrorCode::RequestInvalid, ErrorCode::RequestHeaderTooLarge];

    /// What else any call may be refused with.
    pub const REFUSALS: [ErrorCode; 2] = [ErrorCode::Internal, ErrorCode::Unavailable];

    /// What a call that reads a body may be refused with for that.
    const OF_A_BODY: [ErrorCode; 3] =
        [ErrorCode::RequestTooLarge, ErrorCode::RequestTimeout, ErrorCode::RequestEncodingUnsupported];

    /// True for a call that reads a body, be it to see that there is none.
    pub(crate) fn has_a_body(&self) -> bool {
        self.refusals.contains(&ErrorCode::RequestTooLarge)
    }

    fn new(method: Method) -> Self {
        Operation {
            method,
            path: String::new(),
            name: "",
            summary: "",
            details: "",
            group: "",
            credential: None,
            path_id: None,
            query: None,
            headers: Vec::new(),
            body: None,
            body_required: false,
            answer: None,
            statuses: BTreeSet::from([200]),
            answer_headers: &[],
            refusals: [&Operation::OF_THE_HEAD[..], &Operation::REFUSALS].concat().into_iter().collect(),
            others: Vec::new(),
        }
    }

    pub(crate) fn takes(&mut self, media_type: &'static str, schema: SchemaOf, required: bool) {
        self.body = Some(Content { media_type, schema, enveloped: false });
        self.body_required = required;
        self.reads_a_body();
    }

    /// Says that it reads a body, which may be too large, or come too slowly.
    pub fn reads_a_body(&mut self) {
        self.refusals.extend(Operation::OF_A_BODY);
    }
}

/// Something that a handler gives back.
pub trait Output {
    /// Says what it answers when all is well.
    fn describe(operation: &mut Operation);
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> Output for Answer<T> {
    fn describe(operation: &mut Operation) {
        operation.answer = Some(Content {
            media_type: "application/json",
            schema: SchemaGenerator::subschema_for::<T>,
            enveloped: true,
        });
    }
}

impl<T: Output> Output for Result<T, ApiError> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

/// A response of its own making; what is in it is to be said by [`Call::answers`].
impl Output for axum::response::Response {
    fn describe(_: &mut Operation) {}
}

/// One call: a handler for a method, and its description.
#[must_use = "a call is reached once it is in a route"]
pub struct Call<S> {
    handler: Box<dyn FnOnce(Takes) -> MethodRouter<S>>,
    operation: Operation,
    guard: Option<Guard<S>>,
    is_lenient: bool,
}

/// Puts a call behind something that lets requests pass or not.
type Guard<S> = Box<dyn FnOnce(MethodRouter<S>) -> MethodRouter<S>>;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $filter:ident)*) => {$(
        $(#[$doc])*
        pub fn $name<H, A, S>(handler: H) -> Call<S>
        where
            H: Describe<A, S>,
            S: Clone + Send + Sync + 'static,
        {
            let mut operation = Operation::new(Method::$filter);
            H::describe(&mut operation);
            let handler = Box::new(|takes: Takes| {
                let answer = async move |State(shared): State<S>, request: Request| {
                    let (request, faults) = takes.looked_at(request).await;
                    handler.answer(Incoming::of(request, faults), shared).await
                };
                on(MethodFilter::$filter, answer)
            });
            Call { handler, operation, guard: None, is_lenient: false }
        }
    )*};
}

methods! {
    /// A call by GET.
    get GET
    /// A call by POST.
    post POST
    /// A call by PUT.
    put PUT
    /// A call by PATCH.
    patch PATCH
    /// A call by DELETE.
    delete DELETE
}

impl<S> Call<S> {
    /// Its name, by which a generated client has it, and a sentence that says what it does.
    pub fn named(mut self, name: &'static str, summary: &'static str) -> Self {
        (self.operation.name, self.operation.summary) = (name, summary);
        self
    }

    /// What else there is to know.
    pub fn details(mut self, details: &'static str) -> Self {
        self.operation.details = details;
        self
    }

    /// Answers 201 instead of 200.
    pub fn created(mut self) -> Self {
        self.operation.statuses = BTreeSet::from([201]);
        self
    }

    /// Answers 201 where something is new, else 200.
    pub fn created_or_not(mut self) -> Self {
        self.operation.statuses = BTreeSet::from([200, 201]);
        self
    }

    /// Answers 202 instead of 200.
    pub fn accepted(mut self) -> Self {
        self.operation.statuses = BTreeSet::from([202]);
        self
    }

    /// Answers 202 where it is not done yet, else 200.
    pub fn accepted_or_not(mut self) -> Self {
        self.operation.statuses = BTreeSet::from([200, 202]);
        self
    }

    /// Codes that it refuses with, beside those that follow from what it takes.
    pub fn refuses(mut self, codes: &[ErrorCode]) -> Self {
        self.operation.refusals.extend(codes);
        self
    }

    /// What its credential must allow.
    pub fn needs(mut self, scope: &'static str) -> Self {
        self.operation.credential.get_or_insert_default().1.push(scope);
        self
    }

    /// Puts it behind a layer that lets requests pass or not. Whoever does not pass learns nothing of what the call expects.
    pub fn behind(mut self, guard: impl FnOnce(MethodRouter<S>) -> MethodRouter<S> + 'static) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// Passes over parameters, an `Idempotency-Key`, a body and the encoding of one that it does not know, where every other call
    /// refuses them: for what strangers and their machines ask, who add such things and are not to hear that something is wrong
    /// here.
    pub fn lenient(mut self) -> Self {
        self.is_lenient = true;
        self
    }

    /// A header that it reads.
    pub fn header(mut self, name: &'static str, what_for: &'static str, is_required: bool) -> Self {
        self.operation.headers.push((name, what_for, is_required));
        self
    }

    /// What is in a body that the handler reads by itself.
    pub fn takes<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        self.operation.takes(media_type, SchemaGenerator::subschema_for::<T>, true);
        self
    }

    /// What is in an answer that the handler makes by itself.
    pub fn answers<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.operation.answer = Some(Content { media_type, schema, enveloped: false });
        self
    }

    /// What else the handler answers by itself, in JSON, and when.
    pub fn also<T: JsonSchema>(mut self, status: u16, said: &'static str) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        let content = Content { media_type: "application/json", schema, enveloped: false };
        self.operation.others.push(Other { status, said, content });
        self
    }
}

/// A router with the description of everything in it.
#[must_use = "routes are reached once they are served"]
pub struct Routes<S = ()> {
    router: Router<S>,
    operations: Vec<Operation>,
    group: &'static str,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet; those to come are listed under this heading.
    pub fn new(group: &'static str) -> Self {
        Routes { router: Router::new(), operations: Vec::new(), group }
    }

    /// Adds a call. A path may be given again for another method.
    pub fn route(mut self, path: &str, call: Call<S>) -> Self {
        let Call { handler, mut operation, guard, is_lenient } = call;
        let takes = if is_lenient { Takes::ANYTHING } else { Takes::of(&operation) };
        if is_lenient {
            operation.refusals.remove(&ErrorCode::RequestEncodingUnsupported);
        }
        let mut handler = handler(takes);
        if let Some(guard) = guard {
            handler = guard(handler);
        }
        path.clone_into(&mut operation.path);
        operation.group = self.group;
        self.operations.push(operation);
        self.router = self.router.route(path, handler);
        self
    }

    /// Adds these.
    pub fn merge(mut self, other: Routes<S>) -> Self {
        self.operations.extend(other.operations);
        self.router = self.router.merge(other.router);
        self
    }

    /// Puts all of them under a path.
    pub fn under(mut self, prefix: &str) -> Self {
        for operation in &mut self.operations {
            operation.path.insert_str(0, prefix);
        }
        self.router = Router::new().nest(prefix, self.router);
        self
    }

    /// The same behind a layer, and with them what there is not: another path under theirs, another method.
    pub fn under_behind(mut self, prefix: &str, guard: impl Fn(Router<S>) -> Router<S>) -> Self {
        self.router = guard(self.router.fallback(not_found).method_not_allowed_fallback(method_not_allowed));
        let mut all = self.under(prefix);
        // Of what is under the path, this alone is not reached through it.
        let alone = Router::new().route(&format!("{prefix}/"), any(not_found));
        all.router = all.router.merge(guard(alone));
        all
    }

    /// Says that all of them ask for a credential of this kind, and what they refuse with who has not the right one.
    /// That they do is up to a layer or the handlers.
    pub fn guarded(mut self, credential: &'static str, refusals: &[ErrorCode]) -> Self {
        for operation in &mut self.operations {
            operation.credential.get_or_insert_default().0 = credential;
            operation.refusals.extend(refusals);
        }
        self
    }

    /// Says that all of them answer with these headers, each an integer, who has the right credential. That they do is up to a
    /// layer.
    pub fn answering(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        for operation in &mut self.operations {
            operation.answer_headers = headers;
        }
        self
    }

    /// Changes the router and nothing that is described: layers.
    pub fn map(mut self, change: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        self.router = change(self.router);
        self
    }

    /// Gives the handlers what they share.
    pub fn with_state<S2: Clone + Send + Sync + 'static>(self, state: S) -> Routes<S2> {
        let Routes { router, operations, group } = self;
        Routes { router: router.with_state(state), operations, group }
    }

    /// The router, and what is in it.
    pub fn into_parts(self) -> (Router<S>, Vec<Operation>) {
        (self.router, self.operations)
    }
}
