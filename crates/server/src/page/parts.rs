//! What pages are put together from: times, sizes, counts, badges, tables, fields.

use std::time::Duration;

use hookit_contract::Timestamp;
use http::StatusCode;
use maud::{Markup, html};

use crate::{ApiError, RequestId};

/// How something stands, as a colour. The word beside it says the same, for who does not see the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Somebody has to do something.
    Bad,
    /// Under way.
    Info,
    /// Neither.
    Quiet,
}

impl Tone {
    /// The stylesheet's word for it.
    pub const fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Info => "info",
            Tone::Quiet => "quiet",
        }
    }
}

/// A word for a state.
pub fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (word) } }
}

/// A length of time in at most two units: `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(time: Duration) -> String {
    let micros = time.as_micros();
    let seconds = time.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0 if micros < 1_000 => format!("{micros} µs"),
        0 if micros < 10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        0 => format!("{} ms", micros / 1_000),
        1..10 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Whole seconds are enough for how long ago something was.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        0 => "0 s".to_owned(),
        seconds @ 1..60 => format!("{seconds} s"),
        _ => duration(time),
    }
}

/// `2026-03-01 18:30:00.000`, in UTC.
fn clock_time(at: Timestamp) -> String {
    at.to_string().replacen('T', " ", 1).replace('Z', "")
}

/// A moment, to the millisecond.
pub fn exact(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (clock_time(at)) } }
}

/// How long ago a moment was; exactly when, in the title.
pub fn age(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(at) title={ (clock_time(at)) " UTC" } { (rough(now.since(at))) " ago" } }
}

/// Since when, as a stretch: `for 3 min`.
pub fn since(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(at) title={ (clock_time(at)) " UTC" } { "for " (rough(now.since(at))) } }
}

/// How long it is until a moment: `in 40 s`, or `now` where it has come.
pub fn until(now: Timestamp, at: Timestamp) -> Markup {
    let left = at.since(now);
    let said = if left.is_zero() { "now".to_owned() } else { format!("in {}", rough(left)) };
    html! { time datetime=(at) title={ (clock_time(at)) " UTC" } { (said) } }
}

/// A number with its thousands apart, by thin spaces.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// So many bytes: `340 B`, `4.2 KiB`, `31 MiB`.
pub fn bytes(bytes: u64) -> String {
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, 0);
    while tenths >= 10_240 && unit < 4 {
        tenths /= 1_024;
        unit += 1;
    }
    let unit_name = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    if unit == 0 || tenths >= 100 {
        format!("{} {unit_name}", tenths / 10)
    } else {
        format!("{}.{} {unit_name}", tenths / 10, tenths % 10)
    }
}

/// A part of a whole in percent; a dash where there is no whole. Never `100 %` where something is missing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let hundredths = u128::from(part.min(whole)) * 10_000 / u128::from(whole);
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole} %"),
        (whole, rest) => format!("{whole}.{rest:02} %"),
    }
}

/// A figure with its name, within a `dl.figures`.
pub fn figure(name: &str, value: &Markup, note: &Markup, tone: Tone) -> Markup {
    html! {
        div class={ "figure " (tone.class()) } {
            dt { (name) }
            dd.value { (value) }
            dd.note { (note) }
        }
    }
}

/// Names and values, one below the other.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, Markup)>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in facts {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// A table that scrolls within itself where it is too wide. Each column has a name and a class: `number` for figures, else
/// nothing. `rows` are its `tr`.
pub fn table(label: &str, columns: &[(&str, &str)], rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" {
            table {
                thead { tr { @for (name, class) in columns { th scope="col" class=(class) { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Where a list has nothing in it.
pub fn empty(said: &str) -> Markup {
    html! { p.empty { (said) } }
}

/// What has to be read first: what went wrong, or what was done.
pub fn note(tone: Tone, said: &Markup) -> Markup {
    html! { div class={ "notice " (tone.class()) } role="status" { (said) } }
}

/// A field of a form with its name. `input` has the id.
pub fn field(id: &str, name: &str, input: &Markup) -> Markup {
    html! { div.field { label for=(id) { (name) } (input) } }
}

/// A secret, or what goes with one, to be copied: one press on it takes all of it, and the script adds a button.
pub fn secret(id: &str, name: &str, value: &str) -> Markup {
    html! {
        div.field {
            span.name { (name) }
            div.copied { code.secret id=(id) { (value) } (copy(id)) }
        }
    }
}

/// A button that copies what has this id. The script shows it, where it can copy.
pub fn copy(id: &str) -> Markup {
    html! { button type="button" data-copy=(id) hidden { "Copy" } }
}

/// A choice among words; of each, what is sent and what is shown.
pub fn select<'a>(id: &str, options: impl IntoIterator<Item = (&'a str, &'a str)>, selected: &str) -> Markup {
    html! {
        select id=(id) name=(id) {
            @for (value, shown) in options {
                option value=(value) selected[value == selected] { (shown) }
            }
        }
    }
}

/// Links of which one is where the reader is.
pub fn chips<'a>(label: &str, links: impl IntoIterator<Item = (&'a str, String, bool)>) -> Markup {
    html! {
        nav.chips aria-label=(label) {
            @for (name, to, is_here) in links {
                a href=(to) aria-current=[is_here.then_some("true")] { (name) }
            }
        }
    }
}

/// The way to what comes after a list, where there is more.
pub fn pager(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(to) = first { a href=(to) { "Newest" } }
                @if let Some(to) = next { a href=(to) rel="next" { "Older" } }
            }
        }
    }
}

/// A refusal as a page: its title and its content. `home` is where one goes on.
pub fn refusal_page(
    error: &ApiError,
    status: StatusCode,
    request_id: Option<&RequestId>,
    home: &str,
) -> (&'static str, Markup) {
    let title = match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN => "Not allowed",
        status if status.is_server_error() => "That did not work",
        _ => "That cannot be done",
    };
    let content = html! {
        (note(Tone::Bad, &html! {
            // The message of faults is the first of them.
            @if error.details().is_empty() { p { (error.message()) } }
            @for fault in error.details() { p { code { (fault.path) } ": " (fault.message) } }
        }))
        @if let Some(id) = request_id { p.quiet.small { "Request " code { (id.as_str()) } } }
        p { a href=(home) { "To the overview" } }
    };
    (title, content)
}

/// A part of a page that the script keeps fresh: a stream of events at `from` tells what is in it, each event named `part` with
/// the HTML as a JSON text. Without the script it stays as it is.
pub fn live(from: &str, content: &Markup) -> Markup {
    html! { div data-live=(from) { (content) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_counts_and_shares_are_short_and_true() {
        for (micros, said) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (9_999, "9.9 ms"),
            (340_900, "340 ms"),
            (1_000_000, "1.0 s"),
            (9_990_000, "9.9 s"),
            (59_999_999, "59 s"),
            (60_000_000, "1 min"),
            (185_000_000, "3 min 5 s"),
            (3_600_000_000, "1 h"),
            (7_830_000_000, "2 h 10 min"),
            (277_200_000_000, "3 d 5 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), said);
        }
        for (number, said) in
            [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (12_345_678, "12\u{202f}345\u{202f}678")]
        {
            assert_eq!(count(number), said);
        }
        for (number, said) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (1_048_576, "1.0 MiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(number), said);
        }
        for (part, whole, said) in [
            (0, 0, "–"),
            (0, 3, "0 %"),
            (1, 3, "33.33 %"),
            (999_999, 1_000_000, "99.99 %"),
            (3, 3, "100 %"),
            (4, 3, "100 %"),
        ] {
            assert_eq!(share(part, whole), said);
        }
    }

    #[test]
    fn moments_are_told_from_now_and_exactly() {
        let now = Timestamp::parse("2026-03-01T18:30:00Z").unwrap();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let shown = exact(at("2026-03-01T18:29:20.125Z")).into_string();
        assert_eq!(shown, "<time datetime=\"2026-03-01T18:29:20.125Z\">2026-03-01 18:29:20.125</time>");
        for (markup, said) in [
            (age(now, at("2026-03-01T18:29:20Z")), ">40 s ago<"),
            (age(now, at("2026-03-01T18:30:09Z")), ">0 s ago<"),
            (since(now, at("2026-02-28T18:30:00Z")), ">for 1 d<"),
            (until(now, at("2026-03-01T18:30:40Z")), ">in 40 s<"),
            (until(now, at("2026-03-01T18:29:00Z")), ">now<"),
        ] {
            assert!(markup.0.contains(said), "{}", markup.0);
        }
    }
}
