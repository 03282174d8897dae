//! The business that all orders belong to: its branches in eight countries, its brands, and which brand sells where.

use hookit_contract::{BranchId, BrandId, BusinessId};

use super::dice::Dice;
use super::generator;
use super::menu::{CUISINES, DESCRIPTIONS, Group};
use super::money::{self, Currency, Tax};
use super::people::{FOLKS, Folk};

/// A country that the business sells in.
pub(super) struct Country {
    pub(super) code: &'static str,
    pub(super) language: &'static str,
    pub(super) utc_offset_hours: i8,
    pub(super) currency: Currency,
    pub(super) tax: Tax,
    /// Marketplaces of this country, by provider id.
    pub(super) providers: &'static [i64],
}

const fn tax(rate: i64, included: bool, dine_in_service: i64) -> Tax {
    Tax { rate, included, dine_in_service }
}

macro_rules! countries {
    ($($code:literal $language:literal $offset:literal $currency:ident $tax:expr, $providers:expr;)*) => {
        /// The countries. Menus and people are written in this order.
        pub(super) static COUNTRIES: [Country; 8] = [$(Country {
            code: $code, language: $language, utc_offset_hours: $offset, currency: money::$currency, tax: $tax,
            providers: $providers,
        }),*];
    };
}

countries! {
    "ID" "id"    7 IDR tax(1_000, false, 500),   &[6, 9, 11, 17];
    "PH" "fil"   8 PHP tax(1_200, true, 1_000),  &[6, 7, 13];
    "TH" "th"    7 THB tax(700, true, 0),        &[6, 7, 11];
    "VN" "vi"    7 VND tax(800, true, 0),        &[6, 11, 16];
    "MY" "ms"    8 MYR tax(600, false, 1_000),   &[6, 7, 11];
    "SG" "en"    8 SGD tax(900, false, 1_000),   &[3, 6, 7];
    "JP" "ja"    9 JPY tax(800, true, 0),        &[2, 12, 14];
    "TW" "zh-TW" 8 TWD tax(500, true, 1_000),    &[2, 7];
}

/// Title and country of each branch; a country may have several.
static BRANCHES: [(&str, usize); 12] = [
    ("Dapur Awan – Cendana Raya", 0),
    ("Dapur Awan – Samudra Baru", 0),
    ("Kusina sa Ulap – Liwayway", 1),
    ("Maharlika Food Hall", 1),
    ("ครัวกลาง เมืองฝัน", 2),
    ("Bếp Mây – Bình Minh", 3),
    ("Bếp Mây – Cầu Vồng", 3),
    ("Dapur Bersama Bandar Purnama", 4),
    ("Fable Avenue Kitchen", 5),
    ("夢見キッチン", 6),
    ("晴空雲端廚房", 7),
    ("月光店（內用）", 7),
];

static BRANDS: [&str; CUISINES.len()] =
    ["Ayam Senja", "Mee Pelangi 彩虹麵", "Awan Tea & Kopi", "Góc Phố Bánh Mì", "にじ丼 Niji Bowl"];

/// A brand of the business.
#[derive(Clone, Debug)]
pub struct Brand {
    /// The brand's id.
    pub id: BrandId,
    /// Its name, as shown to customers.
    pub title: String,
    /// The branches that sell it.
    pub branches: Vec<BranchId>,
}

/// A branch of the business.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The branch's id.
    pub id: BranchId,
    /// Its name.
    pub title: String,
    /// Two letters of ISO 3166.
    pub country: &'static str,
    /// Three letters of ISO 4217.
    pub currency: &'static str,
    /// The language of its menus, as a BCP 47 tag.
    pub language: &'static str,
    pub(super) country_index: usize,
    /// The brands sold here, each with its menu.
    pub(super) menus: Vec<Menu>,
}

impl Branch {
    pub(super) fn place(&self) -> &'static Country {
        &COUNTRIES[self.country_index]
    }

    pub(super) fn folk(&self) -> &'static Folk {
        &FOLKS[self.country_index]
    }
}

/// What one brand sells in one branch.
#[derive(Clone, Debug)]
pub(super) struct Menu {
    /// Index into the world's brands.
    pub(super) brand: usize,
    pub(super) category_id: i64,
    pub(super) category: &'static str,
    pub(super) section_id: i64,
    pub(super) section: &'static str,
    pub(super) items: Vec<Item>,
    pub(super) groups: &'static [&'static Group],
}

/// A dish on a menu.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: i64,
    pub(super) title: &'static str,
    /// The title for those who do not read the local script.
    pub(super) title_v2: &'static str,
    pub(super) description: &'static str,
    pub(super) price: i64,
}

/// The business, and the count of orders that it has made up so far.
pub struct World {
    pub(super) brands: Vec<Brand>,
    pub(super) branches: Vec<Branch>,
    pub(super) orders_made: i64,
    /// Distinguishes external ids of worlds with different seeds.
    pub(super) mark: i64,
}

impl World {
    /// The one business.
    pub const BUSINESS: BusinessId = BusinessId(737);

    /// A world. The seed decides prices, descriptions, and which brand sells in which branch.
    pub fn new(seed: u64) -> World {
        let mut generator = generator(seed);
        let mut dice = Dice(&mut generator);
        let mut brands: Vec<Brand> = (663..)
            .zip(BRANDS)
            .map(|(id, title)| Brand { id: BrandId(id), title: title.to_owned(), branches: Vec::new() })
            .collect();
        let mut branches = Vec::with_capacity(BRANCHES.len());
        for (index, (id, (title, country_index))) in (1062..).zip(BRANCHES).enumerate() {
            let country = &COUNTRIES[country_index];
            // The first brand of a branch goes round, so that each brand sells somewhere; the others are by chance.
            let first = index % brands.len();
            let sold: Vec<usize> =
                (0..brands.len()).filter(|brand| *brand == first || dice.chance(50)).collect();
            for &brand in &sold {
                brands[brand].branches.push(BranchId(id));
            }
            let menus = sold.iter().map(|&brand| menu(&mut dice, brand, id, country_index)).collect();
            branches.push(Branch {
                id: BranchId(id),
                title: title.to_owned(),
                country: country.code,
                currency: country.currency.code,
                language: country.language,
                country_index,
                menus,
            });
        }
        let mark = dice.between(10_000, 99_999);
        World { brands, branches, orders_made: 0, mark }
    }

    /// The brands, each with the branches that sell it: what an operator registers.
    pub fn brands(&self) -> &[Brand] {
        &self.brands
    }

    /// The branches.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }
}

fn menu(dice: &mut Dice<'_>, brand: usize, branch_id: i64, country_index: usize) -> Menu {
    let cuisine = &CUISINES[brand];
    let country = &COUNTRIES[country_index];
    let base = branch_id * 1_000 + i64::try_from(brand).expect("there are five brands") * 100;
    let items = (base..)
        .zip(&cuisine.dishes)
        .map(|(id, dish)| Item {
            id,
            title: dish.titles[country_index],
            title_v2: dish.titles[5],
            description: dice.pick(&DESCRIPTIONS[country_index]),
            price: country.currency.menu_price(dish.reference_cents * dice.between(85, 125) / 100),
        })
        .collect();
    Menu {
        brand,
        category_id: base + 90,
        category: cuisine.category[country_index],
        section_id: base + 91,
        section: cuisine.section[country_index],
        items,
        groups: cuisine.groups,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_brand_sells_somewhere_and_some_branch_has_several_brands() {
        for seed in 0..20 {
            let world = World::new(seed);
            assert!(world.brands().len() >= 4 && world.branches().len() >= 8);
            assert!(world.brands().iter().all(|brand| !brand.branches.is_empty()));
            assert!(world.branches().iter().any(|branch| branch.menus.len() >= 2));
            let countries: std::collections::BTreeSet<_> =
                world.branches().iter().map(|b| b.country).collect();
            assert_eq!(countries.len(), COUNTRIES.len());
            for brand in world.brands() {
                for id in &brand.branches {
                    assert!(world.branches().iter().any(|branch| branch.id == *id));
                }
            }
        }
    }
}
