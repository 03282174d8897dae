//! Writes partners, registrations and hierarchies: rare commands, each in the tick like any other.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{BranchId, BrandId, BusinessId, EndpointId, PartnerId, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::{registry, replays};
use crate::Error;
use crate::platform::{
    Brand, Business, Held, HoldReason, NewWebhook, Partner, PartnerChange, PartnerChanged, PutBusiness,
    PutWebhook, WEBHOOKS_MAX, WebhookAccess,
};
use crate::sqlite::{failed, limit};

pub(super) fn add_partner(db: &Connection, tick: &mut Tick, partner: &Partner) -> Result<(), Error> {
    let scopes = serde_json::to_string(&partner.scopes).expect("texts are always JSON");
    db.prepare_cached(
        "INSERT INTO partners (partner_id, name, business_id, scopes, partner_key, secret_hash, webhook_secret,
             created_at, revoked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .and_then(|mut s| {
        s.execute(params![
            partner.partner_id.as_str(),
            partner.name,
            partner.business_id.0,
            scopes,
            partner.partner_key,
            &partner.secret_hash[..],
            &partner.webhook_secret[..],
            partner.created_at.as_millis(),
            partner.revoked_at.map(Timestamp::as_millis)
        ])
    })
    .map_err(failed("adding a partner"))?;
    tick.registry_changed();
    Ok(())
}

pub(super) fn change_partner(
    db: &Connection,
    tick: &mut Tick,
    partner_id: &PartnerId,
    change: &PartnerChange,
    now: Timestamp,
) -> Result<PartnerChanged, Error> {
    let (id, changing) = (partner_id.as_str(), failed("changing a partner"));
    let is_revoked = db
        .prepare_cached("SELECT revoked_at IS NOT NULL FROM partners WHERE partner_id = ?1")
        .and_then(|mut s| s.query_row([id], |row| row.get(0)).optional())
        .map_err(&changing)?;
    match (is_revoked, change) {
        (None, _) => return Ok(PartnerChanged::NoSuchPartner),
        (Some(true), PartnerChange::Revoke) => return Ok(PartnerChanged::Unchanged),
        (Some(true), PartnerChange::RotateSecret { .. }) => return Ok(PartnerChanged::Revoked),
        // Deliveries go on, so what signs them can be replaced.
        (Some(_), _) => {}
    }
    match change {
        PartnerChange::RotateSecret { secret_hash } => db
            .prepare_cached("UPDATE partners SET secret_hash = ?2 WHERE partner_id = ?1")
            .and_then(|mut s| s.execute(params![id, &secret_hash[..]])),
        PartnerChange::RotateWebhookSecret { webhook_secret } => db
            .prepare_cached("UPDATE partners SET webhook_secret = ?2, webhook_secret_next = NULL, webhook_secret_next_at = NULL
                 WHERE partner_id = ?1")
            .and_then(|mut s| s.execute(params![id, &webhook_secret[..]])),
        // Where the one before has come to its moment, it is the present one.
        PartnerChange::StageWebhookSecret { webhook_secret, current_at } => db
            .prepare_cached(
                "UPDATE partners SET webhook_secret = iif(webhook_secret_next_at <= ?4, webhook_secret_next, webhook_secret),
                     webhook_secret_next = ?2, webhook_secret_next_at = ?3
                 WHERE partner_id = ?1",
            )
            .and_then(|mut s| {
                s.execute(params![id, &webhook_secret[..], current_at.as_millis(), now.as_millis()])
            }),
        PartnerChange::Revoke => db
            .prepare_cached("UPDATE partners SET revoked_at = ?2 WHERE partner_id = ?1")
            .and_then(|mut s| s.execute(params![id, now.as_millis()])),
    }
    .map_err(changing)?;
    tick.registry_changed();
    Ok(PartnerChanged::Done)
}

pub(super) fn put_webhook(
    db: &Connection,
    tick: &mut Tick,
    webhook: &NewWebhook,
    now: Timestamp,
) -> Result<PutWebhook, Error> {
    let writing = failed("writing a registration");
    let partner_id = webhook.partner_id.as_str();
    let business_id = db
        .prepare_cached("SELECT business_id FROM partners WHERE partner_id = ?1")
        .and_then(|mut s| s.query_row([partner_id], |row| row.get(0).map(BusinessId)).optional())
        .map_err(&writing)?;
    let Some(business_id) = business_id else { return Ok(PutWebhook::NoSuchPartner) };
    let registry = tick.registry(db)?;
    if let Err(invalid) = registry.check_webhook(business_id, webhook.brand_id, webhook.branch_id) {
        return Ok(PutWebhook::Invalid(invalid));
    }
    let present = present(db, webhook)?;
    match &present {
        Some(access) if stands(access, webhook) => return Ok(PutWebhook::Unchanged(access.webhook.clone())),
        Some(_) => {}
        None if has_most(db, business_id).map_err(&writing)? => return Ok(PutWebhook::TooMany),
        None => {}
    }
    let before = present.map(|access| (access.webhook.webhook_id, access.webhook.endpoint_id));
    let (webhook_id, written) = write_webhook(db, webhook, before, now).map_err(&writing)?;
    tick.registry_changed();
    let stored = registry::webhook_of(db, webhook_id)?;
    tick.endpoints.push(stored.endpoint_id);
    if let Written::Updated { moved_from: Some((before, deliveries)) } = written {
        tick.went(before, stored.endpoint_id, deliveries);
        tick.endpoints.push(before);
        replays::hint(db, tick, stored.endpoint_id)?;
    }
    Ok(match written {
        Written::Created => PutWebhook::Created(stored),
        Written::Updated { moved_from } => {
            PutWebhook::Updated { webhook: stored, moved_from: moved_from.map(|(before, _)| before) }
        }
    })
}

/// The registration of the same partner, brand, branch and event type, where there is one.
fn present(db: &Connection, webhook: &NewWebhook) -> Result<Option<WebhookAccess>, Error> {
    let webhook_id = db
        .prepare_cached(
            "SELECT webhook_id FROM webhooks
             WHERE partner_id = ?1 AND coalesce(brand_id, 0) = coalesce(?2, 0)
               AND coalesce(branch_id, 0) = coalesce(?3, 0) AND event_type = ?4 AND removed_at IS NULL",
        )
        .and_then(|mut s| {
            let (brand_id, branch_id) = (webhook.brand_id.map(|id| id.0), webhook.branch_id.map(|id| id.0));
            let tuple =
                params![webhook.partner_id.as_str(), brand_id, branch_id, webhook.event_type.as_str()];
            s.query_row(tuple, |row| row.get(0).map(WebhookId)).optional()
        })
        .map_err(failed("looking for a registration"))?;
    webhook_id.map_or(Ok(None), |webhook_id| registry::webhook_access(db, webhook_id))
}

/// Is it as it is put?
fn stands(present: &WebhookAccess, put: &NewWebhook) -> bool {
    let WebhookAccess { webhook, basic_auth, .. } = present;
    // The tuple is the same, or it would be another registration.
    let NewWebhook { url, basic_auth: put_auth, settings, .. } = put;
    (&webhook.url, basic_auth, &webhook.settings) == (url, put_auth, settings)
}

/// Holds an endpoint or lets it go.
pub(super) fn hold_endpoint(
    db: &Connection,
    tick: &mut Tick,
    endpoint_id: EndpointId,
    hold: Option<HoldReason>,
    now: Timestamp,
) -> Result<Held, Error> {
    let holding = failed("holding an endpoint");
    let reason = hold.map(HoldReason::as_str);
    let stands = db
        .prepare_cached("SELECT held_reason IS ?2 FROM endpoints WHERE endpoint_id = ?1")
        .and_then(|mut s| s.query_row(params![endpoint_id.0, reason], |row| row.get(0)).optional())
        .map_err(&holding)?;
    let Some(stands) = stands else { return Ok(Held::NoSuchEndpoint) };
    // Told in any case: an endpoint that answered 410 is closed in the engine until it hears how it stands.
    tick.endpoints.push(endpoint_id);
    if stands {
        return Ok(Held::Unchanged);
    }
    db.prepare_cached("UPDATE endpoints SET held_at = ?2, held_reason = ?3 WHERE endpoint_id = ?1")
        .and_then(|mut s| s.execute(params![endpoint_id.0, hold.map(|_| now.as_millis()), reason]))
        .map_err(holding)?;
    Ok(Held::Done)
}

enum Written {
    Created,
    /// With the endpoint before, where it is another one, and how many deliveries went with it.
    Updated {
        moved_from: Option<(EndpointId, usize)>,
    },
}

/// Have the partners of a business as many registrations as they may?
fn has_most(db: &Connection, business_id: BusinessId) -> rusqlite::Result<bool> {
    let there: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM partners p CROSS JOIN webhooks w ON w.partner_id = p.partner_id
             WHERE p.business_id = ?1 AND w.removed_at IS NULL",
        )?
        .query_row([business_id.0], |row| row.get(0))?;
    Ok(there >= limit(WEBHOOKS_MAX))
}

fn write_webhook(
    db: &Connection,
    webhook: &NewWebhook,
    before: Option<(WebhookId, EndpointId)>,
    now: Timestamp,
) -> rusqlite::Result<(WebhookId, Written)> {
    let partner_id = webhook.partner_id.as_str();
    db.prepare_cached("INSERT INTO endpoints (partner_id, url) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute([partner_id, &webhook.url])?;
    let endpoint_id: i64 = db
        .prepare_cached("SELECT endpoint_id FROM endpoints WHERE partner_id = ?1 AND url = ?2")?
        .query_row([partner_id, &webhook.url], |row| row.get(0))?;
    let basic_auth = webhook.basic_auth.as_deref();
    let (settings, endpoint) = (&webhook.settings, &webhook.settings.endpoint);
    let Some((webhook_id, endpoint_before)) = before else {
        db.prepare_cached(
            "INSERT INTO webhooks (partner_id, endpoint_id, brand_id, branch_id, event_type, basic_auth, created_at,
                 updated_at, ordering, in_flight_max, rate_per_second_max, orders_per_delivery_max, is_coalescing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            partner_id,
            endpoint_id,
            webhook.brand_id.map(|id| id.0),
            webhook.branch_id.map(|id| id.0),
            webhook.event_type.as_str(),
            basic_auth,
            now.as_millis(),
            endpoint.ordering.as_str(),
            endpoint.in_flight_max,
            endpoint.rate_per_second_max,
            settings.orders_per_delivery_max,
            settings.coalesce
        ])?;
        return Ok((WebhookId(db.last_insert_rowid()), Written::Created));
    };
    db.prepare_cached(
        "UPDATE webhooks SET endpoint_id = ?2, basic_auth = ?3, updated_at = ?4, ordering = ?5, in_flight_max = ?6,
             rate_per_second_max = ?7, orders_per_delivery_max = ?8, is_coalescing = ?9
         WHERE webhook_id = ?1",
    )?
    .execute(params![
        webhook_id.0,
        endpoint_id,
        basic_auth,
        now.as_millis(),
        endpoint.ordering.as_str(),
        endpoint.in_flight_max,
        endpoint.rate_per_second_max,
        settings.orders_per_delivery_max,
        settings.coalesce
    ])?;
    if endpoint_before.0 == endpoint_id {
        return Ok((webhook_id, Written::Updated { moved_from: None }));
    }
    // What waits for this registration waits at its new place, in the order in which it was committed.
    let deliveries =
        db.prepare_cached(MOVE_PENDING)?.execute([endpoint_id, endpoint_before.0, webhook_id.0])?;
    Ok((webhook_id, Written::Updated { moved_from: Some((endpoint_before, deliveries)) }))
}

/// Takes a registration's backlog from one endpoint to another.
pub(super) const MOVE_PENDING: &str = "UPDATE deliveries SET endpoint_id = ?1
     WHERE endpoint_id = ?2 AND state = 'pending' AND webhook_id = ?3";

pub(super) fn put_business(
    db: &Connection,
    tick: &mut Tick,
    business: &Business,
) -> Result<PutBusiness, Error> {
    let writing = failed("writing a hierarchy");
    for brand in &business.brands {
        let owner = db
            .prepare_cached("SELECT business_id FROM brands WHERE brand_id = ?1")
            .and_then(|mut s| s.query_row([brand.brand_id.0], |row| row.get(0).map(BusinessId)).optional())
            .map_err(&writing)?;
        if let Some(business_id) = owner
            && business_id != business.business_id
        {
            return Ok(PutBusiness::BrandTaken { brand_id: brand.brand_id, business_id });
        }
    }
    if registry::business(db, business.business_id)?.as_ref() == Some(&in_order(business)) {
        return Ok(PutBusiness::Unchanged);
    }
    write_business(db, business).map_err(&writing)?;
    tick.registry_changed();
    Ok(PutBusiness::Done)
}

/// A hierarchy as it is read after it was written: brands and branches by id, each once, and of a brand that is named twice the
/// last title and the branches of both.
fn in_order(business: &Business) -> Business {
    let mut brands: BTreeMap<BrandId, (&str, BTreeSet<BranchId>)> = BTreeMap::new();
    for brand in &business.brands {
        let (title, branches) = brands.entry(brand.brand_id).or_default();
        *title = &brand.title;
        branches.extend(&brand.branches);
    }
    let brands = brands.into_iter().map(|(brand_id, (title, branches))| Brand {
        brand_id,
        title: title.to_owned(),
        branches: branches.into_iter().collect(),
    });
    Business { brands: brands.collect(), ..business.clone() }
}

fn write_business(db: &Connection, business: &Business) -> rusqlite::Result<()> {
    let business_id = business.business_id.0;
    db.prepare_cached(
        "INSERT INTO businesses (business_id, name) VALUES (?1, ?2)
         ON CONFLICT (business_id) DO UPDATE SET name = excluded.name",
    )?
    .execute(params![business_id, business.name])?;
    db.prepare_cached("DELETE FROM brands WHERE business_id = ?1")?.execute([business_id])?;
    // A brand or branch that is named twice is there once; the last title counts.
    let mut insert_brand = db.prepare_cached(
        "INSERT INTO brands (brand_id, business_id, title) VALUES (?1, ?2, ?3)
         ON CONFLICT (brand_id) DO UPDATE SET title = excluded.title",
    )?;
    let mut insert_branch = db.prepare_cached(
        "INSERT INTO brand_branches (brand_id, branch_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for brand in &business.brands {
        insert_brand.execute(params![brand.brand_id.0, business_id, brand.title])?;
        for branch_id in &brand.branches {
            insert_branch.execute([brand.brand_id.0, branch_id.0])?;
        }
    }
    Ok(())
}
