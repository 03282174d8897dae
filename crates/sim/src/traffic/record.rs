//! One order as a surface posts it: who ordered what, where, through whom, and what it costs.
//!
//! The record has every field of the contract's section 6 except those the platform gives itself, and some that no
//! contract names, since real records have those too. Edits of the cart are written here as well: a cart and its
//! totals must come from the same place at creation and later.

use std::fmt::Display;
use std::time::Duration;

use hookit_contract::{BranchId, BrandId, BusinessId, Timestamp};
use rand::Rng;

use super::cart::{Cart, Line, Shop};
use super::dice::Dice;
use super::json::Json;
use super::money::{Currency, Terms, Totals};
use super::people::RIDERS;
use super::world::World;

/// Room that is left for the fields that the platform adds, below the 10 KB that a realistic record may have.
const POSTED_BYTES_MAX: usize = 9_700;

/// How the guest gets the meal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderType {
    /// The guest fetches it.
    Pickup,
    /// A courier brings it.
    Delivery,
    /// The guest eats in the house.
    DineIn,
}

impl OrderType {
    /// The code in the record.
    pub const fn code(self) -> i64 {
        match self {
            OrderType::Pickup => 1,
            OrderType::Delivery => 2,
            OrderType::DineIn => 3,
        }
    }
}

/// A new order, and what [`World::life`] needs to know of it.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The record: JSON text of one object, without the fields that the platform owns.
    pub record: Vec<u8>,
    /// The surface's own id of the order, unique within a world.
    pub external_id: String,
    /// The business.
    pub business: BusinessId,
    /// The branch that cooks it.
    pub branch: BranchId,
    /// The brands in it; the order is delivered once for each that has a registration.
    pub brands: Vec<BrandId>,
    /// How the guest gets it.
    pub order_type: OrderType,
    /// For an order that starts in SCHEDULED: how long after its creation it is wanted.
    pub scheduled_for: Option<Duration>,
    /// Index of the branch in the world.
    pub(super) branch_index: usize,
    pub(super) cart: Cart,
    pub(super) terms: Terms,
}

/// How a marketplace names its orders.
fn provider_ids(dice: &mut Dice<'_>, provider: i64, mark: i64, number: i64) -> (String, String) {
    let noise = dice.between(0x1000, 0xffff);
    match provider {
        1 => (format!("KL-{mark}-{number}"), format!("K{:04}", number % 10_000)),
        2 => (
            format!("{mark:08x}-0000-4{:03x}-8{:03x}-{number:012x}", noise & 0xfff, noise >> 4),
            format!("{noise:05X}"),
        ),
        3 => (format!("sg:{mark}{number:09}"), format!("#{:04}", noise % 10_000)),
        6 => (format!("{number}-C{mark}{noise:X}"), format!("GF-{:03}", noise % 1_000)),
        7 => (format!("x{noise:x}-{mark}-{number}"), format!("{:03}", noise % 1_000)),
        9 => (format!("F-{mark}{number:08}"), format!("{:04}", noise % 10_000)),
        _ => (format!("P{provider}-{mark}-{number:07}"), format!("{noise:X}")),
    }
}

/// The last name is written first, and without a space, where these languages are written.
fn full_name(language: &str, first: &str, last: &str) -> String {
    match language {
        "ja" | "zh-TW" => format!("{last}{first}"),
        "vi" => format!("{last} {first}"),
        _ if last.is_empty() => first.to_owned(),
        _ => format!("{first} {last}"),
    }
}

fn write_money(out: &mut Json, totals: &Totals, currency: Currency) {
    for (name, amount) in [
        ("item_price", totals.item_price),
        ("final_price", totals.final_price),
        ("discount", totals.discount()),
        ("merchant_discount", totals.merchant_discount),
        ("customer_discount", totals.customer_discount),
        ("provider_discount", totals.provider_discount),
        ("delivery_fee", totals.delivery_fee),
        ("additional_fee", totals.additional_fee),
        ("gateway_fee", totals.gateway_fee),
        ("service_fee", totals.service_fee),
        ("restaurant_service_fee", totals.restaurant_service_fee),
        ("custom_fee", totals.custom_fee),
        ("vat", totals.vat),
        ("reward_discount", totals.reward_discount),
        ("round_off_amount", totals.round_off),
        ("provider_sub_total", totals.item_price),
        ("provider_grand_total", totals.final_price),
        ("provider_additional_fee", totals.additional_fee),
    ] {
        out.money(name, amount, currency);
    }
}

/// All that is decided before the first byte is written.
struct Plan {
    provider: i64,
    source: &'static str,
    number: i64,
    external_id: String,
    short_id: String,
    scheduled_at: Option<Timestamp>,
    preparation_minutes: i64,
    fake: bool,
    manual: bool,
    auto_accept: bool,
}

impl World {
    /// A new order, created at `now`.
    pub fn order(&mut self, rng: &mut dyn Rng, now: Timestamp) -> NewOrder {
        let dice = &mut Dice(rng);
        let branch_index = dice.below(self.branches.len());
        let country = self.branches[branch_index].place();
        let provider = if dice.chance(35) { 1 } else { dice.pick(country.providers) };
        let order_type = if provider == 1 {
            dice.weighted(&[(35, OrderType::Pickup), (35, OrderType::Delivery), (30, OrderType::DineIn)])
        } else {
            dice.weighted(&[(12, OrderType::Pickup), (88, OrderType::Delivery)])
        };
        let source = match (provider, order_type) {
            (1, OrderType::DineIn) => dice.pick(&["kiosk", "qr_table"]),
            (1, _) => dice.pick(&["webshop", "kiosk", "pos"]),
            _ => "marketplace",
        };
        let scheduled_for = (order_type != OrderType::DineIn && dice.chance(6))
            .then(|| Duration::from_secs(60 * dice.between(90, 26 * 60).unsigned_abs()));
        let cart = self.cart_by_chance(dice, branch_index);
        let terms = self.terms_by_chance(dice, branch_index, provider, order_type);
        let number = self.next_number();
        let (external_id, short_id) = provider_ids(dice, provider, self.mark, number);
        let plan = Plan {
            provider,
            source,
            number,
            external_id,
            short_id,
            scheduled_at: scheduled_for.map(|later| now.plus(later)),
            preparation_minutes: dice.between(8, 35),
            fake: dice.chance(2),
            manual: source == "pos",
            auto_accept: dice.chance(40),
        };
        let branch = &self.branches[branch_index];
        let mut order = NewOrder {
            record: Vec::new(),
            external_id: plan.external_id.clone(),
            business: World::BUSINESS,
            branch: branch.id,
            brands: Vec::new(),
            order_type,
            scheduled_for,
            branch_index,
            cart,
            terms,
        };
        let ascii_only = dice.chance(5);
        let details = self.details_by_chance(dice, &order, &plan, now);
        loop {
            order.brands = order.cart.brands(branch).into_iter().map(|brand| self.brands[brand].id).collect();
            order.record = self.write_record(&order, &plan, &details, ascii_only, now);
            if order.record.len() <= POSTED_BYTES_MAX {
                return order;
            }
            // Escaped or modified beyond the size of a real record: fewer modifiers, then fewer lines.
            let last = order.cart.lines.last_mut().expect("a cart has a line");
            if last.picked.pop().is_none() {
                assert!(order.cart.lines.len() > 1, "one plain line is below the limit");
                order.cart.lines.pop();
            }
        }
    }

    /// A new order of about 2 KB, for benches: one plain line, and only the fields that matter.
    pub fn small_order(&mut self, rng: &mut dyn Rng, now: Timestamp) -> NewOrder {
        let dice = &mut Dice(rng);
        let branch_index = dice.below(self.branches.len());
        let number = self.next_number();
        let branch = &self.branches[branch_index];
        let menu = dice.below(branch.menus.len());
        let mut line = Line::by_chance(dice, branch, menu, 0);
        line.quantity = 1;
        let cart = Cart { lines: vec![line] };
        let terms = Terms::default();
        let (external_id, short_id) = provider_ids(dice, 1, self.mark, number);
        let brands: Vec<usize> = cart.brands(branch);
        let folk = branch.folk();
        let currency = branch.place().currency;
        let mut out = Json::new(false);
        out.open('{');
        out.plain("external_id", &external_id);
        out.plain("short_id", &short_id);
        out.int("business_id", World::BUSINESS.0);
        out.int("branch_id", branch.id.0);
        self.write_brands(&mut out, &brands);
        out.int("provider_id", 1);
        out.str("source", "webshop");
        out.int("type", OrderType::Pickup.code());
        out.int("payment_status", 1);
        out.int("payment_method", 17);
        out.str("currency", currency.code);
        out.bool("is_vat_included", branch.place().tax.included);
        out.plain("estimated_pickup_at", now.plus(Duration::from_secs(900)));
        let totals = self.totals(branch_index, &cart, &terms);
        for (name, amount) in [
            ("item_price", totals.item_price),
            ("discount", totals.discount()),
            ("delivery_fee", totals.delivery_fee),
            ("additional_fee", totals.additional_fee),
            ("service_fee", totals.service_fee),
            ("vat", totals.vat),
            ("final_price", totals.final_price),
        ] {
            out.money(name, amount, currency);
        }
        out.str("user_first_name", dice.pick(folk.first_names));
        out.str("user_last_name", dice.pick(folk.last_names));
        out.plain("user_phone", format_args!("{}{:02}", folk.phone_prefix, number % 100));
        out.plain("user_email", format_args!("guest{number}@example.com"));
        out.raw("delivery_address", "null");
        out.str("order_comment", dice.pick(folk.order_comments));
        cart.write(&mut out, self.shop(branch_index));
        out.close('}');
        NewOrder {
            record: out.into_bytes(),
            external_id,
            business: World::BUSINESS,
            branch: branch.id,
            brands: brands.into_iter().map(|brand| self.brands[brand].id).collect(),
            order_type: OrderType::Pickup,
            scheduled_for: None,
            branch_index,
            cart,
            terms,
        }
    }

    /// The body of an edit that leaves the order with this cart.
    pub(super) fn edit_body(&self, order: &NewOrder, cart: &Cart) -> Vec<u8> {
        let currency = self.branches[order.branch_index].place().currency;
        let mut out = Json::new(false);
        out.open('{');
        cart.write(&mut out, self.shop(order.branch_index));
        let totals = self.totals(order.branch_index, cart, &order.terms);
        write_money(&mut out, &totals, currency);
        write_promos(&mut out, &totals);
        out.close('}');
        out.into_bytes()
    }

    fn next_number(&mut self) -> i64 {
        self.orders_made += 1;
        self.orders_made
    }

    fn shop(&self, branch_index: usize) -> Shop<'_> {
        let branch = &self.branches[branch_index];
        Shop { brands: &self.brands, branch, currency: branch.place().currency, tax: branch.place().tax }
    }

    fn totals(&self, branch_index: usize, cart: &Cart, terms: &Terms) -> Totals {
        let shop = self.shop(branch_index);
        Totals::of(cart.price(shop), terms, shop.tax, shop.currency)
    }

    fn cart_by_chance(&self, dice: &mut Dice<'_>, branch_index: usize) -> Cart {
        let branch = &self.branches[branch_index];
        let first = dice.below(branch.menus.len());
        let mixed = branch.menus.len() > 1 && dice.chance(12);
        let lines = dice.weighted(&[(66, 1), (24, 2), (6, 3), (3, 4), (1, 6)]).max(if mixed { 2 } else { 1 });
        let second = (first + 1) % branch.menus.len();
        let lines = (0..lines)
            .map(|n| Line::by_chance(dice, branch, if mixed && n % 2 == 1 { second } else { first }, 22))
            .collect();
        Cart { lines }
    }

    fn terms_by_chance(
        &self,
        dice: &mut Dice<'_>,
        branch_index: usize,
        provider: i64,
        order_type: OrderType,
    ) -> Terms {
        let country = self.branches[branch_index].place();
        let price = |cents| country.currency.menu_price(cents);
        let delivered = order_type == OrderType::Delivery;
        Terms {
            merchant_discount_rate: dice.weighted(&[(70, 0), (12, 1_000), (10, 1_500), (8, 2_000)]),
            provider_discount_max: if provider != 1 && dice.chance(20) {
                price(dice.between(50, 150))
            } else {
                0
            },
            customer_discount_max: if dice.chance(5) { price(100) } else { 0 },
            reward_max: if provider == 1 && dice.chance(8) { price(dice.between(20, 90)) } else { 0 },
            delivery_fee: if delivered { price(dice.between(40, 220)) } else { 0 },
            additional_fee: if dice.chance(30) { price(20) } else { 0 },
            service_fee: if provider != 1 { price(30) } else { 0 },
            custom_fee: if dice.chance(6) { price(15) } else { 0 },
            gateway_rate: if provider == 1 && dice.chance(50) { 70 } else { 0 },
            service_rate: if order_type == OrderType::DineIn { country.tax.dine_in_service } else { 0 },
            cash: dice.chance(30),
        }
    }

    fn write_brands(&self, out: &mut Json, brands: &[usize]) {
        let titles: Vec<&str> = brands.iter().map(|&brand| self.brands[brand].title.as_str()).collect();
        out.str("brand_name", &titles.join(" + "));
        out.open_at("brands", '[');
        for &brand in brands {
            let brand = &self.brands[brand];
            out.open('{');
            out.int("id", brand.id.0);
            out.str("title", &brand.title);
            out.plain("logo", format_args!("https://img.example.com/b/{}.png", brand.id));
            out.close('}');
        }
        out.close(']');
    }

    /// People, payment, courier and the vendor's own fields, drawn once, so that writing the record again after
    /// making its cart smaller tells the same story.
    fn details_by_chance(
        &self,
        dice: &mut Dice<'_>,
        order: &NewOrder,
        plan: &Plan,
        now: Timestamp,
    ) -> Details {
        let branch = &self.branches[order.branch_index];
        let folk = branch.folk();
        let delivered = order.order_type == OrderType::Delivery;
        let guest = order.order_type != OrderType::DineIn || dice.chance(30);
        let first = dice.pick(folk.first_names);
        let last = dice.pick(folk.last_names);
        let address =
            delivered.then(|| format!("{}, {}", dice.pick(folk.streets), dice.pick(folk.districts)));
        let courier = (delivered && dice.chance(25)).then(|| Courier {
            rider: dice.below(RIDERS.len()),
            latitude_e6: dice.between(0, 89_999_999),
            longitude_e6: dice.between(90_000_000, 149_999_999),
            pickup_at: now.plus(Duration::from_secs(60 * plan.preparation_minutes.unsigned_abs())),
            pin: dice.between(0, 9_999),
        });
        Details {
            first: if guest { first } else { "" },
            last: if guest { last } else { "" },
            full: if guest { full_name(branch.language, first, last) } else { String::new() },
            phone: format!("{}{:02}", folk.phone_prefix, dice.between(0, 99)),
            email: format!("guest{}@example.com", dice.between(100, 99_999)),
            guest,
            address,
            order_comment: dice.chance(35).then(|| dice.pick(folk.order_comments)),
            delivery_comment: (delivered && dice.chance(60)).then(|| dice.pick(folk.delivery_comments)),
            table: dice.between(1, 40),
            courier,
            user_id: dice.between(10_000, 9_999_999),
            vehicle: order.order_type == OrderType::Pickup && dice.chance(15),
            vendor: dice.below(4),
            noise: dice.between(0, 99_999),
        }
    }

    fn write_record(
        &self,
        order: &NewOrder,
        plan: &Plan,
        details: &Details,
        ascii_only: bool,
        now: Timestamp,
    ) -> Vec<u8> {
        let branch = &self.branches[order.branch_index];
        let currency = branch.place().currency;
        let totals = self.totals(order.branch_index, &order.cart, &order.terms);
        let brands = order.cart.brands(branch);
        let mut out = Json::new(ascii_only);
        let out = &mut out;
        out.open('{');
        out.plain("external_id", &plan.external_id);
        out.plain("short_id", &plan.short_id);
        out.plain("identity", format_args!("{}-{}-{}", World::BUSINESS, branch.id, plan.number));
        out.int("business_id", World::BUSINESS.0);
        out.int("branch_id", branch.id.0);
        self.write_brands(out, &brands);
        out.int("provider_id", plan.provider);
        out.str("source", plan.source);
        out.int("type", order.order_type.code());
        out.plain("klikit_store_id", format_args!("{}-{}", branch.country, branch.id));

        write_state(out, order, plan, now);

        let paid = !order.terms.cash;
        out.int("payment_status", if paid { 1 } else { 3 });
        out.int("payment_method", if order.terms.cash { 2 } else { 17 });
        out.int("payment_channel", if plan.provider == 1 { 4 } else { 0 });
        out.int("payment_channel_id", if plan.provider == 1 { 4 } else { 0 });
        if paid && plan.provider == 1 {
            out.plain("payment_invoice_id", format_args!("INV-{}-{}", self.mark, plan.number));
        } else {
            out.raw("payment_invoice_id", "null");
        }
        write_money(out, &totals, currency);
        out.str("currency", currency.code);
        out.str("currency_symbol", currency.symbol);
        out.int("discount_type", i64::from(order.terms.merchant_discount_rate > 0));
        out.int("discount_value", order.terms.merchant_discount_rate / 100);
        out.bool("is_vat_included", branch.place().tax.included);
        out.bool("fee_paid_by_customer", order.terms.gateway_rate > 0);
        write_promos(out, &totals);

        details.write(out, order, branch.place().code);
        order.cart.write(out, self.shop(order.branch_index));

        out.bool("is_fake", plan.fake);
        out.bool("is_manual_order", plan.manual);
        out.bool("is_foodpanda_api_order", plan.provider == 7);
        out.bool("is_interceptor_order", plan.provider == 17);
        out.bool("is_mix_and_match_order", brands.len() > 1);
        out.bool("is_merchant_delivery", order.order_type == OrderType::Delivery && plan.provider == 1);
        details.write_vendor(out, branch.place().utc_offset_hours);
        out.close('}');
        std::mem::replace(out, Json::new(false)).into_bytes()
    }
}

fn time_or_null(out: &mut Json, key: &str, time: Option<impl Display>) {
    match time {
        Some(time) => out.plain(key, time),
        None => out.raw(key, "null"),
    }
}

fn write_state(out: &mut Json, order: &NewOrder, plan: &Plan, now: Timestamp) {
    if plan.scheduled_at.is_some() {
        out.int("status", 6);
    }
    let ready_at = plan
        .scheduled_at
        .unwrap_or_else(|| now.plus(Duration::from_secs(60 * plan.preparation_minutes.unsigned_abs())));
    out.int("scheduled_status", i64::from(plan.scheduled_at.is_some()));
    time_or_null(out, "scheduled_time", plan.scheduled_at);
    out.raw("cancellation_reason_id", "null");
    out.raw("cancellation_reason", "null");
    out.int("preparation_time", plan.preparation_minutes);
    out.plain("estimated_pickup_at", ready_at);
    let delivered_at = ready_at.plus(Duration::from_secs(25 * 60));
    time_or_null(
        out,
        "estimated_delivery_at",
        (order.order_type == OrderType::Delivery).then_some(delivered_at),
    );
    out.int("order_queue", plan.number % 100);
    out.bool("auto_accept", plan.auto_accept);
    out.bool("auto_ready", plan.auto_accept && plan.provider == 7);
    out.bool("auto_pilot", false);
}

fn write_promos(out: &mut Json, totals: &Totals) {
    out.open_at("promos", '[');
    for (code, sponsor, amount) in [
        ("HEMAT-SENJA", "merchant", totals.merchant_discount),
        ("PLATFORM25", "provider", totals.provider_discount),
        ("COME-BACK ❤", "customer", totals.customer_discount),
    ] {
        if amount > 0 {
            out.open('{');
            out.str("code", code);
            out.str("sponsor", sponsor);
            out.int("amount", amount);
            out.close('}');
        }
    }
    out.close(']');
    if totals.merchant_discount > 0 {
        out.open_at("order_applied_promo", '{');
        out.str("code", "HEMAT-SENJA");
        out.int("discount", totals.merchant_discount);
        out.close('}');
    } else {
        out.raw("order_applied_promo", "null");
    }
    out.open_at("item_applied_promos", '[');
    out.close(']');
}

struct Courier {
    rider: usize,
    latitude_e6: i64,
    longitude_e6: i64,
    pickup_at: Timestamp,
    pin: i64,
}

struct Details {
    first: &'static str,
    last: &'static str,
    full: String,
    phone: String,
    email: String,
    /// False for somebody who sat down at a table and gave no name.
    guest: bool,
    address: Option<String>,
    order_comment: Option<&'static str>,
    delivery_comment: Option<&'static str>,
    table: i64,
    courier: Option<Courier>,
    user_id: i64,
    vehicle: bool,
    vendor: usize,
    noise: i64,
}

impl Details {
    fn write(&self, out: &mut Json, order: &NewOrder, country: &str) {
        let phone = if self.guest { self.phone.as_str() } else { "" };
        let email = self.guest.then_some(self.email.as_str());
        out.int("user_id", if self.guest { self.user_id } else { 0 });
        out.str("user_first_name", self.first);
        out.str("user_last_name", self.last);
        out.str("user_phone", phone);
        out.str_or_null("user_email", email);
        out.str_or_null("delivery_address", self.address.as_deref());
        match &self.address {
            Some(address) => {
                out.open_at("delivery_info", '{');
                out.str("first_name", self.first);
                out.str("last_name", self.last);
                out.str("phone", phone);
                out.str_or_null("email", email);
                out.str("address", address);
                out.str("instruction", self.delivery_comment.unwrap_or(""));
                out.str("keywords", &self.full);
                out.close('}');
            }
            None => out.raw("delivery_info", "null"),
        }
        if order.order_type == OrderType::DineIn {
            out.plain("table_no", format_args!("T{}", self.table));
        } else {
            out.raw("table_no", "null");
        }
        out.str("order_comment", self.order_comment.unwrap_or(""));
        out.str("delivery_comment", self.delivery_comment.unwrap_or(""));
        out.str("klikit_comment", "");
        out.int("pickup_type", i64::from(order.order_type == OrderType::Pickup) + i64::from(self.vehicle));
        if self.vehicle {
            out.open_at("additional_info", '{');
            out.open_at("vehicle_info", '{');
            out.plain("reg_no", format_args!("{country} 0000 {}", self.noise % 100));
            out.str("additional_details", "Silver car, \"hazard lights on\" \\ bay 3");
            out.close('}');
            out.close('}');
        } else {
            out.raw("additional_info", "null");
        }
        self.write_courier(out);
    }

    fn write_courier(&self, out: &mut Json) {
        out.bool("is_three_pl_order", self.courier.is_some());
        out.int("three_pl_dispatch_type", i64::from(self.courier.is_some()));
        out.raw("fulfillment_status_id", if self.courier.is_some() { "2" } else { "null" });
        match &self.courier {
            Some(courier) => {
                let (name, plate) = RIDERS[courier.rider];
                out.plain(
                    "fulfillment_tracking_url",
                    format_args!("https://track.example.com/{:05}", self.noise),
                );
                out.plain("fulfillment_pickup_pin", format_args!("{:04}", courier.pin));
                out.plain("fulfillment_expected_pickup_time", courier.pickup_at);
                out.raw("fulfillment_delivered_at_time", "null");
                out.open_at("fulfillment_rider", '{');
                out.str("name", name);
                out.str("phone", &self.phone);
                out.str("licensePlate", plate);
                out.plain("photoUrl", format_args!("https://img.example.com/r/{}.jpg", courier.rider));
                out.open_at("coordinates", '{');
                let degrees = |e6: i64| format!("{}.{:06}", e6 / 1_000_000, e6 % 1_000_000);
                out.raw("latitude", &degrees(courier.latitude_e6));
                out.raw("longitude", &degrees(courier.longitude_e6));
                out.close('}');
                out.close('}');
            }
            None => {
                for key in [
                    "fulfillment_tracking_url",
                    "fulfillment_pickup_pin",
                    "fulfillment_expected_pickup_time",
                    "fulfillment_delivered_at_time",
                    "fulfillment_rider",
                ] {
                    out.raw(key, "null");
                }
            }
        }
    }

    /// Fields that only the surface understands, with numbers that a careless reader would change.
    fn write_vendor(&self, out: &mut Json, utc_offset_hours: i8) {
        match self.vendor {
            0 => {
                out.open_at("vendor_payload", '{');
                out.raw("net_amount", &format!("{}.10", self.noise));
                out.raw("commission_rate", "0.1000");
                out.raw("ledger_ref", "9007199254740993");
                out.raw("weight_g", "1E+2");
                out.close('}');
            }
            1 => {
                out.raw("x_commission", "0.2500");
                out.open_at("x_tags", '[');
                out.raw_element("\"eco\"");
                out.raw_element("\"caf\\u00e9\"");
                out.raw_element("null");
                out.close(']');
            }
            2 => {
                out.object("loyalty", &[("tier", "\"gold\""), ("points", "12345.10"), ("multiplier", "1.50")])
            }
            _ => {}
        }
        out.int("branch_utc_offset_hours", i64::from(utc_offset_hours));
    }
}
