//! Writes verdicts into the store, many in a commit, and says which are on disk.
//!
//! One pass at a time. What could not be written comes back, and goes into the next pass with whatever has gathered
//! since; so a verdict that the store cannot take holds up its own lanes and no others.

use std::sync::Arc;

use hookit_contract::DeliverySeq;
use hookit_store::Error;
use hookit_store::platform::Attempt;

use crate::Shared;
use crate::dispatcher::STORE_PAUSE;

/// Verdicts that are handed to the store at a time.
const ATTEMPTS_MAX: usize = 256;

/// What is to be written of deliveries.
#[derive(Default)]
pub(crate) struct Verdicts {
    /// Attempts that ended.
    pub(crate) attempts: Vec<Attempt>,
    /// Deliveries that end without another attempt.
    pub(crate) given_up: Vec<DeliverySeq>,
}

impl Verdicts {
    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.given_up.is_empty()
    }

    pub(crate) fn append(&mut self, mut other: Verdicts) {
        self.attempts.append(&mut other.attempts);
        self.given_up.append(&mut other.given_up);
    }
}

/// What a pass has come to.
#[derive(Default)]
pub(crate) struct Written {
    /// Deliveries whose verdicts are on disk.
    pub(crate) seqs: Vec<DeliverySeq>,
    /// What could not be written.
    pub(crate) failed: Verdicts,
}

/// One pass. Takes a moment longer where something failed, so that the store is not asked without end.
pub(crate) async fn write(shared: Arc<Shared>, verdicts: Verdicts) -> Written {
    let Verdicts { attempts, given_up } = verdicts;
    let record = |some: Vec<Attempt>| shared.store.record_attempts(some, shared.clock.now());
    let mut written = write_attempts(attempts, record).await;
    if !given_up.is_empty() {
        match shared.store.give_up(given_up.clone(), shared.clock.now()).await {
            Ok(()) => written.seqs.extend(given_up),
            Err(error) => {
                complain(&error, given_up.len());
                written.failed.given_up = given_up;
            }
        }
    }
    if !written.failed.is_empty() {
        tokio::time::sleep(STORE_PAUSE).await;
    }
    written
}

/// Writes attempts, many at a time. Where the store fails on many, each goes by itself; where it is only busy, that
/// would be of no use.
async fn write_attempts<F>(attempts: Vec<Attempt>, mut record: impl FnMut(Vec<Attempt>) -> F) -> Written
where
    F: Future<Output = Result<(), Error>>,
{
    let mut written = Written::default();
    for chunk in attempts.chunks(ATTEMPTS_MAX) {
        let parts = match record(chunk.to_vec()).await {
            Ok(()) => {
                written.seqs.extend(chunk.iter().map(|attempt| attempt.seq));
                continue;
            }
            Err(error) => {
                complain(&error, chunk.len());
                if chunk.len() == 1 || matches!(error, Error::Busy) {
                    written.failed.attempts.extend_from_slice(chunk);
                    continue;
                }
                chunk
            }
        };
        for attempt in parts {
            match record(vec![attempt.clone()]).await {
                Ok(()) => written.seqs.push(attempt.seq),
                Err(error) => {
                    complain(&error, 1);
                    written.failed.attempts.push(attempt.clone());
                }
            }
        }
    }
    written
}

fn complain(error: &Error, verdicts: usize) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, verdicts, "verdicts could not be written; trying again");
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use bytes::Bytes;
    use hookit_contract::{AttemptOutcome, Timestamp};
    use hookit_store::platform::{Phases, Verdict};

    use super::*;

    fn attempt(seq: i64) -> Attempt {
        Attempt {
            seq: DeliverySeq(seq),
            delivery_id: None,
            number: 1,
            started_at: Timestamp::from_millis(0),
            duration: Duration::ZERO,
            phases: Phases::default(),
            outcome: AttemptOutcome::Acknowledged,
            status: Some(200),
            address: None,
            answer: Bytes::new(),
            error: None,
            verdict: Verdict::Delivered,
        }
    }

    #[tokio::test]
    async fn a_verdict_that_cannot_be_written_stops_no_other() {
        let record = async |some: Vec<Attempt>| {
            if some.iter().any(|attempt| attempt.seq == DeliverySeq(300)) {
                return Err(Error::Corrupt("this one".to_owned()));
            }
            Ok(())
        };
        let written = write_attempts((1..=600).map(attempt).collect(), record).await;
        assert_eq!(written.seqs, (1..=600).filter(|n| *n != 300).map(DeliverySeq).collect::<Vec<_>>());
        let failed: Vec<_> = written.failed.attempts.iter().map(|attempt| attempt.seq).collect();
        assert_eq!(failed, [DeliverySeq(300)]);
    }

    #[tokio::test]
    async fn a_busy_store_is_asked_once_and_everything_comes_back() {
        let asked = RefCell::new(0);
        let record = async |_: Vec<Attempt>| {
            *asked.borrow_mut() += 1;
            Err(Error::Busy)
        };
        let written = write_attempts((1..=100).map(attempt).collect(), record).await;
        assert!(written.seqs.is_empty());
        assert_eq!((written.failed.attempts.len(), *asked.borrow()), (100, 1));
    }
}
