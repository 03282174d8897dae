//! Orders: what may become of one, and how it is read.

use bytes::Bytes;
use hookit_contract::{
    Actor, BranchId, BrandId, BusinessId, EventType, KnownStatus, MoveRefusal, OrderId, OrderStatus, Record,
    RecordError, Timestamp,
};

/// Bytes of an order's record at most, as it is kept and sent. Edits of the cart could otherwise make it grow beyond what any
/// receiver takes.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Bytes of it when it is created, and after an edit of its cart: what moves add must never be too much. The most is a reason of 500
/// control characters, six bytes each in JSON; a longer version, flags and the names of new fields are some 300 bytes.
pub const RECORD_GIVEN_BYTES_MAX: usize = RECORD_BYTES_MAX - (4 << 10);

/// A change of one order.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new order. The record is as the surface gave it; the store sets the owned fields. An `id` in it is kept
    /// where it is free, else the platform gives the next one.
    Create {
        /// The record.
        record: Record,
    },
    /// A move to another status.
    Move {
        /// The order.
        order_id: OrderId,
        /// Where to.
        to: KnownStatus,
        /// Who asks.
        actor: Actor,
        /// Why, for a cancellation: an integer becomes `cancellation_reason_id`, a text `cancellation_reason`.
        reason: Option<Reason>,
        /// When it happened at the restaurant, where that is known. Kept with the event.
        occurred_at: Option<Timestamp>,
    },
    /// An edit of the cart: each field of `fields` replaces the record's, never merges.
    EditCart {
        /// The order.
        order_id: OrderId,
        /// The fields to replace; `cart` among them. Checked by the caller for fields that may not be edited.
        fields: Record,
    },
}

/// A reason code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A number of klikit's list.
    Code(i64),
    /// A text.
    Text(String),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It was made and is on disk, with its event and deliveries.
    Done(StoredOrder),
    /// The order is that already; nothing was written, nothing fires.
    Unchanged(StoredOrder),
    /// There is no such order.
    NoSuchOrder,
    /// The id is taken by another order.
    IdTaken(OrderId),
    /// The record cannot be an order of this installation, for these reasons; there is one at least.
    Invalid(Vec<Invalid>),
    /// The order may not make this move.
    MoveRefused(MoveRefusal),
    /// The order has ended in this status; its cart is final.
    CartFinal(OrderStatus),
}

/// Why a record cannot be an order of this installation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field is missing, of the wrong kind, or repeated.
    #[error(transparent)]
    Field(#[from] RecordError),
    /// The record would be over [`RECORD_GIVEN_BYTES_MAX`].
    #[error("the order's record would have {bytes} bytes; at most {RECORD_GIVEN_BYTES_MAX} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The status code is none that an order can begin with.
    #[error("status: a new order may not begin as {0}")]
    Status(OrderStatus),
    /// The business's hierarchy is registered, and this brand is not in it.
    #[error("{field}: brand {brand_id} is not a brand of business {business_id}")]
    UnknownBrand {
        /// The path of the field, `brands[0].id` for instance.
        field: String,
        /// The brand.
        brand_id: BrandId,
        /// The business.
        business_id: BusinessId,
    },
    /// The business's hierarchy is registered, and no brand of it is sold in this branch.
    #[error("branch_id: branch {branch_id} is not a branch of business {business_id}")]
    UnknownBranchOfBusiness {
        /// The branch.
        branch_id: BranchId,
        /// The business.
        business_id: BusinessId,
    },
    /// The brand's branches are registered, and this branch is not among them.
    #[error("branch_id: branch {branch_id} is not a branch of brand {brand_id}")]
    UnknownBranch {
        /// The branch.
        branch_id: BranchId,
        /// The brand.
        brand_id: BrandId,
    },
}

impl Invalid {
    /// The field at fault, where it is one field.
    pub fn field(&self) -> Option<&str> {
        match self {
            Invalid::Field(error) => error.field(),
            Invalid::TooLarge { .. } => None,
            Invalid::Status(_) => Some("status"),
            Invalid::UnknownBrand { field, .. } => Some(field),
            Invalid::UnknownBranchOfBusiness { .. } | Invalid::UnknownBranch { .. } => Some("branch_id"),
        }
    }
}

/// An order as it stands.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    /// Its id.
    pub order_id: OrderId,
    /// The business that it belongs to.
    pub business_id: BusinessId,
    /// The branch.
    pub branch_id: BranchId,
    /// The present status.
    pub status: OrderStatus,
    /// The present version.
    pub version: i64,
    /// The record's bytes: the same ones that a webhook of this version carries.
    pub record: Bytes,
}

/// An order that changed lately.
#[derive(Clone, Debug)]
pub struct LatelyChanged {
    /// As it stands.
    pub order: StoredOrder,
    /// When it changed last.
    pub changed_at: Timestamp,
}

/// What happened to an order.
#[derive(Clone, Debug)]
pub struct OrderEvent {
    /// What it was.
    pub event_type: EventType,
    /// The order's version after it.
    pub version: i64,
    /// Its status before; none for a new order.
    pub status_from: Option<OrderStatus>,
    /// Its status after.
    pub status: OrderStatus,
    /// Who did it.
    pub actor: Actor,
    /// When it happened at the restaurant, where that was said.
    pub occurred_at: Option<Timestamp>,
    /// When it was committed.
    pub created_at: Timestamp,
    /// The record after it; none where those of newer events are as much as was asked for.
    pub record: Option<Bytes>,
}

/// Which orders to list, by id, upwards.
#[derive(Clone, Debug, Default)]
pub struct OrderQuery {
    /// Only ids above this one.
    pub after: Option<OrderId>,
    /// Only this business.
    pub business_id: Option<BusinessId>,
    /// At most so many.
    pub limit: usize,
    /// Records of about so many bytes at most, but one in any case.
    pub record_bytes_max: usize,
}

/// A page of orders, by id.
#[derive(Clone, Debug, Default)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<StoredOrder>,
    /// True where there are more behind the last one.
    pub more: bool,
}

/// Which of a business's orders to find, in the order in which they were created.
#[derive(Clone, Debug)]
pub struct OrderSearch {
    /// The business.
    pub business_id: BusinessId,
    /// Created at or after.
    pub created_from: Timestamp,
    /// Created before.
    pub created_to: Timestamp,
    /// Only in this status.
    pub status: Option<OrderStatus>,
    /// Only those that this brand has a part in.
    pub brand_id: Option<BrandId>,
    /// Only of this branch.
    pub branch_id: Option<BranchId>,
    /// Pass over so many of them.
    pub skip: u64,
    /// At most so many.
    pub limit: usize,
}

/// Where the bytes of a record are kept. They never change; they go when they are too old and no order's newest ones any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    /// Its number.
    pub record_id: i64,
    /// The order.
    pub order_id: OrderId,
    /// The order's version that it is of.
    pub version: i64,
    /// Its length.
    pub bytes: usize,
}

/// Some of the orders that were searched for.
#[derive(Clone, Debug, Default)]
pub struct OrdersFound {
    /// The newest record of each, which [`Store::records`](super::Store::records) reads.
    pub records: Vec<RecordPlace>,
    /// How many there are in all, at the same moment.
    pub total: u64,
}
