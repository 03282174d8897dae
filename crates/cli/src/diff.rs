//! `hookit diff`: proves that an inbox's view equals the platform's orders, record by record (G8).
//!
//! Both sides list their orders by id, so two pages at a time are compared and nothing has to fit into memory. A
//! record that differs may merely be on its way; those are asked for again until they agree or the time is up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{BusinessId, KnownStatus, OrderStatus, Record, StatusCodes};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::Client;
use crate::exit::{Exit, coded, usage};
use crate::output::{self, Output};
use crate::platform::OPERATOR_TOKEN;

/// Orders asked for at a time.
const PAGE: usize = 500;
/// Differences that are listed; all are counted.
const LISTED_MAX: usize = 20;
/// Pause before records that differ are asked for again.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The platform.
    #[arg(long, value_name = "URL", env = "HOOKIT_URL")]
    platform: String,
    /// The inbox.
    #[arg(long, value_name = "URL")]
    inbox: String,
    /// The inbox's read token, where it asks for one.
    #[arg(long, value_name = "TOKEN", env = "HOOKIT_INBOX_TOKEN", hide_env_values = true)]
    inbox_token: Option<String>,
    /// Only the orders of this business, the one whose partner the inbox is.
    #[arg(long, value_name = "ID")]
    business_id: Option<i64>,
    /// How long to give records that are on their way, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    settle: u64,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The two sides.
pub(crate) struct Sides {
    pub(crate) platform: Client,
    pub(crate) inbox: Client,
    pub(crate) business_id: Option<i64>,
}

/// Orders by status, in the order of [`KnownStatus::ALL`].
pub(crate) type Statuses = [u64; KnownStatus::ALL.len()];

/// How long, and how many of, the records that differ are asked for again.
#[derive(Clone, Copy)]
pub(crate) struct Settling {
    pub(crate) time: Duration,
    pub(crate) orders_max: usize,
}

impl Settling {
    /// All of them, for so long.
    pub(crate) fn all(time: Duration) -> Self {
        Settling { time, orders_max: usize::MAX }
    }
}

/// What the comparison found.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Orders that both have, alike to the byte.
    pub(crate) equal: u64,
    /// Orders that differ.
    pub(crate) different: u64,
    /// Orders that the inbox lacks.
    pub(crate) missing: u64,
    /// Orders that the platform does not have.
    pub(crate) extra: u64,
    /// The first of them.
    pub(crate) differences: Vec<Difference>,
    /// The platform's orders by status, as they were read at first.
    #[serde(skip)]
    pub(crate) platform_statuses: Statuses,
    /// The inbox's.
    #[serde(skip)]
    pub(crate) inbox_statuses: Statuses,
}

/// One order that is not the same on both sides.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    order_id: i64,
    what: &'static str,
    platform_version: Option<i64>,
    inbox_version: Option<i64>,
}

impl Comparison {
    /// True where every order is on both sides, alike.
    pub(crate) fn is_equal(&self) -> bool {
        self.different == 0 && self.missing == 0 && self.extra == 0
    }

    /// The result in words.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "orders equal {}, different {}, missing in the inbox {}, unknown to the platform {}",
            self.equal, self.different, self.missing, self.extra
        );
        let version = |v: Option<i64>| v.map_or_else(|| "-".to_owned(), |v| v.to_string());
        for d in &self.differences {
            let (platform, inbox) = (version(d.platform_version), version(d.inbox_version));
            let _ = writeln!(
                out,
                "  order {}: {} (version {platform} on the platform, {inbox} in the inbox)",
                d.order_id, d.what
            );
        }
        out
    }
}

/// A page of either side's list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    orders: Vec<&'a RawValue>,
    next_after: Option<i64>,
}

/// Reads one side's orders by id, a page at a time.
struct Listing<'a> {
    client: &'a Client,
    path: String,
    page: std::vec::IntoIter<(i64, Bytes)>,
    /// Where the next page begins; none at the end.
    after: Option<i64>,
    statuses: Statuses,
}

impl<'a> Listing<'a> {
    fn new(client: &'a Client, path: String) -> Self {
        Listing { client, path, page: Vec::new().into_iter(), after: Some(0), statuses: Statuses::default() }
    }

    async fn next(&mut self) -> anyhow::Result<Option<(i64, Bytes)>> {
        loop {
            if let Some(order) = self.page.next() {
                return Ok(Some(order));
            }
            let Some(after) = self.after else { return Ok(None) };
            let reply = self.client.get(&format!("{}after={after}&limit={PAGE}", self.path)).await?;
            let page: Page<'_> = reply.data()?;
            let mut orders = Vec::with_capacity(page.orders.len());
            for order in page.orders {
                let bytes = reply.body.slice_ref(order.get().as_bytes());
                let record = Record::parse(bytes.clone()).ok();
                let id = record.as_ref().and_then(|r| r.id().ok().flatten());
                let id =
                    id.ok_or_else(|| coded(Exit::Refused, "a list of orders with one that has no id"))?;
                let status = record.and_then(|r| r.status(&StatusCodes::default()).ok().flatten());
                if let Some(OrderStatus::Known(status)) = status {
                    self.statuses[status as usize] += 1;
                }
                orders.push((id.0, bytes));
            }
            self.after = page.next_after;
            self.page = orders.into_iter();
        }
    }
}

fn version(record: &Option<Bytes>) -> Option<i64> {
    Record::parse(record.clone()?).ok()?.version()
}

/// Compares both sides; records that differ are asked for again.
pub(crate) async fn compare(sides: &Sides, settling: Settling) -> anyhow::Result<Comparison> {
    let business = sides.business_id.map_or_else(String::new, |id| format!("business_id={id}&"));
    let mut platform = Listing::new(&sides.platform, format!("/v1/operator/orders?{business}"));
    let mut inbox = Listing::new(&sides.inbox, "/orders?".to_owned());
    let mut equal = 0;
    let mut unequal: BTreeMap<i64, (Option<Bytes>, Option<Bytes>)> = BTreeMap::new();
    let (mut left, mut right) = (platform.next().await?, inbox.next().await?);
    loop {
        let ids = (left.as_ref().map(|(id, _)| *id), right.as_ref().map(|(id, _)| *id));
        match ids {
            (None, None) => break,
            (Some(l), Some(r)) if l == r => {
                let (a, b) = (left.take().map(|o| o.1), right.take().map(|o| o.1));
                if a == b {
                    equal += 1;
                } else {
                    unequal.insert(l, (a, b));
                }
                (left, right) = (platform.next().await?, inbox.next().await?);
            }
            (Some(l), r) if r.is_none_or(|r| l < r) => {
                unequal.insert(l, (left.take().map(|o| o.1), None));
                left = platform.next().await?;
            }
            (_, r) => {
                unequal.insert(r.unwrap_or_default(), (None, right.take().map(|o| o.1)));
                right = inbox.next().await?;
            }
        }
    }
    let pauses = settling.time.as_millis() / PAUSE.as_millis();
    for _ in 0..pauses {
        if unequal.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let ids: Vec<i64> = unequal.keys().copied().take(settling.orders_max).collect();
        for id in ids {
            // By itself an order is found whosever it is; in the list only this business's were.
            let ours = |order: &Bytes| match sides.business_id {
                Some(id) => Record::parse(order.clone())
                    .is_ok_and(|record| record.business_id() == Ok(Some(BusinessId(id)))),
                None => true,
            };
            let now = (
                one(&sides.platform, &format!("/v1/operator/orders/{id}")).await?.filter(ours),
                one(&sides.inbox, &format!("/orders/{id}")).await?,
            );
            if now.0 == now.1 && now.0.is_some() {
                unequal.remove(&id);
                equal += 1;
            } else {
                unequal.insert(id, now);
            }
        }
    }
    let mut found = Comparison {
        equal,
        different: 0,
        missing: 0,
        extra: 0,
        differences: Vec::new(),
        platform_statuses: platform.statuses,
        inbox_statuses: inbox.statuses,
    };
    for (order_id, (left, right)) in unequal {
        let what = match (&left, &right) {
            (Some(_), None) => {
                found.missing += 1;
                "missing in the inbox"
            }
            (None, _) => {
                found.extra += 1;
                "unknown to the platform"
            }
            (Some(_), Some(_)) => {
                found.different += 1;
                "different records"
            }
        };
        if found.differences.len() < LISTED_MAX {
            let (platform_version, inbox_version) = (version(&left), version(&right));
            found.differences.push(Difference { order_id, what, platform_version, inbox_version });
        }
    }
    Ok(found)
}

/// One order's record; none where there is no such order.
async fn one(client: &Client, path: &str) -> anyhow::Result<Option<Bytes>> {
    let reply = client.send(Method::GET, path, Bytes::new()).await?;
    if reply.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !reply.status.is_success() {
        return Err(coded(Exit::Refused, format!("{path}: {}", reply.explain())));
    }
    let data: &RawValue = reply.data()?;
    Ok(Some(reply.body.slice_ref(data.get().as_bytes())))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let token = std::env::var(OPERATOR_TOKEN)
        .map_err(|_| usage(format!("{OPERATOR_TOKEN} is not set: the platform's operator token")))?;
    let sides = Sides {
        platform: Client::new(&args.platform, Some(&token))?,
        inbox: Client::new(&args.inbox, args.inbox_token.as_deref())?,
        business_id: args.business_id,
    };
    let found = compare(&sides, Settling::all(Duration::from_secs(args.settle))).await?;
    match args.output {
        Output::Table => output::print(&found.table())?,
        Output::Json => output::print_json(&found)?,
    }
    Ok(if found.is_equal() { Exit::Success } else { Exit::Differs })
}
