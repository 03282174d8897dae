//! Currencies, tax, and how an order's total comes about from its goods.
//!
//! Amounts are whole numbers of the currency's smallest unit. What the customer pays is always the sum that
//! [`Totals::of`] makes; there is no second way to a total anywhere in this crate.

use std::fmt;

/// A currency that klikit's branches sell in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Currency {
    pub(super) code: &'static str,
    pub(super) symbol: &'static str,
    /// Digits after the point; rupiah, dong and yen have none.
    pub(super) digits: u32,
    /// Smallest units in ten cents of the reference price that menus are written in.
    per_ten_cents: i64,
    /// Menu prices are multiples of this.
    menu_step: i64,
    /// Cash totals are multiples of this.
    cash_step: i64,
}

macro_rules! currencies {
    ($($name:ident $code:literal $symbol:literal $digits:literal $per_ten_cents:literal $menu_step:literal $cash_step:literal)*) => {
        $(pub(super) const $name: Currency = Currency {
            code: $code, symbol: $symbol, digits: $digits,
            per_ten_cents: $per_ten_cents, menu_step: $menu_step, cash_step: $cash_step,
        };)*
    };
}

currencies! {
    IDR "IDR" "Rp"  0 1_100   500   100
    PHP "PHP" "₱"   2   450   100    25
    THB "THB" "฿"   2   280   100    25
    VND "VND" "₫"   0 1_800 1_000 1_000
    MYR "MYR" "RM"  2    36    10     5
    SGD "SGD" "S$"  2    13    10     5
    JPY "JPY" "¥"   0    16    10     1
    TWD "TWD" "NT$" 2   300   500   100
}

impl Currency {
    /// A menu price from the reference price; zero stays zero.
    pub(super) fn menu_price(self, reference_cents: i64) -> i64 {
        if reference_cents == 0 {
            return 0;
        }
        let exact = reference_cents * self.per_ten_cents / 10;
        ((exact + self.menu_step / 2) / self.menu_step * self.menu_step).max(self.menu_step)
    }

    /// The amount as a decimal string with the currency's digits.
    pub(super) fn display(self, amount: i64) -> Amount {
        Amount { amount, digits: self.digits }
    }
}

/// An amount that prints itself as a decimal number.
pub(super) struct Amount {
    amount: i64,
    digits: u32,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits == 0 {
            return write!(f, "{}", self.amount);
        }
        let unit = 10_i64.pow(self.digits);
        let sign = if self.amount < 0 { "-" } else { "" };
        let (whole, rest) = (self.amount.abs() / unit, self.amount.abs() % unit);
        write!(f, "{sign}{whole}.{rest:0width$}", width = self.digits as usize)
    }
}

/// A country's tax on a meal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tax {
    /// In hundredths of a percent.
    pub(super) rate: i64,
    /// Prices on the menu include it.
    pub(super) included: bool,
    /// Charged on what is eaten in the house, in hundredths of a percent.
    pub(super) dine_in_service: i64,
}

/// What was agreed for one order before anybody counts its goods; an edit of the cart leaves it alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// Off the goods at the restaurant's cost, in hundredths of a percent.
    pub(super) merchant_discount_rate: i64,
    /// Off the goods at the marketplace's cost, at most.
    pub(super) provider_discount_max: i64,
    /// Off the goods for this customer, at most.
    pub(super) customer_discount_max: i64,
    /// Points turned into money, at most.
    pub(super) reward_max: i64,
    pub(super) delivery_fee: i64,
    pub(super) additional_fee: i64,
    pub(super) service_fee: i64,
    pub(super) custom_fee: i64,
    /// The payment gateway's share of the goods, in hundredths of a percent.
    pub(super) gateway_rate: i64,
    /// The restaurant's service charge, in hundredths of a percent.
    pub(super) service_rate: i64,
    pub(super) cash: bool,
}

/// An order's money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) item_price: i64,
    pub(super) merchant_discount: i64,
    pub(super) provider_discount: i64,
    pub(super) customer_discount: i64,
    pub(super) reward_discount: i64,
    pub(super) delivery_fee: i64,
    pub(super) additional_fee: i64,
    pub(super) gateway_fee: i64,
    pub(super) service_fee: i64,
    pub(super) restaurant_service_fee: i64,
    pub(super) custom_fee: i64,
    pub(super) vat: i64,
    pub(super) round_off: i64,
    pub(super) final_price: i64,
}

fn share(amount: i64, rate: i64) -> i64 {
    (amount * rate + 5_000) / 10_000
}

impl Totals {
    /// The totals for goods of this price. Discounts never exceed the goods, so no total is negative.
    pub(super) fn of(item_price: i64, terms: &Terms, tax: Tax, currency: Currency) -> Totals {
        let merchant_discount = share(item_price, terms.merchant_discount_rate);
        let mut left = item_price - merchant_discount;
        let mut take = |max: i64| {
            let taken = max.min(left);
            left -= taken;
            taken
        };
        let provider_discount = take(terms.provider_discount_max);
        let customer_discount = take(terms.customer_discount_max);
        let reward_discount = take(terms.reward_max);

        let vat =
            if tax.included { left - left * 10_000 / (10_000 + tax.rate) } else { share(left, tax.rate) };
        let gateway_fee = share(left, terms.gateway_rate);
        let restaurant_service_fee = share(left, terms.service_rate);
        let exact = left
            + if tax.included { 0 } else { vat }
            + terms.delivery_fee
            + terms.additional_fee
            + gateway_fee
            + terms.service_fee
            + restaurant_service_fee
            + terms.custom_fee;
        let final_price = if terms.cash {
            (exact + currency.cash_step / 2) / currency.cash_step * currency.cash_step
        } else {
            exact
        };
        Totals {
            item_price,
            merchant_discount,
            provider_discount,
            customer_discount,
            reward_discount,
            delivery_fee: terms.delivery_fee,
            additional_fee: terms.additional_fee,
            gateway_fee,
            service_fee: terms.service_fee,
            restaurant_service_fee,
            custom_fee: terms.custom_fee,
            vat,
            round_off: final_price - exact,
            final_price,
        }
    }

    /// The `discount` of the record: all that came off the goods except points.
    pub(super) fn discount(&self) -> i64 {
        self.merchant_discount + self.provider_discount + self.customer_discount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_with_the_digits_of_its_currency() {
        for (currency, amount, expect) in [
            (IDR, 45_000, "45000"),
            (JPY, 0, "0"),
            (VND, 79_000, "79000"),
            (PHP, 24_950, "249.50"),
            (SGD, 5, "0.05"),
            (MYR, -3, "-0.03"),
            (TWD, 12_500, "125.00"),
        ] {
            assert_eq!(currency.display(amount).to_string(), expect, "{}", currency.code);
        }
    }

    #[test]
    fn a_menu_price_is_a_multiple_of_the_step_and_free_stays_free() {
        assert_eq!(IDR.menu_price(450) % 500, 0);
        assert_eq!(TWD.menu_price(333) % 500, 0);
        assert_eq!(SGD.menu_price(1), 10);
        assert_eq!(SGD.menu_price(0), 0);
    }

    #[test]
    fn discounts_stop_at_the_price_of_the_goods_and_cash_is_rounded() {
        let tax = Tax { rate: 600, included: false, dine_in_service: 0 };
        let terms = Terms {
            merchant_discount_rate: 1_000,
            provider_discount_max: 9_999,
            delivery_fee: 503,
            cash: true,
            ..Terms::default()
        };
        let totals = Totals::of(1_000, &terms, tax, MYR);
        assert_eq!((totals.merchant_discount, totals.provider_discount), (100, 900));
        assert_eq!((totals.vat, totals.final_price, totals.round_off), (0, 505, 2));
    }

    #[test]
    fn tax_that_is_in_the_price_is_taken_out_of_it_and_not_added() {
        let tax = Tax { rate: 700, included: true, dine_in_service: 0 };
        let totals = Totals::of(10_700, &Terms::default(), tax, THB);
        assert_eq!((totals.vat, totals.final_price), (700, 10_700));
    }
}
