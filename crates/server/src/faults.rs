//! What is wrong with what was sent, all of it at once: for each fault the path of the field and what was expected.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ApiError;

/// Faults that are told of one request, as many as of a record. Whoever has more has another problem than the fiftieth.
pub(crate) const FAULTS_MAX: usize = hookit_contract::RECORD_FAULTS_MAX;

/// Characters of a path that are told: a field that nobody knows may have a name of any length.
const PATH_MAX: usize = 100;

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
        Fault { path: shortened(path.into(), PATH_MAX), message: message.into() }
    }
}

/// A sender's words, given back to it so far.
pub(crate) fn shortened(mut words: String, chars_max: usize) -> String {
    if let Some((end, _)) = words.char_indices().nth(chars_max) {
        words.truncate(end);
        words.push('…');
    }
    words
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        ApiError::faulty(vec![fault])
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl From<Vec<Fault>> for Faults {
    fn from(faults: Vec<Fault>) -> Self {
        Faults(faults)
    }
}

impl Faults {
    /// Takes one down, unless it is there or there are very many already.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let fault = Fault::new(path, message);
        if self.0.len() < FAULTS_MAX && !self.0.contains(&fault) {
            self.0.push(fault);
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
