//! Query parameters as a value, with everything that is wrong told by name and at once.
//!
//! What a parameter may be is said once, in the type: its bounds are those of its schema, which the description of the call
//! shows. What no schema can say, such as which parameters go together, is [`Parameters::check`]'s.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Query};
use http::Uri;
use http::request::Parts;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::faults::{FAULTS_MAX, Fault, Faults};
use crate::{ApiError, shape, wrong};

/// What a call takes as query parameters.
pub trait Parameters: DeserializeOwned + JsonSchema + 'static {
    /// Takes down what is wrong beyond what the schema says.
    fn check(&self, faults: &mut Faults) {
        let _ = faults;
    }
}

/// A request's query parameters as a value. The error names each parameter that is not as expected.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: Parameters, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = query::<T>(&parts.uri);
        let mut told = match &read {
            Ok(_) => Vec::new(),
            Err(first) => faults_of_reading::<T>(&parts.uri, first.clone()),
        };
        let schema = schema_of::<T>();
        for (name, text) in pairs(&parts.uri) {
            let is_new = |fault: &Fault, told: &[Fault]| told.iter().all(|known| known.path != fault.path);
            if let Some(fault) = shape::out_of_bounds(&schema["properties"][&name], &name, &text)
                && is_new(&fault, &told)
                && told.len() < FAULTS_MAX
            {
                told.push(fault);
            }
        }
        let mut faults = Faults::from(told);
        match read {
            Ok(value) => {
                value.check(&mut faults);
                faults.none(Params(value))
            }
            Err(first) => Err(faults.none(()).err().unwrap_or_else(|| first.into())),
        }
    }
}

/// The schema of a type, made once: it is asked for with every request.
fn schema_of<T: Parameters>() -> Arc<Value> {
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
    url::form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Reads the query as a value, or says where that stopped.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    Query::try_from_uri(uri).map(|Query(value)| value).map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        let (name, text) = text.split_once(": ").unwrap_or(("", text));
        wrong::in_words("query", name, text)
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
