//! What the traffic promises, checked on a few thousand orders by reading the JSON back: no code of the writers is
//! used to judge what they wrote.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{
    Actor, KnownStatus, MoveVerdict, OWNED_FIELDS, OrderStatus, Record, StatusCodes, Timestamp, check_move,
};
use serde_json::Value;

use super::{NewOrder, OrderType, StepChange, World, generator};

const NOW: Timestamp = Timestamp::from_millis(1_772_389_800_000);

/// The fields of the contract's section 6 that are not the platform's own and have no `_display` twin.
const FIELDS: &str = "external_id short_id identity business_id branch_id brand_name brands provider_id source type
    klikit_store_id scheduled_status scheduled_time cancellation_reason_id cancellation_reason preparation_time
    estimated_pickup_at estimated_delivery_at order_queue auto_accept auto_ready auto_pilot
    payment_status payment_method payment_channel payment_channel_id payment_invoice_id
    currency currency_symbol discount_type discount_value is_vat_included fee_paid_by_customer promos
    order_applied_promo item_applied_promos
    user_id user_first_name user_last_name user_phone user_email delivery_address delivery_info table_no order_comment
    delivery_comment klikit_comment pickup_type additional_info
    is_three_pl_order three_pl_dispatch_type fulfillment_status_id fulfillment_tracking_url fulfillment_pickup_pin
    fulfillment_expected_pickup_time fulfillment_delivered_at_time fulfillment_rider
    item_count unique_item_count cart cart_v2
    is_fake is_manual_order is_foodpanda_api_order is_interceptor_order is_mix_and_match_order is_merchant_delivery";

/// The fields that come with a `_display` twin.
const MONEY_FIELDS: &str =
    "item_price final_price discount merchant_discount customer_discount provider_discount
    delivery_fee additional_fee gateway_fee service_fee restaurant_service_fee custom_fee vat reward_discount
    round_off_amount provider_sub_total provider_grand_total provider_additional_fee";

const LINE_FIELDS: &str = "item_id title title_v2 description quantity unit_price price vat brand groups klikit_id
    klikit_name klikit_category_id klikit_category_name klikit_section_id klikit_section_name klikit_sku_id comment image
    discount_type discount_value";

const LINE_V2_FIELDS: &str =
    "id name quantity unit_price price price_display modifier_group_price modifier_groups
    klikit_id klikit_name menu_version";

fn orders(seed: u64, count: usize) -> (World, Vec<NewOrder>) {
    let mut world = World::new(seed);
    let mut rng = generator(seed);
    let orders = (0..count).map(|_| world.order(&mut rng, NOW)).collect();
    (world, orders)
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text)))
}

fn int(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("{key} is {}", value[key]))
}

fn has_fields(value: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(value.get(field).is_some(), "{field} is missing in {value}");
    }
}

/// What the modifiers of one line cost, by the prices that stand in them.
fn modifiers(groups: &Value) -> i64 {
    let mut sum = 0;
    for group in groups.as_array().expect("groups are an array") {
        for modifier in group["modifiers"].as_array().expect("modifiers are an array") {
            assert_eq!(int(modifier, "price"), int(modifier, "unit_price") * int(modifier, "quantity"));
            sum +=
                int(modifier, "price") + modifiers(&modifier["modifier_groups"]) * int(modifier, "quantity");
        }
    }
    sum
}

/// Goods, fees, discounts and twins of a record or of an edit.
fn money_adds_up(value: &Value, vat_included: bool, digits: usize) {
    let lines = value["cart_v2"].as_array().expect("cart_v2 is an array");
    let mut goods = 0;
    for line in lines {
        assert_eq!(int(line, "modifier_group_price"), modifiers(&line["modifier_groups"]), "{line}");
        let each = int(line, "unit_price") + int(line, "modifier_group_price");
        assert_eq!(int(line, "price"), each * int(line, "quantity"), "{line}");
        goods += int(line, "price");
    }
    let first_spelling: i64 = value["cart"].as_array().unwrap().iter().map(|line| int(line, "price")).sum();
    assert_eq!(goods, first_spelling);
    assert_eq!(goods, int(value, "item_price"));
    assert_eq!(int(value, "item_count"), lines.iter().map(|line| int(line, "quantity")).sum::<i64>());
    assert_eq!(int(value, "unique_item_count"), i64::try_from(lines.len()).unwrap());

    let sum = |keys: &[&str]| keys.iter().map(|key| int(value, key)).sum::<i64>();
    assert_eq!(int(value, "discount"), sum(&["merchant_discount", "customer_discount", "provider_discount"]));
    let fees = [
        "delivery_fee",
        "additional_fee",
        "gateway_fee",
        "service_fee",
        "restaurant_service_fee",
        "custom_fee",
    ];
    let vat = if vat_included { 0 } else { int(value, "vat") };
    let total =
        goods - sum(&["discount", "reward_discount"]) + sum(&fees) + vat + int(value, "round_off_amount");
    assert_eq!(int(value, "final_price"), total);
    assert!(total >= 0);

    for field in MONEY_FIELDS.split_whitespace() {
        let display = value[format!("{field}_display")].as_str().unwrap_or_else(|| panic!("{field}_display"));
        let decimals = display.split_once('.').map_or(0, |(_, rest)| rest.len());
        assert_eq!(decimals, digits, "{field}_display is {display}");
        let smallest: i64 = display.replace('.', "").parse().expect("a decimal number");
        assert_eq!(smallest, int(value, field), "{field}");
    }
}

fn digits_of(currency: &str) -> usize {
    if ["IDR", "VND", "JPY"].contains(&currency) { 0 } else { 2 }
}

#[test]
fn records_have_the_size_of_real_ones() {
    let (_, orders) = orders(1, 4_000);
    let sizes: Vec<usize> = orders.iter().map(|order| order.record.len()).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    let (min, max) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(*min >= 2_000 && *max <= 10_240, "from {min} to {max}");
    assert!((4_000..=5_000).contains(&mean), "mean {mean}, from {min} to {max}");
}

#[test]
fn small_records_have_about_two_thousand_bytes() {
    let (mut world, mut rng) = (World::new(5), generator(5));
    let mut sum = 0;
    for _ in 0..500 {
        let order = world.small_order(&mut rng, NOW);
        assert!((1_600..=2_400).contains(&order.record.len()), "{}", order.record.len());
        sum += order.record.len();
        let value = parse(&order.record);
        let vat = if value["is_vat_included"].as_bool().unwrap() { 0 } else { int(&value, "vat") };
        assert_eq!(int(&value, "final_price"), int(&value, "item_price") - int(&value, "discount") + vat);
        assert_eq!(int(&value, "branch_id"), order.branch.0);
    }
    assert!((1_800..=2_200).contains(&(sum / 500)), "mean {}", sum / 500);
}

#[test]
fn a_record_has_every_field_of_the_contract_and_none_that_the_platform_owns() {
    let (world, orders) = orders(2, 1_500);
    let mut external_ids = BTreeSet::new();
    for order in &orders {
        let value = parse(&order.record);
        has_fields(&value, FIELDS);
        has_fields(&value, MONEY_FIELDS);
        for line in value["cart"].as_array().unwrap() {
            has_fields(line, LINE_FIELDS);
        }
        for line in value["cart_v2"].as_array().unwrap() {
            has_fields(line, LINE_V2_FIELDS);
        }
        for owned in OWNED_FIELDS.iter().filter(|owned| **owned != "status") {
            assert!(value.get(owned).is_none(), "{owned} is the platform's");
        }
        let status = value.get("status").map(|status| status.as_i64().unwrap());
        assert_eq!(status, order.scheduled_for.map(|_| 6));

        let record = Record::parse(order.record.clone()).expect("the contract reads it");
        assert_eq!(record.branch_id().unwrap(), Some(order.branch));
        assert_eq!(record.brand_ids().unwrap(), order.brands);
        assert_eq!(record.business_id().unwrap(), Some(order.business));
        assert_eq!(record.order_type(), Some(order.order_type.code()));
        for id in &order.brands {
            let brand = world.brands().iter().find(|brand| brand.id == *id).expect("a known brand");
            assert!(
                brand.branches.contains(&order.branch),
                "{} is not sold in {}",
                brand.title,
                order.branch
            );
        }
        assert!(external_ids.insert(order.external_id.clone()), "{} twice", order.external_id);
    }
}

#[test]
fn the_money_of_every_record_and_every_edit_adds_up() {
    let (world, orders) = orders(3, 2_000);
    let mut rng = generator(4);
    let mut edits = 0;
    for order in &orders {
        let record = parse(&order.record);
        let included = record["is_vat_included"].as_bool().unwrap();
        let digits = digits_of(record["currency"].as_str().unwrap());
        money_adds_up(&record, included, digits);
        let mut before = (record["cart"].clone(), record["cart_v2"].clone());
        for step in world.life(order, &mut rng) {
            if let StepChange::EditCart(body) = step.change {
                let edit = parse(&body);
                money_adds_up(&edit, included, digits);
                let after = (edit["cart"].clone(), edit["cart_v2"].clone());
                assert_ne!(before, after, "an edit changes the cart");
                assert!(!edit["cart"].as_array().unwrap().is_empty());
                before = after;
                edits += 1;
            }
        }
    }
    assert!(edits > 100, "{edits}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
    let tell = |seed| {
        let (world, orders) = orders(seed, 200);
        let mut rng = generator(seed);
        orders
            .into_iter()
            .map(|order| (format!("{:?}", world.life(&order, &mut rng)), order.record))
            .collect::<Vec<_>>()
    };
    assert_eq!(tell(7), tell(7));
    assert_ne!(tell(7), tell(8));
}

#[test]
fn every_life_is_legal_and_all_that_can_happen_happens() {
    let (world, orders) = orders(9, 4_000);
    let mut rng = generator(10);
    let codes = StatusCodes::default();
    let mut ends: BTreeMap<(String, bool), usize> = BTreeMap::new();
    let mut cancelled_from = BTreeSet::new();
    let mut skipped_preparing = 0;
    for order in &orders {
        let record = Record::parse(order.record.clone()).unwrap();
        let mut status = record.status(&codes).unwrap().unwrap_or(OrderStatus::Known(KnownStatus::Placed));
        let mut voided = false;
        for step in world.life(order, &mut rng) {
            let OrderStatus::Known(from) = status else { panic!("lives know their statuses") };
            assert!(step.after < std::time::Duration::from_secs(86_400 * 2));
            match &step.change {
                StepChange::EditCart(_) => {
                    assert!(from.rank() < KnownStatus::Ready.rank(), "edited in {from}");
                }
                StepChange::Void { .. } => {
                    assert!(from.has_ended(), "voided in {from}");
                    voided = true;
                }
                StepChange::Cancel { .. } => {
                    assert!(!from.has_ended(), "cancelled in {from}");
                    cancelled_from.insert(from);
                }
                StepChange::Move(to) => {
                    skipped_preparing +=
                        u32::from(from == KnownStatus::Accepted && *to == KnownStatus::Ready);
                }
            }
            if let Some(to) = step.change.to_status() {
                assert_eq!(check_move(status, to, Actor::Operator), MoveVerdict::Allowed, "{status} to {to}");
                status = to.into();
            }
        }
        let OrderStatus::Known(end) = status else { unreachable!("checked above") };
        assert!(end.has_ended(), "a life ends, not in {end}");
        if end != KnownStatus::Cancelled {
            let expect = if order.order_type == OrderType::Delivery {
                KnownStatus::Delivered
            } else {
                KnownStatus::PickedUp
            };
            assert_eq!(end, expect);
        }
        *ends.entry((end.to_string(), voided)).or_default() += 1;
    }
    for (end, voided, least) in [
        ("DELIVERED", false, 1_500),
        ("PICKED_UP", false, 500),
        ("CANCELLED", false, 150),
        ("CANCELLED", true, 40),
    ] {
        let count = ends.get(&(end.to_owned(), voided)).copied().unwrap_or(0);
        assert!(count >= least, "{end}, voided {voided}: {count}");
    }
    assert_eq!(cancelled_from.len(), 8, "cancelled from every stage before an end: {cancelled_from:?}");
    assert!(skipped_preparing > 500, "{skipped_preparing}");
}

#[test]
fn the_traffic_has_every_country_script_type_and_oddity() {
    let (world, orders) = orders(11, 3_000);
    let text: Vec<String> =
        orders.iter().map(|o| String::from_utf8(o.record.clone()).expect("records are UTF-8")).collect();
    let share = |what: &str, least_in_thousand: usize, found: &dyn Fn(&NewOrder, &str) -> bool| {
        let count = orders.iter().zip(&text).filter(|(order, text)| found(order, text)).count();
        assert!(count * 1_000 >= orders.len() * least_in_thousand, "{what}: {count} of {}", orders.len());
    };
    for branch in world.branches() {
        share(&branch.title, 40, &|order, _| order.branch == branch.id);
    }
    let has = |text: &str, low: char, high: char| text.chars().any(|c| (low..=high).contains(&c));
    share("Thai", 40, &|_, text| has(text, 'ก', '๙'));
    share("Vietnamese", 60, &|_, text| has(text, 'ạ', 'ỹ'));
    share("kana", 40, &|_, text| has(text, 'ぁ', 'ヺ'));
    share("Han", 60, &|_, text| has(text, '一', '龥'));
    share("emoji", 60, &|_, text| has(text, '🌀', '🫿'));
    share("unicode escapes", 20, &|_, text| text.is_ascii() && text.contains("\\u"));
    share("escaped quotes", 50, &|_, text| text.contains("\\\""));
    share("several brands", 30, &|order, _| order.brands.len() > 1);
    share("scheduled", 20, &|order, _| order.scheduled_for.is_some());
    share("dine-in", 50, &|order, text| {
        order.order_type == OrderType::DineIn && text.contains("\"table_no\":\"T")
    });
    share("pickup", 80, &|order, _| order.order_type == OrderType::Pickup);
    share("couriers", 80, &|_, text| text.contains("licensePlate"));
    share("promos", 200, &|_, text| text.contains("\"promos\":[{"));
    share("modifiers in modifiers", 50, &|_, text| {
        text.contains("\"modifier_groups\":[{\"id\"") && {
            let value: Value = serde_json::from_str(text).unwrap();
            value["cart_v2"].as_array().unwrap().iter().any(|line| {
                line["modifier_groups"].as_array().unwrap().iter().any(|group| {
                    let modifiers = group["modifiers"].as_array().unwrap();
                    modifiers.iter().any(|m| !m["modifier_groups"].as_array().unwrap().is_empty())
                })
            })
        }
    });
    share("numbers to the last digit", 150, &|_, text| text.contains("0.1000") && text.contains(".10,"));
    share("fake", 5, &|_, text| text.contains("\"is_fake\":true"));
    share("manual", 20, &|_, text| text.contains("\"is_manual_order\":true"));
}
