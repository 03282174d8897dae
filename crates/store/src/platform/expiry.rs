//! How far a pass over what is old has come.

/// How far a pass over what is old has come; the default is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Among the events.
    Events {
        /// Behind this one.
        after: i64,
    },
    /// In the audit log.
    Audit {
        /// Behind this one.
        after: i64,
    },
    /// Among the deliveries.
    Deliveries {
        /// Behind this one.
        after: i64,
    },
}

impl Default for Expiry {
    fn default() -> Self {
        Expiry::Events { after: 0 }
    }
}
