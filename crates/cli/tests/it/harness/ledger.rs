//! What was acknowledged to the producers, and the comparison of it with what arrived.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use hookit_contract::WebhookSecret;
use hookit_sim::audit::Auditor;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::until;

/// Every acknowledged change, as the record that stood in the answer. Order → version → record.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    records: BTreeMap<i64, BTreeMap<i64, Bytes>>,
    acknowledgements: u64,
    unanswered: u64,
}

#[derive(Deserialize)]
struct Head {
    id: i64,
    version: i64,
}

#[derive(Deserialize)]
struct Orders<'a> {
    #[serde(borrow)]
    orders: Vec<&'a RawValue>,
}

/// A delivery as a receiver has it.
pub(crate) struct Arrival {
    pub(crate) event_id: String,
    pub(crate) body: Bytes,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("a broken promise was found while this was written")
    }

    /// Writes down an acknowledged change. The one who makes it is the only one to change the order, so each change
    /// is the next version, or the present one where nothing was to be changed.
    pub(crate) fn acknowledged(&self, record: Bytes) {
        let head: Head = serde_json::from_slice(&record).expect("a record has id and version");
        let mut entries = self.entries();
        entries.acknowledgements += 1;
        let versions = entries.records.entry(head.id).or_default();
        let last = versions.last_key_value().map_or(0, |(version, _)| *version);
        if head.version == last {
            assert_eq!(versions[&last], record, "order {}: another record, and the same version", head.id);
        } else {
            assert_eq!(head.version, last + 1, "order {}: the version after {last}", head.id);
            versions.insert(head.version, record);
        }
    }

    /// Writes down that a change was posted and its answer never came, so that it is posted again.
    pub(crate) fn unanswered(&self) {
        self.entries().unanswered += 1;
    }

    /// How many changes had to be posted more than once.
    pub(crate) fn posted_again(&self) -> u64 {
        self.entries().unanswered
    }

    /// How many changes were acknowledged.
    pub(crate) fn acknowledgements(&self) -> u64 {
        self.entries().acknowledgements
    }

    /// Waits until so many changes were acknowledged.
    pub(crate) async fn reaches(&self, acknowledgements: u64) {
        until("acknowledgements", async || (self.acknowledgements() >= acknowledgements).then_some(())).await;
    }

    /// The last version of each order.
    pub(crate) fn last_versions(&self) -> Vec<(i64, i64)> {
        let entries = self.entries();
        let last = |versions: &BTreeMap<i64, Bytes>| versions.last_key_value().map(|(version, _)| *version);
        entries
            .records
            .iter()
            .map(|(order, versions)| (*order, last(versions).expect("version 1 at least")))
            .collect()
    }

    /// Every acknowledged change: order, version, record.
    pub(crate) fn records(&self) -> Vec<(i64, i64, Bytes)> {
        let entries = self.entries();
        let of = |(order, versions): (&i64, &BTreeMap<i64, Bytes>)| {
            versions.iter().map(|(version, record)| (*order, *version, record.clone())).collect::<Vec<_>>()
        };
        entries.records.iter().flat_map(of).collect()
    }

    pub(crate) fn orders(&self) -> usize {
        self.entries().records.len()
    }

    /// Checks what a receiver got of it: everything, each order's in order, repeats with the same bytes, and each
    /// record byte for byte the one that was acknowledged.
    pub(crate) fn assert_arrived(&self, arrivals: &[Arrival]) -> Auditor {
        let mut auditor = Auditor::of(arrivals.iter().map(|a| (a.event_id.as_str(), &a.body[..])));
        auditor.expect_versions(self.last_versions());
        auditor.assert_clean();
        let mut arrived: HashSet<&str> = HashSet::new();
        for arrival in arrivals {
            let envelope: Orders<'_> =
                serde_json::from_slice(&arrival.body).expect("the auditor has read it");
            arrived.extend(envelope.orders.into_iter().map(RawValue::get));
        }
        let entries = self.entries();
        for (order, versions) in &entries.records {
            for (version, record) in versions {
                let record = std::str::from_utf8(record).expect("JSON is text");
                assert!(arrived.contains(record), "order {order}: version {version} came with other bytes");
            }
        }
        let acknowledged: usize = entries.records.values().map(BTreeMap::len).sum();
        assert_eq!(arrived.len(), acknowledged, "records that nobody was told of");
        auditor
    }
}

/// What a scripted endpoint received, each with its signature checked.
pub(crate) fn arrivals(endpoint: &hookit_sim::endpoints::ScriptedEndpoint, secret: &str) -> Vec<Arrival> {
    let secret = WebhookSecret::new(secret.as_bytes());
    let requests = endpoint.requests();
    for request in &requests {
        let event_id = request.event_id();
        assert_eq!(secret.verify(&request.body, request.signature().as_bytes()), Ok(()), "{event_id}");
    }
    requests.into_iter().map(|r| Arrival { event_id: r.event_id().to_owned(), body: r.body }).collect()
}
