//! Query parameters as a value, with everything that is wrong told by name and at once.
//!
//! What a parameter may be is said once, in the type: its bounds are those of its schema, which the description of the call
//! shows. What no schema can say, such as which parameters go together, is [`Checked::check`]'s.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Query;
use http::Uri;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use crate::faults::{FAULTS_MAX, Fault, Faults};
use crate::input::{Checked, Incoming, Input};
use crate::routes::Operation;
use crate::{shape, wrong};

/// A request's query parameters as a value. Each parameter that is not as expected is told by its name.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: Checked<S>, S: Sync> Input<S> for Params<T> {
    fn describe(operation: &mut Operation) {
        operation.query = Some(T::json_schema);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        incoming.checked(|parts, faults| read(&parts.uri, faults), shared).await.map(Params)
    }
}

/// Reads the query as a value, and takes down what is wrong with its form; then the value is made of the rest.
fn read<T: DeserializeOwned + JsonSchema + 'static>(uri: &Uri, faults: &mut Faults) -> Option<T> {
    let read = query::<T>(uri);
    let mut told = match &read {
        Ok(_) => Vec::new(),
        Err(first) => faults_of_reading::<T>(uri, first.clone()),
    };
    let schema = schema_of::<T>();
    let mut seen = HashSet::new();
    for (name, text) in pairs(uri) {
        let of_name = &schema["properties"][&name];
        let is_repeated = of_name.is_object() && !seen.insert(name.clone());
        let repeated = || is_repeated.then(|| Fault::new(&*name, wrong::REPEATED));
        let fault = repeated().or_else(|| shape::out_of_bounds(of_name, &name, &text));
        if let Some(fault) = fault
            && told.iter().all(|known| known.path != fault.path)
            && told.len() < FAULTS_MAX
        {
            told.push(fault);
        }
    }
    let value = read.ok().or_else(|| {
        let is_read = |name: &str| {
            schema["properties"][name].is_object() && told.iter().all(|fault| fault.path != name)
        };
        let rest = pairs(uri).filter(|(name, _)| is_read(name));
        let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
        query(&format!("/?{rest}").parse().ok()?).ok()
    });
    faults.of_reading(told);
    value
}

/// The schema of a type, made once: it is asked for with every request.
fn schema_of<T: JsonSchema + 'static>() -> Arc<Value> {
    static MADE: Mutex<Option<HashMap<TypeId, Arc<Value>>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        Arc::new(settings.into_generator().into_root_schema_for::<T>().to_value())
    };
    made.get_or_insert_default().entry(TypeId::of::<T>()).or_insert_with(make).clone()
}

/// The parameters of a request, as they were sent.
pub(crate) fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let query = uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Reads the query as a value, or says where that stopped.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    Query::try_from_uri(uri).map(|Query(value)| value).map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        let (name, text) = text.split_once(": ").unwrap_or(("", text));
        let Fault { path, message } = wrong::in_words("query", name, text);
        let unknown =
            message.strip_prefix(wrong::UNKNOWN).map(|known| format!("{}{known}", wrong::UNKNOWN_PARAMETER));
        Fault { path, message: unknown.unwrap_or(message) }
    })
}

/// The faults of a query, first the one at which its reading stopped: each parameter is read by itself.
pub(crate) fn faults_of_reading<T: DeserializeOwned>(uri: &Uri, first: Fault) -> Vec<Fault> {
    let alone = |parameter: &str| query::<T>(&format!("/?{parameter}").parse().ok()?).err();
    let each = uri.query().unwrap_or_default().split('&').filter_map(alone);
    let mut faults = vec![first];
    for fault in each {
        // By itself it may miss another one.
        let is_new = fault.message != wrong::MISSING && faults.iter().all(|known| known.path != fault.path);
        if is_new && faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }
    faults
}
