//! Businesses: the hierarchy that orders and registrations are checked against, where one is set.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{BranchId, BrandId, BusinessId, ErrorCode};
use hookit_server::routes::{Operation, Routes, get, put};
use hookit_server::{Answer, ApiError, Checked, Fault, Faults, Incoming, Input, JsonBody, Object, PathId};
use hookit_store::platform::{Brand, Business, PutBusiness, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;

/// Characters of a name.
const NAME_MAX: usize = 200;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Businesses")
        .route(
            "/businesses/{id}",
            get(one)
                .named("getBusiness", "The hierarchy of a business as it is set.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
        .route(
            "/businesses/{id}",
            put(set).named("putBusiness", "Says which brands a business has, and where each is sold."),
        )
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Business")]
struct Hierarchy {
    name: String,
    brands: Vec<Object<HierarchyBrand>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Brand")]
struct HierarchyBrand {
    id: BrandId,
    title: String,
    branches: Vec<BranchId>,
}

impl Checked<Arc<Shared>> for Hierarchy {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        let is_name = !self.name.trim().is_empty() && self.name.chars().count() <= NAME_MAX;
        faults.unless(is_name, "name", format!("expected 1 to {NAME_MAX} characters"));
        let mut seen = HashSet::new();
        for (b, Object(brand)) in self.brands.iter().enumerate() {
            let path = format!("brands[{b}].id");
            if !faults.has_read(&path) {
                continue;
            }
            faults.unless(brand.id.0 > 0, &*path, "expected an integer above zero");
            let message = || format!("brand {} is given more than once", brand.id);
            faults.unless(seen.insert(brand.id), &*path, message());
        }
        for (b, Object(brand)) in self.brands.iter().enumerate() {
            for (i, branch) in brand.branches.iter().enumerate() {
                let path = format!("brands[{b}].branches[{i}]");
                faults.unless(branch.0 > 0, path, "expected an integer above zero");
            }
        }
    }
}

/// A business and the hierarchy that it is to have.
struct Wish(BusinessId, Hierarchy);

impl Input<Arc<Shared>> for Wish {
    fn describe(operation: &mut Operation) {
        <PathId as Input<Arc<Shared>>>::describe(operation);
        <JsonBody<Hierarchy> as Input<Arc<Shared>>>::describe(operation);
    }

    async fn take(incoming: &mut Incoming, shared: &Arc<Shared>) -> Option<Self> {
        let id = PathId::take(incoming, shared).await;
        let body = JsonBody::<Hierarchy>::take(incoming, shared).await;
        let (PathId(id), JsonBody(hierarchy)) = id.zip(body)?;
        let wish = Wish(BusinessId(id), hierarchy);
        let faults = incoming.faults();
        // Where nothing else is wrong the store says it.
        if !faults.is_empty() {
            wish.check_owners(&*shared.store, faults);
        }
        Some(wish)
    }
}

impl Wish {
    /// Takes down which brands are of another business's hierarchy.
    fn check_owners(&self, store: &dyn Store, faults: &mut Faults) {
        for (b, Object(brand)) in self.1.brands.iter().enumerate() {
            let owner = store.business_of(brand.id).filter(|owner| *owner != self.0);
            faults.of(owner.map_or(Ok(()), |owner| Err(taken(b, brand.id, owner))));
        }
    }
}

/// What is wrong with a brand, the one at this place, that is another business's.
fn taken(at: usize, brand_id: BrandId, owner: BusinessId) -> Fault {
    Fault::new(format!("brands[{at}].id"), format!("brand {brand_id} belongs to business {owner}"))
}

async fn set(Extension(Acting(store)): Extension<Acting>, wish: Wish) -> Result<Answer<Hierarchy>> {
    let Wish(business_id, body) = &wish;
    let business = Business {
        business_id: *business_id,
        name: body.name.clone(),
        brands: body
            .brands
            .iter()
            .map(|Object(brand)| Brand {
                brand_id: brand.id,
                title: brand.title.clone(),
                branches: brand.branches.clone(),
            })
            .collect(),
    };
    match store.put_business(business).await.map_err(store_error)? {
        PutBusiness::Done | PutBusiness::Unchanged => Ok(Answer::ok(body)),
        PutBusiness::BrandTaken { brand_id, business_id } => {
            let at = body.brands.iter().position(|Object(brand)| brand.id == brand_id).unwrap_or_default();
            let mut faults = Faults::default();
            faults.of::<()>(Err(taken(at, brand_id, business_id)));
            // It stops at the first.
            wish.check_owners(&*store, &mut faults);
            Err(faults.none(()).expect_err("one was found"))
        }
    }
}

async fn one(State(shared): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer<Hierarchy>> {
    let business = shared.store.business(BusinessId(id)).await.map_err(store_error)?;
    let business = business.ok_or_else(|| ApiError::not_found("this business has no hierarchy set"))?;
    Ok(Answer::ok(&Hierarchy {
        name: business.name,
        brands: business
            .brands
            .into_iter()
            .map(|b| Object(HierarchyBrand { id: b.brand_id, title: b.title, branches: b.branches }))
            .collect(),
    }))
}
