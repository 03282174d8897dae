//! What is wrong with what was sent, all of it at once: for each fault the path of the field and what was expected.

use hookit_contract::ErrorCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{ApiError, wrong};

/// Faults that are told of one request, as many as of a record. Whoever has more has another problem than the fiftieth.
pub(crate) const FAULTS_MAX: usize = hookit_contract::RECORD_FAULTS_MAX;

/// Characters of a path that are told: a field that nobody knows may have a name of any length.
const PATH_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The field, as in `brands[0].id`; a parameter's or a header's name; `id` in the path; `body` or `head` for the whole of it.
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
        ApiError::about(ErrorCode::RequestInvalid, fault)
    }
}

/// Faults as they are found, of one part of a request after the other.
#[derive(Debug, Default)]
pub struct Faults {
    told: Vec<Fault>,
    /// What the first of them is answered with.
    code: Option<ErrorCode>,
    /// What could not be read of the part that is being looked at.
    unread: Vec<String>,
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(several: I) -> Self {
        let mut faults = Faults::default();
        several.into_iter().for_each(|fault| faults.push(ErrorCode::RequestInvalid, fault));
        faults
    }
}

impl Faults {
    /// Takes one down, unless it is there, or there are very many already, or that field could not be read: what stands in its
    /// place is not what was sent.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add_as(ErrorCode::RequestInvalid, path, message);
    }

    /// The same of one that has a code of its own, which the request is answered with where it is the first.
    pub fn add_as(&mut self, code: ErrorCode, path: impl Into<String>, message: impl Into<String>) {
        let fault = Fault::new(path, message);
        if !self.unread.iter().any(|unread| has(unread, &fault.path)) {
            self.push(code, fault);
        }
    }

    /// Takes down what a refusal says.
    pub fn add_refusal(&mut self, refusal: &ApiError) {
        for Fault { path, message } in refusal.details() {
            self.add_as(refusal.code(), path, message);
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

    /// Whether this field was read, and all that is in it. Who looks at one field for the sake of another asks first, so that
    /// nothing is told that may not be so.
    pub fn has_read(&self, path: &str) -> bool {
        !self.unread.iter().any(|unread| has(unread, path) || has(path, unread))
    }

    /// The values, where there is no fault.
    ///
    /// # Errors
    /// `request_invalid`, or the code of the first, with all of them.
    pub fn none<T>(self, values: T) -> Result<T, ApiError> {
        match self.code {
            None => Ok(values),
            Some(code) => Err(ApiError::faulty(code, self.told)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Takes down what is wrong with a part of the request in its form, and begins to look at what it says.
    pub(crate) fn of_reading(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.unread.clear();
        for fault in faults {
            // One with dots in its name looks like a part of another.
            if !wrong::is_of_unknown(&fault.message) {
                self.unread.push(fault.path.clone());
            }
            self.push(ErrorCode::RequestInvalid, fault);
        }
    }

    fn push(&mut self, code: ErrorCode, fault: Fault) {
        if self.told.len() < FAULTS_MAX && !self.told.contains(&fault) {
            self.code.get_or_insert(code);
            self.told.push(fault);
        }
    }
}

/// Whether the path is this field's, or one in it.
fn has(field: &str, path: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_judged_by_what_it_says() {
        let mut faults = Faults::default();
        let unread = ["filter.since", "brands[1].id", "status"];
        faults.of_reading(unread.map(|path| Fault::new(path, "unreadable")));
        for (path, is_read) in [
            ("status", false),
            ("statuses", true),
            ("brands", false),
            ("brands[1]", false),
            ("brands[1].id.x", false),
            ("brands[10]", true),
            ("filter", false),
            ("filter.until", true),
        ] {
            assert_eq!(faults.has_read(path), is_read, "{path}");
        }
        for path in ["status", "status.x", "brands[1].id[0]", "filter", "brands[1]", "statuses"] {
            faults.add(path, "wrong");
        }
        let told = faults.none(()).unwrap_err();
        let paths: Vec<_> = told.details().iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, [&unread[..], &["filter", "brands[1]", "statuses"]].concat());
    }

    #[test]
    fn the_code_is_that_of_the_first() {
        let told = |first, second| {
            let mut faults = Faults::default();
            faults.add_as(first, "a", "x");
            faults.add_as(second, "b", "y");
            let refusal = faults.none(()).unwrap_err();
            (refusal.code(), refusal.message().to_owned())
        };
        let message = "a: x (and 1 more in details)".to_owned();
        let (invalid, range) = (ErrorCode::RequestInvalid, ErrorCode::RequestInvalidRange);
        assert_eq!(told(invalid, range), (invalid, message.clone()));
        assert_eq!(told(range, invalid), (range, message));
    }
}
