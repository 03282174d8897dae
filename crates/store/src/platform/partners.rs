//! Partners, and the hierarchy of a business: its brands and where they are sold.

use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, BusinessId, PartnerId, Timestamp};

/// A partner as it is kept. Secrets are opaque here: hashed or encrypted by the caller.
#[derive(Clone)]
pub struct Partner {
    /// Its id.
    pub partner_id: PartnerId,
    /// Its name.
    pub name: String,
    /// The one business that its credential belongs to.
    pub business_id: BusinessId,
    /// The scopes, as on the wire.
    pub scopes: Vec<String>,
    /// The public half of the credential.
    pub partner_key: String,
    /// A keyed hash of the secret half.
    pub secret_hash: Bytes,
    /// The webhook secret, encrypted.
    pub webhook_secret: Bytes,
    /// The one that takes its place from a moment on, which may have come already.
    pub webhook_secret_next: Option<(Bytes, Timestamp)>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// Which partners to list: by their ids, which are in the order in which they were issued.
#[derive(Clone, Debug)]
pub struct PartnerQuery {
    /// Only those behind this one.
    pub after: Option<PartnerId>,
    /// From the last one down, instead of from the first one up.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// A change of a partner.
#[derive(Clone)]
pub enum PartnerChange {
    /// Another secret from now on; the old one fails at once. Not for a credential that was revoked.
    RotateSecret {
        /// The keyed hash of the new one.
        secret_hash: Bytes,
    },
    /// Another webhook secret from now on.
    RotateWebhookSecret {
        /// The new one, encrypted.
        webhook_secret: Bytes,
    },
    /// Another webhook secret from a moment on. One that was to come is replaced.
    StageWebhookSecret {
        /// The new one, encrypted.
        webhook_secret: Bytes,
        /// The moment.
        current_at: Timestamp,
    },
    /// No more calls. Deliveries go on: what a partner is sent is another matter than what it may ask, and so its registrations
    /// and its webhook secret can be changed as before.
    Revoke,
}

/// What became of a change of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartnerChanged {
    /// It is made.
    Done,
    /// It stood so already: revoked again is revoked since the first time.
    Unchanged,
    /// The credential was revoked, and no other secret brings it back.
    Revoked,
    /// There is no such partner.
    NoSuchPartner,
}

/// A business's hierarchy: which brands it has, and in which branches each is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Business {
    /// The business.
    pub business_id: BusinessId,
    /// Its name.
    pub name: String,
    /// Its brands.
    pub brands: Vec<Brand>,
}

/// A brand in a business's hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// The brand.
    pub brand_id: BrandId,
    /// Its name.
    pub title: String,
    /// Where it is sold.
    pub branches: Vec<BranchId>,
}

/// What became of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutBusiness {
    /// It is as asked now; the one before is replaced.
    Done,
    /// It stood so already.
    Unchanged,
    /// A brand belongs to another business.
    BrandTaken {
        /// The brand.
        brand_id: BrandId,
        /// Whose it is.
        business_id: BusinessId,
    },
}
