//! The partners, their registrations, and the endpoints that these make.

use hookit_contract::{DeliverySeq, DeliveryState, EndpointId, PartnerId, Timestamp, WebhookId};
use hookit_store::platform::{
    EndReason, Endpoint, EndpointSettings, Held, HoldReason, NewWebhook, Ordering, PartnerChange,
    PartnerChanged, PutWebhook, Webhook, WebhookAccess,
};

use super::deliveries::waiting_delivery;
use super::{Disk, Place, Removal, Row, Tick, endpoint_id, place};
use crate::auditor::event;

impl Disk {
    pub(super) fn change_partner(
        &mut self,
        partner_id: &PartnerId,
        change: PartnerChange,
        now: Timestamp,
    ) -> PartnerChanged {
        let Some(partner) = self.partners.iter_mut().find(|p| p.partner_id == *partner_id) else {
            return PartnerChanged::NoSuchPartner;
        };
        let is_revoked = partner.revoked_at.is_some();
        match change {
            PartnerChange::RotateSecret { .. } if is_revoked => return PartnerChanged::Revoked,
            PartnerChange::Revoke if is_revoked => return PartnerChanged::Unchanged,
            PartnerChange::RotateSecret { secret_hash } => partner.secret_hash = secret_hash,
            PartnerChange::RotateWebhookSecret { webhook_secret } => {
                partner.webhook_secret = webhook_secret;
                partner.webhook_secret_next = None;
            }
            PartnerChange::StageWebhookSecret { webhook_secret, current_at } => {
                let next = partner.webhook_secret_next.replace((webhook_secret, current_at));
                if let Some((came, _)) = next.filter(|(_, at)| *at <= now) {
                    partner.webhook_secret = came;
                }
            }
            PartnerChange::Revoke => partner.revoked_at = Some(now),
        }
        PartnerChanged::Done
    }

    pub(super) fn put_webhook(&mut self, tick: &mut Tick, new: NewWebhook, now: Timestamp) -> PutWebhook {
        let Some(partner) = self.partners.iter().position(|p| p.partner_id == new.partner_id) else {
            return PutWebhook::NoSuchPartner;
        };
        let place = self.endpoints.iter().position(|place| place.partner == partner && place.url == new.url);
        let place = place.unwrap_or_else(|| {
            self.endpoints.push(Place { partner, url: new.url.clone(), hold: None });
            self.endpoints.len() - 1
        });
        let endpoint_id = endpoint_id(place);
        let key = (new.brand_id, new.branch_id, new.event_type);
        let known = self.webhooks.iter().enumerate().position(|(i, (w, whose))| {
            *whose == partner
                && (w.brand_id, w.branch_id, w.event_type) == key
                && !self.removed.contains_key(&i)
        });
        if let Some(index) = known {
            let webhook = &self.webhooks[index].0;
            if webhook.endpoint_id == endpoint_id
                && webhook.settings == new.settings
                && self.basic_auth[index] == new.basic_auth
            {
                return PutWebhook::Unchanged(webhook.clone());
            }
        }
        tick.endpoints.push(endpoint_id);
        let index = known.unwrap_or(self.webhooks.len());
        let answer = match known {
            Some(index) => {
                let webhook = &mut self.webhooks[index].0;
                let before = std::mem::replace(&mut webhook.endpoint_id, endpoint_id);
                webhook.url.clone_from(&new.url);
                webhook.has_basic_auth = new.basic_auth.is_some();
                webhook.settings = new.settings;
                webhook.updated_at = now;
                self.basic_auth[index] = new.basic_auth;
                let moved_from = (before != endpoint_id).then_some(before);
                if moved_from.is_some() {
                    self.move_pending(tick, index, before, endpoint_id);
                }
                tick.endpoints.extend(moved_from);
                PutWebhook::Updated { webhook: self.as_it_stands(&self.webhooks[index].0), moved_from }
            }
            None => {
                let webhook = Webhook {
                    webhook_id: WebhookId(i64::try_from(index).expect("there are few") + 1),
                    endpoint_id,
                    partner_id: new.partner_id,
                    brand_id: new.brand_id,
                    branch_id: new.branch_id,
                    event_type: new.event_type,
                    url: new.url,
                    has_basic_auth: new.basic_auth.is_some(),
                    settings: new.settings,
                    hold: None,
                    created_at: now,
                    updated_at: now,
                };
                self.basic_auth.push(new.basic_auth);
                self.webhooks.push((webhook.clone(), partner));
                PutWebhook::Created(webhook)
            }
        };
        let webhook = &self.webhooks[index].0;
        tick.commit.registrations.push(event::Registration {
            webhook: webhook.webhook_id.0,
            partner,
            business: self.partners[partner].business_id.0,
            endpoint: endpoint_id.0,
            brand: webhook.brand_id.map(|id| id.0),
            branch: webhook.branch_id.map(|id| id.0),
            event_type: webhook.event_type.as_str(),
            wishes: event::Wishes {
                unordered: webhook.settings.endpoint.ordering == Ordering::None,
                in_flight_max: webhook.settings.endpoint.in_flight_max.map(|max| max as usize),
                rate_per_second_max: webhook.settings.endpoint.rate_per_second_max.map(i64::from),
                orders_per_delivery_max: webhook.settings.orders_per_delivery_max.map(|max| max as usize),
                coalesce: webhook.settings.coalesce,
            },
        });
        answer
    }

    pub(super) fn move_pending(&mut self, tick: &mut Tick, webhook: usize, from: EndpointId, to: EndpointId) {
        let range = (from, DeliverySeq(i64::MIN))..=(from, DeliverySeq(i64::MAX));
        let there: Vec<DeliverySeq> = self.pending.range(range).map(|&(_, seq)| seq).collect();
        for seq in there {
            let row = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq));
            let row = row.expect("what is pending has a place");
            if row.webhook == webhook {
                row.delivery.endpoint_id = to;
                self.pending.remove(&(from, seq));
                self.pending.insert((to, seq));
                tick.commit.moved.push((seq.0, to.0));
                if seq.is_among_replays() {
                    // The engine reads replays where it hears of some.
                    tick.hints.push(waiting_delivery(row));
                }
            }
        }
    }

    /// From here on nothing is made for it, and nothing of it is given out.
    pub(super) fn remove_webhook(&mut self, tick: &mut Tick, webhook_id: WebhookId, by: String) -> bool {
        let found = self.webhooks.iter().position(|(webhook, _)| webhook.webhook_id == webhook_id);
        let Some(index) = found.filter(|index| !self.removed.contains_key(index)) else {
            return false;
        };
        tick.commit.removed.push((webhook_id.0, by.clone()));
        self.removed.insert(index, Removal { by, is_over: false });
        self.gives_way(tick, self.webhooks[index].0.endpoint_id);
        true
    }

    /// Cancels some of what waits for a registration that was removed.
    pub(super) fn step_removals(&mut self, tick: &mut Tick, now: Timestamp) -> bool {
        let next = self.removed.iter().find(|(_, removal)| !removal.is_over);
        let Some((&index, Removal { by, .. })) = next else { return false };
        let by = by.clone();
        let waits = |row: &Row| {
            (row.webhook == index && row.delivery.state == DeliveryState::Pending).then_some(row.place)
        };
        // A few at a time, so that crashes come between.
        let part: Vec<DeliverySeq> = self.deliveries.values().filter_map(waits).take(3).collect();
        if part.is_empty() {
            self.removed.insert(index, Removal { by, is_over: true });
            self.gives_way(tick, self.webhooks[index].0.endpoint_id);
            return true;
        }
        for seq in part {
            self.cancel(tick, seq, &by, EndReason::WebhookRemoved, now);
        }
        true
    }

    pub(super) fn hold_endpoint(
        &mut self,
        tick: &mut Tick,
        endpoint_id: EndpointId,
        hold: Option<HoldReason>,
        now: Timestamp,
    ) -> Held {
        let Some(there) = self.endpoints.get_mut(place(endpoint_id)) else {
            return Held::NoSuchEndpoint;
        };
        tick.endpoints.push(endpoint_id);
        if there.hold.map(|(reason, _)| reason) == hold {
            return Held::Unchanged;
        }
        there.hold = hold.map(|reason| (reason, now));
        tick.commit.holds.push((endpoint_id.0, hold.is_some()));
        Held::Done
    }

    /// Registrations that were not removed, with their places.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Webhook)> {
        let all = self.webhooks.iter().enumerate();
        all.filter(|(i, _)| !self.removed.contains_key(i)).map(|(i, (webhook, _))| (i, webhook))
    }

    pub(super) fn is_of_removed(&self, seq: DeliverySeq) -> bool {
        self.removed.contains_key(&self.deliveries[&seq].webhook)
    }

    pub(in crate::simulator) fn webhooks(&self) -> Vec<Webhook> {
        self.present().map(|(_, webhook)| self.as_it_stands(webhook)).collect()
    }

    fn as_it_stands(&self, webhook: &Webhook) -> Webhook {
        let hold = self.endpoints.get(place(webhook.endpoint_id)).and_then(|there| there.hold);
        Webhook { hold, ..webhook.clone() }
    }

    pub(in crate::simulator) fn webhook_access(&self, webhook_id: WebhookId) -> Option<WebhookAccess> {
        let (index, webhook) = self.present().find(|(_, webhook)| webhook.webhook_id == webhook_id)?;
        let partner = &self.partners[self.webhooks[index].1];
        Some(WebhookAccess {
            webhook: self.as_it_stands(webhook),
            webhook_secret: partner.webhook_secret.clone(),
            webhook_secret_next: partner.webhook_secret_next.clone(),
            basic_auth: self.basic_auth[index].clone(),
        })
    }

    pub(in crate::simulator) fn endpoint(&self, endpoint_id: EndpointId) -> Option<Endpoint> {
        let Place { partner, url, hold } = self.endpoints.get(place(endpoint_id))?;
        let partner_id = self.partners[*partner].partner_id.clone();
        let settings = self.settings(endpoint_id);
        Some(Endpoint { endpoint_id, partner_id, url: url.clone(), hold: *hold, settings })
    }

    /// The strictest of what its registrations say.
    pub(super) fn settings(&self, endpoint_id: EndpointId) -> EndpointSettings {
        let all = || {
            let there = self.present().filter(|(_, webhook)| webhook.endpoint_id == endpoint_id);
            there.map(|(_, webhook)| webhook.settings.endpoint)
        };
        let is_free = all().next().is_some() && all().all(|s| s.ordering == Ordering::None);
        EndpointSettings {
            ordering: if is_free { Ordering::None } else { Ordering::PerOrder },
            in_flight_max: all().filter_map(|s| s.in_flight_max).min(),
            rate_per_second_max: all().filter_map(|s| s.rate_per_second_max).min(),
        }
    }

    pub(in crate::simulator) fn endpoints(&self) -> Vec<Endpoint> {
        let is_used = |id: &EndpointId| {
            self.present().any(|(_, webhook)| webhook.endpoint_id == *id)
                || self.pending.iter().any(|(endpoint_id, _)| endpoint_id == id)
        };
        (0..self.endpoints.len())
            .map(endpoint_id)
            .filter(is_used)
            .filter_map(|id| self.endpoint(id))
            .collect()
    }

    /// The endpoint behind a URL, and whose it is. No two partners share one here.
    pub(in crate::simulator) fn endpoint_of(&self, url: &str) -> Option<(EndpointId, PartnerId)> {
        let place = self.endpoints.iter().position(|place| place.url == url)?;
        let Place { partner, .. } = self.endpoints[place];
        Some((endpoint_id(place), self.partners[partner].partner_id.clone()))
    }
}
