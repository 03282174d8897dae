//! Businesses: the hierarchy that orders and registrations are checked against, where one is set.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{BranchId, BrandId, BusinessId, ErrorCode};
use hookit_server::routes::{Routes, get, put};
use hookit_server::{Answer, ApiError, Fault, Faults, JsonBody, Object, PathId};
use hookit_store::platform::{Brand, Business, PutBusiness};
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

async fn set(
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    JsonBody(body): JsonBody<Hierarchy>,
) -> Result<Answer<Hierarchy>> {
    let mut faults = Faults::default();
    let is_name = !body.name.trim().is_empty() && body.name.chars().count() <= NAME_MAX;
    faults.unless(is_name, "name", format!("expected 1 to {NAME_MAX} characters"));
    let mut seen = HashSet::new();
    for (b, Object(brand)) in body.brands.iter().enumerate() {
        if brand.id.0 <= 0 {
            faults.add(format!("brands[{b}].id"), "expected an integer above zero");
        }
        if !seen.insert(brand.id) {
            faults.add(format!("brands[{b}].id"), format!("brand {} is given more than once", brand.id));
        }
        for (i, branch) in brand.branches.iter().enumerate() {
            if branch.0 <= 0 {
                faults.add(format!("brands[{b}].branches[{i}]"), "expected an integer above zero");
            }
        }
    }
    faults.none(())?;
    let business = Business {
        business_id: BusinessId(id),
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
        PutBusiness::Done | PutBusiness::Unchanged => Ok(Answer::ok(&body)),
        PutBusiness::BrandTaken { brand_id, business_id } => {
            let at = body.brands.iter().position(|Object(brand)| brand.id == brand_id).unwrap_or_default();
            let message = format!("brand {brand_id} belongs to business {business_id}");
            Err(Fault::new(format!("brands[{at}].id"), message).into())
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
