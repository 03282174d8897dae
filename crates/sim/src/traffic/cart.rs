//! What a customer took: lines of dishes with their modifiers, what they cost, and how both spellings of the cart in
//! a record (`cart` and `cart_v2`) are written. Every line of one cart is of one branch.

use super::dice::Dice;
use super::json::Json;
use super::menu::Group;
use super::money::{Currency, Tax};
use super::world::{Branch, Brand, Item, Menu};

/// The goods of an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Cart {
    pub(super) lines: Vec<Line>,
}

/// One dish, chosen with these modifiers, so many times.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Index into the branch's menus.
    menu: usize,
    /// Index into the menu's items.
    item: usize,
    pub(super) quantity: i64,
    pub(super) picked: Vec<PickedGroup>,
    comment: Option<&'static str>,
}

/// The choices taken in one group.
#[derive(Clone, Debug)]
pub(super) struct PickedGroup {
    group: &'static Group,
    picks: Vec<Pick>,
}

#[derive(Clone, Debug)]
struct Pick {
    choice: usize,
    quantity: i64,
    nested: Vec<PickedGroup>,
}

fn pick_group(dice: &mut Dice<'_>, group: &'static Group) -> PickedGroup {
    let count = 1 + dice.below(group.picks_max);
    let start = dice.below(group.choices.len());
    let picks = (0..count.min(group.choices.len()))
        .map(|offset| {
            let choice = (start + offset) % group.choices.len();
            let nested = group.choices[choice].nested.map(|nested| pick_group(dice, nested));
            let quantity = if group.picks_max > 1 && dice.chance(15) { 2 } else { 1 };
            Pick { choice, quantity, nested: nested.into_iter().collect() }
        })
        .collect();
    PickedGroup { group, picks }
}

fn picked_price(picked: &[PickedGroup], currency: Currency) -> i64 {
    let of_pick = |group: &Group, pick: &Pick| {
        let unit = currency.menu_price(group.choices[pick.choice].reference_cents);
        (unit + picked_price(&pick.nested, currency)) * pick.quantity
    };
    picked.iter().flat_map(|p| p.picks.iter().map(|pick| of_pick(p.group, pick))).sum()
}

impl Line {
    pub(super) fn by_chance(
        dice: &mut Dice<'_>,
        branch: &Branch,
        menu: usize,
        modified_percent: u32,
    ) -> Line {
        let groups = branch.menus[menu].groups;
        let item = dice.below(branch.menus[menu].items.len());
        let mut picked = Vec::new();
        for group in groups {
            if dice.chance(modified_percent) {
                picked.push(pick_group(dice, group));
            }
        }
        let folk = branch.folk();
        let comment = dice.chance(12).then(|| dice.pick(folk.item_comments));
        let quantity = dice.weighted(&[(70, 1), (18, 2), (7, 3), (4, 4), (1, 12)]);
        Line { menu, item, quantity, picked, comment }
    }

    fn unit_price(&self, branch: &Branch) -> i64 {
        branch.menus[self.menu].items[self.item].price
    }

    fn modifiers_price(&self, currency: Currency) -> i64 {
        picked_price(&self.picked, currency)
    }

    /// The line's price: dish and modifiers, as often as they were ordered.
    fn price(&self, branch: &Branch, currency: Currency) -> i64 {
        (self.unit_price(branch) + self.modifiers_price(currency)) * self.quantity
    }
}

/// What the writing of a cart needs to know besides the cart.
#[derive(Clone, Copy)]
pub(super) struct Shop<'a> {
    pub(super) brands: &'a [Brand],
    pub(super) branch: &'a Branch,
    pub(super) currency: Currency,
    pub(super) tax: Tax,
}

impl Cart {
    pub(super) fn price(&self, shop: Shop<'_>) -> i64 {
        self.lines.iter().map(|line| line.price(shop.branch, shop.currency)).sum()
    }

    pub(super) fn item_count(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// Indexes of the brands in the cart, each once, in the order of the lines.
    pub(super) fn brands(&self, branch: &Branch) -> Vec<usize> {
        let mut brands = Vec::with_capacity(2);
        for line in &self.lines {
            let brand = branch.menus[line.menu].brand;
            if !brands.contains(&brand) {
                brands.push(brand);
            }
        }
        brands
    }

    /// Writes `cart`, `cart_v2`, `item_count` and `unique_item_count`.
    pub(super) fn write(&self, out: &mut Json, shop: Shop<'_>) {
        out.int("item_count", self.item_count());
        out.int("unique_item_count", i64::try_from(self.lines.len()).expect("a cart is short"));
        out.open_at("cart", '[');
        for line in &self.lines {
            write_line(out, shop, line);
        }
        out.close(']');
        out.open_at("cart_v2", '[');
        for line in &self.lines {
            write_line_v2(out, shop, line);
        }
        out.close(']');
    }
}

/// The klikit_* fields that both spellings of a line have.
fn write_catalogue(out: &mut Json, menu: &Menu, item: &Item) {
    out.int("klikit_id", item.id);
    out.str("klikit_name", item.title_v2);
    out.int("klikit_category_id", menu.category_id);
    out.str("klikit_category_name", menu.category);
    out.int("klikit_section_id", menu.section_id);
    out.str("klikit_section_name", menu.section);
    out.plain("klikit_sku_id", format_args!("SKU-{}", item.id));
}

fn write_line(out: &mut Json, shop: Shop<'_>, line: &Line) {
    let menu = &shop.branch.menus[line.menu];
    let item = &menu.items[line.item];
    let brand = &shop.brands[menu.brand];
    let price = line.price(shop.branch, shop.currency);
    out.open('{');
    out.plain("item_id", item.id);
    out.str("title", item.title);
    out.str("title_v2", item.title_v2);
    out.str("description", item.description);
    out.int("quantity", line.quantity);
    out.int("unit_price", item.price);
    out.int("price", price);
    let tax = shop.tax;
    out.int(
        "vat",
        if tax.included { price - price * 10_000 / (10_000 + tax.rate) } else { price * tax.rate / 10_000 },
    );
    out.open_at("brand", '{');
    out.int("id", brand.id.0);
    out.str("title", &brand.title);
    out.close('}');
    out.open_at("groups", '[');
    write_groups(out, shop, &line.picked, GroupSpelling::First);
    out.close(']');
    write_catalogue(out, menu, item);
    out.str("comment", line.comment.unwrap_or(""));
    out.plain("image", format_args!("https://img.example.com/m/{}.jpg", item.id));
    out.int("discount_type", 0);
    out.int("discount_value", 0);
    out.close('}');
}

fn write_line_v2(out: &mut Json, shop: Shop<'_>, line: &Line) {
    let menu = &shop.branch.menus[line.menu];
    let item = &menu.items[line.item];
    out.open('{');
    out.plain("id", item.id);
    out.str("name", item.title);
    out.int("quantity", line.quantity);
    out.int("unit_price", item.price);
    out.money("price", line.price(shop.branch, shop.currency), shop.currency);
    out.int("modifier_group_price", line.modifiers_price(shop.currency));
    out.open_at("modifier_groups", '[');
    write_groups(out, shop, &line.picked, GroupSpelling::Second);
    out.close(']');
    write_catalogue(out, menu, item);
    out.int("menu_version", 2);
    out.close('}');
}

/// The two spellings of modifiers: a flat list in `cart`, nested objects in `cart_v2`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupSpelling {
    First,
    Second,
}

fn write_groups(out: &mut Json, shop: Shop<'_>, picked: &[PickedGroup], spelling: GroupSpelling) {
    for PickedGroup { group, picks } in picked {
        let titles = shop.branch.country_index;
        let group_id = shop.branch.id.0 * 100 + group.code;
        out.open('{');
        match spelling {
            GroupSpelling::First => {
                out.int("group_id", group_id);
                out.str("title", group.titles[titles]);
                out.open_at("modifiers", '[');
            }
            GroupSpelling::Second => {
                out.plain("id", group_id);
                out.str("name", group.titles[titles]);
                out.open_at("modifiers", '[');
            }
        }
        for pick in picks {
            let choice = &group.choices[pick.choice];
            let unit_price = shop.currency.menu_price(choice.reference_cents);
            let id = group_id * 10 + i64::try_from(pick.choice).expect("a group is short");
            out.open('{');
            match spelling {
                GroupSpelling::First => {
                    out.int("modifier_id", id);
                    out.str("title", choice.titles[titles]);
                    out.int("price", unit_price * pick.quantity);
                    out.int("quantity", pick.quantity);
                }
                GroupSpelling::Second => {
                    out.plain("id", id);
                    out.str("name", choice.titles[titles]);
                    out.int("price", unit_price * pick.quantity);
                    out.int("quantity", pick.quantity);
                    out.int("unit_price", unit_price);
                    out.open_at("modifier_groups", '[');
                    write_groups(out, shop, &pick.nested, spelling);
                    out.close(']');
                }
            }
            out.close('}');
            if spelling == GroupSpelling::First && !pick.nested.is_empty() {
                // The flat list has no room for nesting: what was chosen within a choice follows it.
                for nested in &pick.nested {
                    write_flat(out, shop, nested);
                }
            }
        }
        out.close(']');
        out.close('}');
    }
}

fn write_flat(out: &mut Json, shop: Shop<'_>, picked: &PickedGroup) {
    let group_id = shop.branch.id.0 * 100 + picked.group.code;
    for pick in &picked.picks {
        let choice = &picked.group.choices[pick.choice];
        out.open('{');
        out.int("modifier_id", group_id * 10 + i64::try_from(pick.choice).expect("a group is short"));
        out.str("title", choice.titles[shop.branch.country_index]);
        out.int("price", shop.currency.menu_price(choice.reference_cents) * pick.quantity);
        out.int("quantity", pick.quantity);
        out.close('}');
    }
}
