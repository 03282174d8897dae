//! What is wrong with what was sent, all of it at once: for each fault the path of the field and what was expected.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ApiError;

/// Faults that are told of one request. Whoever has more has another problem than the fiftieth.
pub(crate) const FAULTS_MAX: usize = 50;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The field, as in `brands[0].id`; `body` for the whole.
    pub path: String,
    /// What was expected, or what is wrong with it.
    pub message: String,
}

impl Fault {
    /// This is wrong with that field.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { path: path.into(), message: message.into() }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        ApiError::faulty(vec![fault])
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Takes one down, unless there are very many already.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault::new(path, message));
        }
    }

    /// Takes one down where this is not so.
    pub fn unless(&mut self, is_well: bool, path: impl Into<String>, message: impl Into<String>) {
        if !is_well {
            self.add(path, message);
        }
    }

    /// The value, or none and its fault is taken down.
    pub fn of<T>(&mut self, checked: Result<T, Fault>) -> Option<T> {
        checked.map_err(|Fault { path, message }| self.add(path, message)).ok()
    }

    /// The values, where there is no fault.
    ///
    /// # Errors
    /// `request_invalid` with all of them.
    pub fn none<T>(self, values: T) -> Result<T, ApiError> {
        if self.0.is_empty() { Ok(values) } else { Err(ApiError::faulty(self.0)) }
    }
}
