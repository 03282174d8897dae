//! Who has to hear of a change, worked out from the sentences of the contract and from nothing else: for each brand of
//! the order, each partner of its business that registered for the event type hears of it once, by its registration
//! that names the most.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Change, Registration, Wishes};

/// One thing that somebody has to hear: registration, endpoint, brand, order, version.
pub(super) type Due = (i64, i64, i64, i64, i64);

/// The registrations as they stand.
#[derive(Debug, Default)]
pub(super) struct Book {
    by_webhook: BTreeMap<i64, Registration>,
    /// Those that were removed, as they were.
    former: BTreeMap<i64, Registration>,
    endpoints: BTreeSet<i64>,
}

impl Book {
    pub(super) fn put(&mut self, registration: Registration) {
        self.endpoints.insert(registration.endpoint);
        self.by_webhook.insert(registration.webhook, registration);
    }

    /// From here on nobody hears of anything by this one.
    pub(super) fn remove(&mut self, webhook: i64) {
        if let Some(registration) = self.by_webhook.remove(&webhook) {
            self.former.insert(webhook, registration);
        }
    }

    /// Whose a registration is, or was.
    pub(super) fn partner(&self, webhook: i64) -> Option<usize> {
        let present = self.by_webhook.get(&webhook).map(|registration| registration.partner);
        present.or_else(|| self.former.get(&webhook).map(|registration| registration.partner))
    }

    /// Every endpoint that there ever was.
    pub(super) fn endpoints(&self) -> Vec<i64> {
        self.endpoints.iter().copied().collect()
    }

    /// How the registrations of an endpoint are to be served.
    pub(super) fn wishes(&self, endpoint: i64) -> impl Iterator<Item = Wishes> {
        let there = self.by_webhook.values().filter(move |registration| registration.endpoint == endpoint);
        there.map(|registration| registration.wishes)
    }

    /// How a registration is to be served, or was when it was removed.
    pub(super) fn wishes_of(&self, webhook: i64) -> Option<Wishes> {
        self.by_webhook
            .get(&webhook)
            .or_else(|| self.former.get(&webhook))
            .map(|registration| registration.wishes)
    }

    pub(super) fn dues(&self, change: &Change) -> Vec<Due> {
        let mut dues = Vec::new();
        for &brand in &change.brands {
            // The most specific one of each partner, so far: how much it names, and which it is.
            let mut best: BTreeMap<usize, (u8, &Registration)> = BTreeMap::new();
            for registration in self.by_webhook.values() {
                let fits = registration.business == change.business
                    && registration.event_type == change.event_type
                    && registration.brand.is_none_or(|b| b == brand)
                    && registration.branch.is_none_or(|b| b == change.branch);
                let names =
                    2 * u8::from(registration.brand.is_some()) + u8::from(registration.branch.is_some());
                if fits && best.get(&registration.partner).is_none_or(|(most, _)| names > *most) {
                    best.insert(registration.partner, (names, registration));
                }
            }
            dues.extend(
                best.values().map(|(_, r)| (r.webhook, r.endpoint, brand, change.order, change.version)),
            );
        }
        dues
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn registration(webhook: i64, partner: usize, brand: Option<i64>, branch: Option<i64>) -> Registration {
        Registration {
            webhook,
            partner,
            business: 1,
            endpoint: webhook * 10,
            brand,
            branch,
            event_type: "created",
            wishes: Wishes::default(),
        }
    }

    #[test]
    fn each_partner_hears_of_each_brand_once_by_its_most_specific_registration() {
        let mut book = Book::default();
        book.put(registration(1, 0, None, None));
        book.put(registration(2, 0, Some(5), None));
        book.put(registration(3, 0, None, Some(7)));
        book.put(registration(4, 1, Some(6), Some(8)));
        book.put(Registration { business: 2, ..registration(5, 2, None, None) });
        book.put(Registration { event_type: "status", ..registration(6, 1, None, None) });
        let change = Change {
            order: 9,
            version: 3,
            business: 1,
            branch: 7,
            brands: vec![5, 6],
            event_type: "created",
            record: Bytes::new(),
        };
        assert_eq!(book.dues(&change), [(2, 20, 5, 9, 3), (3, 30, 6, 9, 3)]);
        let elsewhere = Change { branch: 8, ..change };
        assert_eq!(book.dues(&elsewhere), [(2, 20, 5, 9, 3), (1, 10, 6, 9, 3), (4, 40, 6, 9, 3)]);
    }
}
