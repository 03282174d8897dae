//! How endpoints are to be served: of all registrations of a URL the strictest counts, and only where each of them does
//! without it there is no order. The platform hears of a change a little later, so for a moment both hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{Auditor, Rules};

/// Requests of an endpoint whose beginnings are remembered: enough to find a rate that is exceeded a little.
const BEGINNINGS: usize = 64;

/// How an endpoint is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) unordered: bool,
    in_flight_max: Option<usize>,
    rate_per_second_max: Option<i64>,
}

#[derive(Debug)]
struct Agreed {
    tick: u64,
    service: Service,
    /// Since when the platform knows.
    told_at: Option<i64>,
}

/// How all endpoints are to be served.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// For each endpoint what was agreed, oldest first.
    agreed: BTreeMap<i64, Vec<Agreed>>,
    /// Endpoints that did without order once: what was sent then may arrive later.
    were_unordered: BTreeSet<i64>,
    /// When it was decided on what went out last to an endpoint, in the order of times. Since the process began, or the
    /// clock was set forward.
    begun: BTreeMap<i64, Vec<i64>>,
    counted_from: i64,
}

impl Services {
    /// What was agreed at some moment from this one on, or what the platform may have taken to be so.
    pub(super) fn since(&self, endpoint: i64, moment: i64) -> impl Iterator<Item = Service> + Clone {
        let all = self.agreed.get(&endpoint).map_or(&[][..], Vec::as_slice);
        let is_over = move |i: usize| {
            all[i + 1..].iter().any(|next| next.told_at.is_some_and(|told_at| told_at < moment))
        };
        all.iter().enumerate().filter(move |(i, _)| !is_over(*i)).map(|(_, agreed)| agreed.service)
    }

    pub(super) fn is_unordered(&self, endpoint: i64, since: i64) -> bool {
        self.since(endpoint, since).any(|service| service.unordered)
    }

    pub(super) fn was_unordered(&self, endpoint: i64) -> bool {
        self.were_unordered.contains(&endpoint)
    }

    /// The most requests that could be under way at some moment from this one on.
    pub(super) fn in_flight_max(&self, endpoint: i64, since: i64, rules: &Rules) -> usize {
        let max = |service: Service| service.in_flight_max.unwrap_or(rules.in_flight_per_endpoint_max);
        self.since(endpoint, since).map(max).max().unwrap_or(rules.in_flight_per_endpoint_max)
    }

    /// The room that it certainly has, where it may begin as fast as it likes.
    pub(super) fn room(&self, endpoint: i64, now: i64, rules: &Rules) -> Option<usize> {
        let all = self.since(endpoint, now);
        if all.clone().any(|service| service.rate_per_second_max.is_some()) {
            return None;
        }
        let min = all.map(|service| service.in_flight_max.unwrap_or(rules.in_flight_per_endpoint_max)).min();
        Some(min.unwrap_or(rules.in_flight_per_endpoint_max))
    }

    pub(super) fn told(&mut self, tick: u64, now: i64) {
        for agreed in self.agreed.values_mut().flatten().filter(|agreed| agreed.tick <= tick) {
            agreed.told_at.get_or_insert(now);
        }
    }

    /// Ticks of which the platform has not been told.
    pub(super) fn untold(&self) -> impl Iterator<Item = u64> {
        let all = self.agreed.values().flatten();
        all.filter(|agreed| agreed.told_at.is_none()).map(|agreed| agreed.tick)
    }

    /// What went out before counts no more.
    pub(super) fn begin_anew(&mut self, now: i64) {
        self.begun.clear();
        self.counted_from = now;
    }

    /// A request was decided on at a moment and goes out: how many have begun in how many milliseconds, where that is too much.
    fn begins(&mut self, endpoint: i64, decided_at: i64) -> Option<(i64, i64)> {
        if decided_at < self.counted_from {
            return None;
        }
        let begun = self.begun.entry(endpoint).or_default();
        let place = begun.partition_point(|&at| at <= decided_at);
        begun.insert(place, decided_at);
        let begun = self.begun[&endpoint].clone();
        let too_many = begun[..=place].iter().enumerate().find_map(|(i, &from)| {
            let rates = self.since(endpoint, from).map(|service| service.rate_per_second_max);
            let rate = rates.collect::<Option<Vec<i64>>>()?.into_iter().max()?;
            begun[place..].iter().enumerate().find_map(|(j, &to)| {
                let count = (place + j - i + 1) as i64;
                (count * 1_000 > rate * (1_000 + to - from)).then_some((count, to - from))
            })
        });
        if begun.len() > BEGINNINGS
            && let Some(begun) = self.begun.get_mut(&endpoint)
        {
            begun.remove(0);
        }
        too_many
    }
}

impl Auditor {
    /// Registrations have changed: what the endpoints are to be served like follows from those that there are.
    pub(super) fn agreed(&mut self, tick: u64) {
        for endpoint in self.book.endpoints() {
            let there: Vec<_> = self.book.wishes(endpoint).collect();
            let service = Service {
                unordered: !there.is_empty() && there.iter().all(|wishes| wishes.unordered),
                in_flight_max: there.iter().filter_map(|wishes| wishes.in_flight_max).min(),
                rate_per_second_max: there.iter().filter_map(|wishes| wishes.rate_per_second_max).min(),
            };
            if service.unordered {
                self.services.were_unordered.insert(endpoint);
            }
            let agreed = self.services.agreed.entry(endpoint).or_default();
            if agreed.last().is_none_or(|last| last.service != service) {
                agreed.push(Agreed { tick, service, told_at: None });
            }
        }
    }

    /// G5: not more requests begin than agreed.
    pub(super) fn begins(&mut self, endpoint: i64, decided_at: i64) {
        if let Some((count, ms)) = self.services.begins(endpoint, decided_at) {
            self.broken("G5", format!("{count} requests to endpoint {endpoint} begin within {ms} ms"));
        }
    }
}
