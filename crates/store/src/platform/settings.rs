//! How a registration wants to be served. Kept here, acted upon elsewhere: by the fan-out, which forms the deliveries,
//! and by the dispatcher, which sends them.

/// In which order an endpoint's deliveries go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Those that carry the same order strictly one after the other.
    #[default]
    PerOrder,
    /// None waits for another.
    None,
}

impl Ordering {
    /// Both.
    pub const ALL: [Ordering; 2] = [Ordering::PerOrder, Ordering::None];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ordering::PerOrder => "per_order",
            Ordering::None => "none",
        }
    }
}

impl std::str::FromStr for Ordering {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ordering::ALL.into_iter().find(|o| o.as_str() == text).ok_or(())
    }
}

/// What a registration says about how its endpoint is served, or all of an endpoint's registrations together: then the
/// strictest counts, whichever was made last. So each may be changed and removed by itself, and none can loosen what
/// another asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// In which order. Without order only where every registration says so.
    pub ordering: Ordering,
    /// Attempts under way at a time; the installation's limit where it is not said.
    pub in_flight_max: Option<u32>,
    /// Attempts that begin in a second; no limit where it is not said.
    pub rate_per_second_max: Option<u32>,
}

/// All that a registration says about how it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookSettings {
    /// What concerns the endpoint as a whole.
    pub endpoint: EndpointSettings,
    /// Orders in one of its deliveries; the installation's limit where it is not said.
    pub orders_per_delivery_max: Option<u32>,
    /// Of an order's deliveries that wait, only the newest is sent.
    pub coalesce: bool,
}
