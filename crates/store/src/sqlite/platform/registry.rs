//! What changes seldom and is asked all the time, held in memory: partners by key, operator tokens by hash, the
//! hierarchy, the routes. Also
//! the reading of these tables as lists.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, EndpointId, EventType, PartnerId, RECORD_FAULTS_MAX, Timestamp, WebhookId,
};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::tokens;
use crate::Error;
use crate::fanout::{Registration, Routes};
use crate::platform::{
    Brand, Business, EndpointSettings, HoldReason, Invalid, OperatorToken, Partner, PartnerQuery, Webhook,
    WebhookAccess, WebhookQuery, WebhookSettings,
};
use crate::sqlite::{failed, limit as sql_limit, word};

/// Partners, tokens, hierarchy and routes as they were at one commit.
pub(super) struct Registry {
    partners_by_key: HashMap<String, Partner>,
    tokens_by_hash: HashMap<Bytes, OperatorToken>,
    hierarchy: Hierarchy,
    addressees: HashMap<WebhookId, Addressee>,
    pub(super) routes: Routes,
}

/// Where a registration's deliveries go, and what is needed to post them. Both secrets are as they were handed in.
pub(super) struct Addressee {
    pub(super) partner_id: PartnerId,
    pub(super) endpoint_id: EndpointId,
    pub(super) url: String,
    pub(super) webhook_secret: Bytes,
    pub(super) webhook_secret_next: Option<(Bytes, Timestamp)>,
    pub(super) basic_auth: Option<Bytes>,
    pub(super) is_coalescing: bool,
}

impl std::fmt::Debug for Registry {
    /// Partners hold secrets, if encrypted ones; they are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("partners", &self.partners_by_key.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Hierarchy {
    businesses: HashSet<BusinessId>,
    brands: HashMap<BrandId, (BusinessId, HashSet<BranchId>)>,
}

impl Registry {
    pub(super) fn load(db: &Connection) -> Result<Self, Error> {
        let partners = partners_where(db, "true ORDER BY partner_id", &[])?;
        let business_of: HashMap<PartnerId, BusinessId> =
            partners.iter().map(|p| (p.partner_id.clone(), p.business_id)).collect();
        let all = webhooks_where(db, "true", &[])?;
        let routes = Routes::new(all.into_iter().filter_map(|webhook| {
            Some(Registration {
                webhook_id: webhook.webhook_id,
                endpoint_id: webhook.endpoint_id,
                business_id: *business_of.get(&webhook.partner_id)?,
                partner_id: webhook.partner_id,
                brand_id: webhook.brand_id,
                branch_id: webhook.branch_id,
                event_type: webhook.event_type,
                orders_per_delivery_max: webhook
                    .settings
                    .orders_per_delivery_max
                    .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            })
        }));
        Ok(Registry {
            partners_by_key: partners.into_iter().map(|p| (p.partner_key.clone(), p)).collect(),
            tokens_by_hash: tokens::by_hash(db)?,
            hierarchy: Hierarchy::load(db).map_err(failed("reading the hierarchy"))?,
            addressees: addressees(db).map_err(failed("reading registrations"))?,
            routes,
        })
    }

    /// Where an order goes.
    pub(super) fn hearing(
        &self,
        business_id: BusinessId,
        branch_id: BranchId,
        brand_id: BrandId,
    ) -> Vec<WebhookId> {
        let of = |event_type| self.routes.hearing(business_id, branch_id, brand_id, event_type);
        EventType::ALL.into_iter().flat_map(of).collect()
    }

    pub(super) fn partner_by_key(&self, key: &str) -> Option<&Partner> {
        self.partners_by_key.get(key)
    }

    /// Looked up by a keyed hash, so what a guess takes says nothing of what is kept.
    pub(super) fn token_by_hash(&self, hash: &[u8]) -> Option<&OperatorToken> {
        self.tokens_by_hash.get(hash)
    }

    /// The addressee of a registration that was not removed.
    pub(super) fn addressee(&self, webhook_id: WebhookId) -> Option<&Addressee> {
        self.addressees.get(&webhook_id)
    }

    /// Why an order of this business may not name these brands and this branch; nothing where it may. Without a branch the
    /// brands alone are looked at.
    pub(super) fn check_order(
        &self,
        business_id: BusinessId,
        branch_id: Option<BranchId>,
        brands: &[BrandId],
    ) -> Vec<Invalid> {
        let checked = brands.iter().enumerate().filter_map(|(i, brand_id)| {
            let field = || format!("brands[{i}].id");
            self.hierarchy.check(business_id, *brand_id, branch_id, field).err()
        });
        checked.take(RECORD_FAULTS_MAX).collect()
    }

    /// The business in whose hierarchy this brand is.
    pub(super) fn business_of(&self, brand_id: BrandId) -> Option<BusinessId> {
        self.hierarchy.brands.get(&brand_id).map(|(business_id, _)| *business_id)
    }

    /// May a registration of a partner of this business name this brand and this branch?
    pub(super) fn check_webhook(
        &self,
        business_id: BusinessId,
        brand_id: Option<BrandId>,
        branch_id: Option<BranchId>,
    ) -> Result<(), Invalid> {
        match (brand_id, branch_id) {
            (Some(brand_id), _) => {
                self.hierarchy.check(business_id, brand_id, branch_id, || "brand_id".to_owned())
            }
            (None, Some(branch_id)) if !self.hierarchy.has_branch(business_id, branch_id) => {
                Err(Invalid::UnknownBranchOfBusiness { branch_id, business_id })
            }
            (None, _) => Ok(()),
        }
    }
}

impl Hierarchy {
    fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut hierarchy = Hierarchy::default();
        let mut statement = db.prepare_cached("SELECT business_id FROM businesses")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            hierarchy.businesses.insert(BusinessId(row.get(0)?));
        }
        let mut statement = db.prepare_cached(
            "SELECT b.brand_id, b.business_id, bb.branch_id
             FROM brands b LEFT JOIN brand_branches bb ON bb.brand_id = b.brand_id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let business_id = BusinessId(row.get(1)?);
            let (_, branches) =
                hierarchy.brands.entry(BrandId(row.get(0)?)).or_insert_with(|| (business_id, HashSet::new()));
            if let Some(branch_id) = row.get(2)? {
                branches.insert(BranchId(branch_id));
            }
        }
        Ok(hierarchy)
    }

    /// A business without a hierarchy may name any brand and branch, except brands of another business's hierarchy.
    fn check(
        &self,
        business_id: BusinessId,
        brand_id: BrandId,
        branch_id: Option<BranchId>,
        field: impl Fn() -> String,
    ) -> Result<(), Invalid> {
        let unknown = || Invalid::UnknownBrand { field: field(), brand_id, business_id };
        match (self.brands.get(&brand_id), branch_id) {
            (Some((owner, _)), _) if *owner != business_id => Err(unknown()),
            (Some((_, branches)), Some(branch_id)) if !branches.contains(&branch_id) => {
                Err(Invalid::UnknownBranch { branch_id, brand_id })
            }
            (Some(_), _) => Ok(()),
            (None, _) if self.businesses.contains(&business_id) => Err(unknown()),
            (None, _) => Ok(()),
        }
    }

    fn has_branch(&self, business_id: BusinessId, branch_id: BranchId) -> bool {
        !self.businesses.contains(&business_id)
            || self
                .brands
                .values()
                .any(|(owner, branches)| *owner == business_id && branches.contains(&branch_id))
    }
}

/// Partners by id.
pub(super) fn partners(db: &Connection, query: &PartnerQuery) -> Result<Vec<Partner>, Error> {
    let (which, from) = match query.newest_first {
        false => ("partner_id > ?1 ORDER BY partner_id LIMIT ?2", ""),
        // Behind whatever an id may be.
        true => ("partner_id < ?1 ORDER BY partner_id DESC LIMIT ?2", "\u{10ffff}"),
    };
    let after = query.after.as_ref().map_or(from, PartnerId::as_str);
    partners_where(db, which, &[&after, &sql_limit(query.limit)])
}

/// One partner.
pub(super) fn partner(db: &Connection, partner_id: &PartnerId) -> Result<Option<Partner>, Error> {
    partners_where(db, "partner_id = ?1", &[&partner_id.as_str()]).map(|mut one| one.pop())
}

fn partners_where(
    db: &Connection,
    which: &'static str,
    values: &[&dyn ToSql],
) -> Result<Vec<Partner>, Error> {
    let reading = failed("reading partners");
    let mut statement = db
        .prepare_cached(&format!(
            "SELECT partner_id, name, business_id, scopes, partner_key, secret_hash, webhook_secret, created_at,
                 revoked_at, webhook_secret_next, webhook_secret_next_at
             FROM partners WHERE {which}"
        ))
        .map_err(&reading)?;
    let mut rows = statement.query(values).map_err(&reading)?;
    let mut partners = Vec::new();
    while let Some(row) = rows.next().map_err(&reading)? {
        let (mut partner, scopes) = partner_in(row).map_err(&reading)?;
        partner.scopes = serde_json::from_str(&scopes)
            .map_err(|e| Error::Corrupt(format!("the scopes of partner {}: {e}", partner.partner_id)))?;
        partners.push(partner);
    }
    Ok(partners)
}

fn partner_in(row: &Row<'_>) -> rusqlite::Result<(Partner, String)> {
    let partner = Partner {
        partner_id: PartnerId::from(row.get::<_, String>(0)?),
        name: row.get(1)?,
        business_id: BusinessId(row.get(2)?),
        scopes: Vec::new(),
        partner_key: row.get(4)?,
        secret_hash: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        webhook_secret: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        webhook_secret_next: next_secret(row, 9)?,
        created_at: Timestamp::from_millis(row.get(7)?),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
    };
    Ok((partner, row.get(3)?))
}

const WEBHOOKS: &str =
    "SELECT w.webhook_id, w.endpoint_id, w.partner_id, w.brand_id, w.branch_id, w.event_type, e.url,
         w.basic_auth IS NOT NULL, w.created_at, w.updated_at, w.ordering, w.in_flight_max,
         w.rate_per_second_max, w.orders_per_delivery_max, w.is_coalescing, e.held_at, e.held_reason
     FROM webhooks w JOIN endpoints e ON e.endpoint_id = w.endpoint_id";

/// Registrations that were not removed, by id.
pub(super) fn webhooks(db: &Connection, query: &WebhookQuery) -> Result<Vec<Webhook>, Error> {
    // The statement's pieces are fixed; what an index leads to is one of those that are asked for.
    let mut which = "w.webhook_id > ?1".to_owned();
    let (after, limit) = (query.after.map_or(0, |id| id.0), sql_limit(query.limit));
    let partner_id = query.partner_id.as_ref().map(PartnerId::as_str);
    let mut values: Vec<&dyn ToSql> = vec![&after, &limit];
    let (business_id, endpoint_id) = (query.business_id.map(|id| id.0), query.endpoint_id.map(|id| id.0));
    let (branch_id, brand_id) = (query.branch_id.map(|id| id.0), query.brand_id.map(|id| id.0));
    for (value, condition) in [
        (partner_id.as_ref().map(|id| id as &dyn ToSql), "w.partner_id = "),
        (endpoint_id.as_ref().map(|id| id as &dyn ToSql), "w.endpoint_id = "),
        (branch_id.as_ref().map(|id| id as &dyn ToSql), "w.branch_id = "),
        (brand_id.as_ref().map(|id| id as &dyn ToSql), "w.brand_id = "),
        (
            business_id.as_ref().map(|id| id as &dyn ToSql),
            "(SELECT p.business_id FROM partners p WHERE p.partner_id = w.partner_id) = ",
        ),
    ] {
        if let Some(value) = value {
            values.push(value);
            which.push_str(&format!(" AND {condition}?{}", values.len()));
        }
    }
    which.push_str(" ORDER BY w.webhook_id LIMIT ?2");
    webhooks_where(db, &which, &values)
}

fn webhooks_where(db: &Connection, which: &str, values: &[&dyn ToSql]) -> Result<Vec<Webhook>, Error> {
    let reading = failed("reading registrations");
    let mut statement =
        db.prepare_cached(&format!("{WEBHOOKS} WHERE w.removed_at IS NULL AND {which}")).map_err(&reading)?;
    let mut rows = statement.query(values).map_err(&reading)?;
    let mut webhooks = Vec::new();
    while let Some(row) = rows.next().map_err(&reading)? {
        let (webhook, event_type) = webhook(row).map_err(&reading)?;
        webhooks.push(Webhook { event_type: word(&event_type, "event type")?, ..webhook });
    }
    Ok(webhooks)
}

/// One registration.
pub(super) fn webhook_of(db: &Connection, webhook_id: WebhookId) -> Result<Webhook, Error> {
    let (webhook, event_type) = db
        .prepare_cached(&format!("{WEBHOOKS} WHERE w.webhook_id = ?1"))
        .and_then(|mut s| s.query_row([webhook_id.0], webhook))
        .map_err(failed("reading a registration"))?;
    Ok(Webhook { event_type: word(&event_type, "event type")?, ..webhook })
}

/// A webhook secret that is to come, from two columns that are both there or neither.
pub(super) fn next_secret(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(Bytes, Timestamp)>> {
    let secret: Option<Vec<u8>> = row.get(column)?;
    let at: Option<i64> = row.get(column + 1)?;
    Ok(secret.map(Bytes::from).zip(at.map(Timestamp::from_millis)))
}

/// Since when and why an endpoint is held, from two columns that are both there or neither.
pub(super) fn hold(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(HoldReason, Timestamp)>> {
    let held_at: Option<i64> = row.get(column)?;
    let reason: Option<String> = row.get(column + 1)?;
    // The schema allows no other words.
    let reason = reason.and_then(|word| HoldReason::ALL.into_iter().find(|r| r.as_str() == word));
    Ok(reason.zip(held_at.map(Timestamp::from_millis)))
}

fn addressees(db: &Connection) -> rusqlite::Result<HashMap<WebhookId, Addressee>> {
    db.prepare_cached(
        "SELECT w.webhook_id, e.partner_id, e.endpoint_id, e.url, p.webhook_secret, w.basic_auth, w.is_coalescing,
             p.webhook_secret_next, p.webhook_secret_next_at
         FROM webhooks w
         JOIN endpoints e ON e.endpoint_id = w.endpoint_id
         JOIN partners p ON p.partner_id = e.partner_id
         WHERE w.removed_at IS NULL",
    )?
    .query_map([], |row| {
        let addressee = Addressee {
            partner_id: PartnerId::from(row.get_ref(1)?.as_str()?),
            endpoint_id: EndpointId(row.get(2)?),
            url: row.get(3)?,
            webhook_secret: Bytes::from(row.get::<_, Vec<u8>>(4)?),
            webhook_secret_next: next_secret(row, 7)?,
            basic_auth: row.get::<_, Option<Vec<u8>>>(5)?.map(Bytes::from),
            is_coalescing: row.get(6)?,
        };
        Ok((WebhookId(row.get(0)?), addressee))
    })?
    .collect()
}

/// One registration that was not removed, with what is needed to post to it.
pub(super) fn webhook_access(db: &Connection, webhook_id: WebhookId) -> Result<Option<WebhookAccess>, Error> {
    let found = db
        .prepare_cached(
            "SELECT p.webhook_secret, w.basic_auth, p.webhook_secret_next, p.webhook_secret_next_at
             FROM webhooks w JOIN partners p ON p.partner_id = w.partner_id
             WHERE w.webhook_id = ?1 AND w.removed_at IS NULL",
        )
        .and_then(|mut s| {
            s.query_row([webhook_id.0], |row| {
                let secret = Bytes::from(row.get::<_, Vec<u8>>(0)?);
                Ok((secret, row.get::<_, Option<Vec<u8>>>(1)?, next_secret(row, 2)?))
            })
            .optional()
        })
        .map_err(failed("reading a registration"))?;
    let Some((webhook_secret, basic_auth, webhook_secret_next)) = found else { return Ok(None) };
    Ok(Some(WebhookAccess {
        webhook: webhook_of(db, webhook_id)?,
        webhook_secret,
        webhook_secret_next,
        basic_auth: basic_auth.map(Bytes::from),
    }))
}

/// A row, with the event type's name still to be read.
fn webhook(row: &Row<'_>) -> rusqlite::Result<(Webhook, String)> {
    let webhook = Webhook {
        webhook_id: WebhookId(row.get(0)?),
        endpoint_id: EndpointId(row.get(1)?),
        partner_id: PartnerId::from(row.get::<_, String>(2)?),
        brand_id: row.get::<_, Option<i64>>(3)?.map(BrandId),
        branch_id: row.get::<_, Option<i64>>(4)?.map(BranchId),
        event_type: EventType::OrderCreated,
        url: row.get(6)?,
        has_basic_auth: row.get(7)?,
        settings: WebhookSettings {
            endpoint: EndpointSettings {
                // The schema allows no other words.
                ordering: row.get_ref(10)?.as_str()?.parse().unwrap_or_default(),
                in_flight_max: row.get(11)?,
                rate_per_second_max: row.get(12)?,
            },
            orders_per_delivery_max: row.get(13)?,
            coalesce: row.get(14)?,
        },
        hold: hold(row, 15)?,
        created_at: Timestamp::from_millis(row.get(8)?),
        updated_at: Timestamp::from_millis(row.get(9)?),
    };
    Ok((webhook, row.get(5)?))
}

/// A business's hierarchy, brands and branches by id.
pub(super) fn business(db: &Connection, business_id: BusinessId) -> Result<Option<Business>, Error> {
    read_business(db, business_id).map_err(failed("reading a business"))
}

fn read_business(db: &Connection, business_id: BusinessId) -> rusqlite::Result<Option<Business>> {
    let name = db
        .prepare_cached("SELECT name FROM businesses WHERE business_id = ?1")?
        .query_row([business_id.0], |row| row.get(0))
        .optional()?;
    let Some(name) = name else { return Ok(None) };
    let mut statement = db.prepare_cached(
        "SELECT b.brand_id, b.title, bb.branch_id
         FROM brands b LEFT JOIN brand_branches bb ON bb.brand_id = b.brand_id
         WHERE b.business_id = ?1 ORDER BY b.brand_id, bb.branch_id",
    )?;
    let mut rows = statement.query([business_id.0])?;
    let mut brands: Vec<Brand> = Vec::new();
    while let Some(row) = rows.next()? {
        let brand_id = BrandId(row.get(0)?);
        if brands.last().is_none_or(|b| b.brand_id != brand_id) {
            brands.push(Brand { brand_id, title: row.get(1)?, branches: Vec::new() });
        }
        if let (Some(brand), Some(branch_id)) = (brands.last_mut(), row.get(2)?) {
            brand.branches.push(BranchId(branch_id));
        }
    }
    Ok(Some(Business { business_id, name, brands }))
}
