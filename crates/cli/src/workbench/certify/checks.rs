//! The checks, in the order in which they are made: each sends something and says which fault the answer is a sign of.
//!
//! A check must not blame one thing for another. Where several faults lead to the same answer it sends more, until only one
//! of them is left; where nothing can be seen from outside it says so.

use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, Changes, EventType, KnownStatus, StatusCodes, WebhookSecret, envelope_bytes,
    header as klikit,
};
use hookit_egress::Attempt;
use http::{HeaderMap, HeaderValue, header};

use super::faults::Fault;
use super::run::{Checked, Run, Word, answered, event, has_failed, ids, is_acknowledged, simple, word};
use crate::workbench::events::{Event, millis};
use crate::workbench::spelling::layouts;

/// Repeats that are sent at the same moment, and how often that is done.
const AT_ONCE: usize = 12;
const AT_ONCE_ROUNDS: usize = 4;

/// An answer that takes longer says that the work is done before it.
const SLOW: Duration = Duration::from_secs(5);
const SLUGGISH: Duration = Duration::from_secs(1);

const NO_VIEW: &str = "whether it took effect: give --view-url";
const NO_WORD: &str =
    "whether a repeat took effect: give --view-url, or answer received and duplicate-ignored";

fn code(status: KnownStatus) -> i64 {
    StatusCodes::default().code(status)
}

/// The plainest genuine delivery. Where even that is refused, the others cannot be made: false.
pub(super) async fn genuine(run: &Run, out: &mut Checked) -> anyhow::Result<bool> {
    let id = run.next_id();
    let placed = event(id, KnownStatus::Placed, 1);
    let attempt = run.send(&placed).await?;
    if is_acknowledged(&attempt) {
        out.notes.extend(attempt.timings.total.map(|time| format!("first answer in {} ms", millis(time))));
        if !run.has_view() {
            out.unseen.push(NO_VIEW);
        } else if !run.sees(id, |seen| seen.and_then(|seen| seen.status) == Some(1)).await? {
            run.remember(Fault::NotApplied, &placed.body);
            out.found(
                Fault::NotApplied,
                format!("order {id} was acknowledged, and is not in the view with status 1"),
            );
        }
        return Ok(true);
    }
    // Does it sign what it has written itself? Then it takes the body that it would write.
    for (layout, body) in layouts(&placed.body) {
        let spelled = Event::new(EventType::OrderCreated, body.into());
        if is_acknowledged(&run.send(&spelled).await?) {
            let seen = format!(
                "the same JSON was refused without white space ({}), and taken with {layout}",
                answered(&attempt)
            );
            out.found(Fault::RewritesBody, seen);
            return Ok(false);
        }
    }
    run.judge(out, Fault::RefusesGenuine, "a plain order, signed", &placed.body, &attempt);
    Ok(false)
}

/// Wrong signatures of all kinds.
pub(super) async fn forged(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    let secret = &run.0.sender.secret;
    let other = WebhookSecret::new(b"whsec_of_nobody");
    let text = |text: &str| HeaderValue::from_str(text);
    let good = |event: &Event| secret.sign(&event.body).to_string();
    for what in [
        "signed with another secret",
        "with a byte of the body changed",
        "with the signature of another body",
        "without a signature",
        "with an empty signature",
        "with the signature cut off",
        "with a signature of letters that are no digits",
        "with a signature of bytes that are no text",
        "with a signature of 4,000 characters",
    ] {
        let id = run.next_id();
        let mut sent = event(id, KnownStatus::Placed, 1);
        let mut headers = sent.headers(secret)?;
        let signature = match what {
            "signed with another secret" => Some(text(other.sign(&sent.body).as_str())?),
            "with a byte of the body changed" => {
                let signature = text(&good(&sent))?;
                let changed = String::from_utf8_lossy(&sent.body).replace("\"status\":1", "\"status\":3");
                sent.body = changed.into();
                Some(signature)
            }
            "with the signature of another body" => Some(text(&good(&event(id, KnownStatus::Placed, 2)))?),
            "without a signature" => None,
            "with an empty signature" => Some(HeaderValue::from_static("")),
            "with the signature cut off" => Some(text(&good(&sent)[..40])?),
            "with a signature of letters that are no digits" => Some(text(&"z".repeat(64))?),
            "with a signature of bytes that are no text" => Some(HeaderValue::from_bytes(&[0xff; 64])?),
            _ => Some(text(&good(&sent).repeat(63)[..4_000])?),
        };
        match signature {
            Some(signature) => headers.insert(klikit::SIGNATURE, signature),
            None => headers.remove(klikit::SIGNATURE),
        };
        let attempt = run.post(headers, sent.body).await;
        let seen = format!("a delivery {what}: {}", answered(&attempt));
        if is_acknowledged(&attempt) {
            // What takes no effect was noticed, and only answered wrongly.
            let is_harmless = word(&attempt) != Word::Received
                && run.has_view()
                && !run.comes_to_see(id, |seen| seen.is_some()).await?;
            out.found(if is_harmless { Fault::AcknowledgesForged } else { Fault::AcceptsForged }, seen);
        } else if has_failed(&attempt) {
            out.found(Fault::OddSignatureFails, seen);
        } else if attempt.status.is_some_and(|status| (300..400).contains(&status)) {
            out.found(Fault::Redirects, seen);
        } else if attempt.status.is_some_and(|status| status != 403) {
            out.found(Fault::ForgedNot403, seen);
        } else if attempt.outcome == AttemptOutcome::TimedOut {
            out.found(Fault::TimedOut, seen);
        }
    }
    out.unseen.push("whether signatures are compared in constant time: look for timingSafeEqual, compare_digest or its like");
    Ok(())
}

/// Bodies whose bytes are unusual, and bytes that changed while the JSON did not.
pub(super) async fn raw_bytes(run: &Run, out: &mut Checked, forged_are_refused: bool) -> anyhow::Result<()> {
    for (what, spell) in [
        (
            "spaces",
            r#"{ "brand_id" : 663, "branch_id" : 1062, "orders" : [ { "id" : ID, "status" : 1, "version" : 1 } ] }"#,
        ),
        (
            "an amount of 12.50",
            r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":ID,"status":1,"version":1,"final_price":12.50}]}"#,
        ),
        (
            "an escaped letter and slash",
            r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":ID,"status":1,"version":1,"order_comment":"caf\u00e9 1\/2"}]}"#,
        ),
        (
            "a letter that is not escaped",
            r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":ID,"status":1,"version":1,"order_comment":"café 1/2"}]}"#,
        ),
        (
            "keys in another order",
            r#"{"orders":[{"version":1,"status":1,"id":ID}],"branch_id":1062,"brand_id":663}"#,
        ),
        (
            "a line end behind it",
            "{\"brand_id\":663,\"branch_id\":1062,\"orders\":[{\"id\":ID,\"status\":1,\"version\":1}]}\n",
        ),
    ] {
        let body = spell.replace("ID", &run.next_id().to_string());
        let sent = Event::new(EventType::OrderCreated, body.into());
        let attempt = run.send(&sent).await?;
        // A refusal that is neither a time-out nor a failure is that of the signature: the plain order was taken.
        let fault = match has_failed(&attempt) {
            false => Fault::RewritesBody,
            true if sent.body.is_ascii() => Fault::RefusesGenuine,
            true => Fault::Scripts,
        };
        run.judge(out, fault, &format!("a genuine body with {what}"), &sent.body, &attempt);
    }
    if !forged_are_refused {
        return Ok(());
    }
    let sent = event(run.next_id(), KnownStatus::Placed, 1);
    let headers = sent.headers(&run.0.sender.secret)?;
    for (layout, body) in layouts(&sent.body).into_iter().filter(|(_, body)| body.as_bytes() != sent.body) {
        let attempt = run.post(headers.clone(), body.into()).await;
        if is_acknowledged(&attempt) {
            let seen = format!(
                "a body with {layout} and the signature of the same JSON without: {}",
                answered(&attempt)
            );
            out.found(Fault::RewritesBody, seen);
        }
    }
    Ok(())
}

/// Genuine deliveries that lack a header, or that cannot be read.
pub(super) async fn missing_headers(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    for name in [klikit::EVENT_ID, klikit::EVENT_TYPE, header::CONTENT_TYPE.as_str()] {
        let sent = event(run.next_id(), KnownStatus::Placed, 1);
        let mut headers = sent.headers(&run.0.sender.secret)?;
        headers.remove(name);
        let attempt = run.post(headers, sent.body).await;
        failed(out, &format!("a genuine delivery without {name}"), &attempt);
    }
    for body in ["", "hookit", "{}", r#"{"orders":null}"#, r#"{"orders":[null,[],{"id":"x"}]}"#] {
        let sent = Event::new(EventType::OrderCreated, Bytes::from_static(body.as_bytes()));
        let attempt = run.send(&sent).await?;
        if has_failed(&attempt) && attempt.status.is_none() {
            out.found(
                Fault::Dies,
                format!("a signed body that is no envelope ({body:?}): {}", answered(&attempt)),
            );
        }
    }
    Ok(())
}

fn failed(out: &mut Checked, what: &str, attempt: &Attempt) {
    if has_failed(attempt) {
        out.found(Fault::MissingHeaderFails, format!("{what}: {}", answered(attempt)));
    }
}

/// The same id again.
pub(super) async fn repeats(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    let id = run.next_id();
    let first = event(id, KnownStatus::Placed, 1);
    if !run.must_take(out, Fault::RefusesGenuine, "a plain order", &first).await? {
        return Ok(());
    }
    let again = run.send(&first).await?;
    run.judge(out, Fault::RepeatsRefused, "the same delivery again", &first.body, &again);
    let mut is_known = word(&again) == Word::Duplicate;
    if word(&again) == Word::Received {
        out.found(Fault::RepeatsTwice, format!("the same delivery again: {}", answered(&again)));
        return Ok(());
    }
    if run.has_view() && run.sees(id, |seen| seen.is_some()).await? {
        // No sender does this. It is how one sees whether the id is looked at.
        let accepted = code(KnownStatus::Accepted);
        let other = Event { body: simple(id, accepted, 2, ""), ..first };
        run.send(&other).await?;
        is_known = true;
        if run.comes_to_see(id, |seen| seen.and_then(|seen| seen.status) == Some(accepted)).await? {
            out.found(Fault::RepeatsTwice, "the same id with a later state: the view has that state");
        }
    }
    if !is_known {
        out.unseen.push(NO_WORD);
    }
    Ok(())
}

/// The same id several times at the same moment.
pub(super) async fn repeats_at_once(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    for _ in 0..AT_ONCE_ROUNDS {
        let same = event(run.next_id(), KnownStatus::Placed, 1);
        let attempts = run.send_all(vec![same.clone(); AT_ONCE], AT_ONCE).await?;
        for attempt in &attempts {
            run.judge(
                out,
                Fault::RepeatsRefused,
                "one of several repeats at the same moment",
                &same.body,
                attempt,
            );
        }
        let received = attempts.iter().filter(|attempt| word(attempt) == Word::Received).count();
        if received > 1 {
            let seen = format!(
                "{AT_ONCE} times the same delivery at the same moment: {received} were answered with received"
            );
            out.found(Fault::RepeatsAtOnceTwice, seen);
        }
        if attempts.iter().any(|attempt| is_acknowledged(attempt) && word(attempt) == Word::Other) {
            out.unseen = vec!["whether only one of them took effect: answer received and duplicate-ignored"];
        }
    }
    Ok(())
}

/// Realistic orders, alone and together, and an edit of a cart.
pub(super) async fn batches(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    let edited = run.batch(1)?;
    let mut changes = Changes::new();
    changes.integer("version", 2);
    let record = edited.records[0].with(&changes);
    let body = envelope_bytes(edited.brand_id, edited.branch_id, &[record.bytes()]);
    for (what, sent) in [
        ("a realistic order", Event::new(EventType::OrderCreated, edited.body())),
        ("an edit of its cart", Event::new(EventType::OrderCartUpdated, body)),
    ] {
        run.must_take(out, Fault::RefusesGenuine, what, &sent).await?;
    }
    for (orders, event_type) in
        [(1, EventType::OrderCreated), (2, EventType::OrderStatusUpdated), (50, EventType::OrderCreated)]
    {
        let batch = run.batch(orders)?;
        let fault = if orders == 1 { Fault::RefusesGenuine } else { Fault::BatchRefused };
        let what =
            format!("a delivery with {orders} realistic {}", if orders == 1 { "order" } else { "orders" });
        if !run.must_take(out, fault, &what, &Event::new(event_type, batch.body())).await? {
            continue;
        }
        if !run.has_view() {
            out.unseen = vec!["whether all orders of a batch arrived: give --view-url"];
            continue;
        }
        let missing = run.sees_all(&ids(&batch)).await?;
        if !missing.is_empty() {
            let fault = if missing.len() == orders { Fault::NotApplied } else { Fault::BatchFirstOnly };
            let seen = format!(
                "{what} was acknowledged, and {} of them are not in the view, order {} for instance",
                missing.len(),
                missing[0]
            );
            out.found(fault, seen);
        }
    }
    Ok(())
}

/// Fields, statuses and event types that are not in any list.
pub(super) async fn unknown(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    let take = async |out: &mut Checked, fault, what: &str, sent: Event| {
        run.must_take(out, fault, what, &sent).await
    };
    let created =
        |status, more: &str| Event::new(EventType::OrderCreated, simple(run.next_id(), status, 1, more));
    let more = r#","loyalty_tier":"gold","robots":[{"id":1,"arms":2}],"nested":{"a":{"b":{"c":null}}},"":0"#;
    take(out, Fault::UnknownFields, "an order with fields that nobody knows", created(1, more)).await?;
    let many: String = (0..300).map(|n| format!(r#","field_{n}":{n}"#)).collect();
    take(out, Fault::UnknownFields, "an order with 300 more fields", created(1, &many)).await?;
    let nulls = r#","cart":[],"cart_v2":null,"delivery_info":null,"promos":null,"user_email":null"#;
    take(out, Fault::UnknownFields, "an order with nulls where others have values", created(1, nulls))
        .await?;
    let mut sent = created(1, "");
    sent.body =
        String::from_utf8_lossy(&sent.body).replacen('{', r#"{"sent_by":"a later version","#, 1).into();
    take(out, Fault::UnknownFields, "an envelope with a field that nobody knows", sent).await?;
    for status in [10, 11, 99, 12_345] {
        let what = format!("an order in status {status}");
        take(out, Fault::UnknownStatuses, &what, created(status, "")).await?;
    }
    let mut sent = created(1, "");
    sent.event_type = "klikit.order.weighed.v3".to_owned();
    take(out, Fault::UnknownEventTypes, "an event of the type klikit.order.weighed.v3", sent).await?;
    Ok(())
}

/// Bodies up to beyond a megabyte.
pub(super) async fn large_bodies(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    for kib in [60, 110, 300, 600, 1_100] {
        let comment = "No onions, please. ".repeat(kib * 1_024 / 19);
        let body = simple(run.next_id(), 1, 1, &format!(r#","order_comment":"{comment}""#));
        let what = format!("a body of {} KB", body.len() / 1_000);
        if !run.must_take(out, Fault::BodyLimit, &what, &Event::new(EventType::OrderCreated, body)).await? {
            return Ok(());
        }
        out.notes = vec![format!("{what} was taken")];
    }
    Ok(())
}

/// Names and comments in every script of the countries, and how JSON may write them.
pub(super) async fn scripts(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    for (name, text) in [
        ("French", "Crème brûlée à l’ancienne"),
        ("Vietnamese", "Nguyễn Thị Ánh – ít đá"),
        ("Thai", "ไม่เผ็ด ขอบคุณค่ะ"),
        ("Japanese", "山田 太郎 ネギ抜き"),
        ("Chinese", "不要香菜，謝謝 𠮷野家"),
        ("Korean", "덜 맵게 해 주세요"),
        ("Tamil", "காரம் குறைவாக"),
        ("Arabic", "بدون بصل"),
        ("emoji", "🍜👨‍👩‍👧🇻🇳 thx 👍🏽"),
        ("combining marks", "e\u{301}te\u{301} a\u{308}\u{323}"),
        ("quotes and backslashes", r#"\"quoted\" \\ \/ \b\f\n\r\t 'x' <b>&amp;"#),
        ("escaped letters", r"caf\u00e9 \u0e01\u0e32\u0e41\u0e1f"),
        ("an escaped emoji", r"\ud83c\udf5c"),
    ] {
        let more =
            format!(r#","user_first_name":"{text}","order_comment":"{text}","cart":[{{"title":"{text}"}}]"#);
        let sent = Event::new(EventType::OrderCreated, simple(run.next_id(), 1, 1, &more));
        run.must_take(out, Fault::Scripts, &format!("an order with a text in {name}"), &sent).await?;
    }
    for (name, text) in
        [("U+0000", r"a\u0000b"), ("a control character", r"a\u001bb"), ("U+FFFF", "a\u{ffff}b")]
    {
        let sent = Event::new(
            EventType::OrderCreated,
            simple(run.next_id(), 1, 1, &format!(r#","order_comment":"{text}""#)),
        );
        run.must_take(out, Fault::HardText, &format!("an order with {name} in a text"), &sent).await?;
    }
    Ok(())
}

/// Large ids and amounts.
pub(super) async fn big_numbers(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    let noise = run.next_id() % 1_000_000;
    for (what, id, fault) in [
        ("an id beyond 2^31", 2_147_483_648 + 1_000_000_000 + noise, Fault::BigNumbers),
        ("an id of sixteen digits", 4_503_599_000_000_001 + noise, Fault::BigNumbers),
        // Odd, so that a float cannot hold it.
        ("an id beyond 2^53", 9_007_199_254_740_993 + 2 * noise, Fault::HugeNumbers),
    ] {
        let sent = Event::new(EventType::OrderCreated, simple(id, 1, 1, ""));
        if run.must_take(out, fault, what, &sent).await?
            && run.has_view()
            && run.applies()
            && !run.sees(id, |seen| seen.is_some()).await?
        {
            out.found(
                fault,
                format!("{what}: order {id} was acknowledged, and is not in the view under this id"),
            );
        }
    }
    let amounts = r#","final_price":12345678901234,"vat":0.1000000000000000055,"discount":-0.00,"item_price":1E3,"custom_fee":99999999999999999999"#;
    let sent = Event::new(EventType::OrderCreated, simple(run.next_id(), 1, 1, amounts));
    run.must_take(out, Fault::BigNumbers, "an order with large and precise amounts", &sent).await?;
    Ok(())
}

/// States that come late.
pub(super) async fn out_of_order(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    use KnownStatus::{Accepted, Cancelled, Ready};
    for newest in [Ready, Cancelled] {
        let id = run.next_id();
        // Made in this order, so that what is newer is so by its time, too.
        let states = [event(id, KnownStatus::Placed, 1), event(id, Accepted, 2), event(id, newest, 3)];
        let [placed, late, moved] = &states;
        let what = format!("an order that moved on to {newest}");
        let is_there = run.must_take(out, Fault::RefusesGenuine, "a plain order", placed).await?
            && run.must_take(out, Fault::RefusesGenuine, &what, moved).await?;
        if !is_there {
            return Ok(());
        }
        let has_status = |status| {
            move |seen: Option<super::view::Seen>| seen.and_then(|seen| seen.status) == Some(code(status))
        };
        let applied = run.sees(id, has_status(newest)).await?;
        run.must_take(out, Fault::LateRefused, &format!("its earlier state ACCEPTED, after {newest}"), late)
            .await?;
        if !run.has_view() {
            out.unseen = vec!["whether an older state replaces a newer one: give --view-url"];
        } else if !applied {
            out.found(
                Fault::NotApplied,
                format!("{what} was acknowledged, and the view does not have that status"),
            );
        } else if run.comes_to_see(id, has_status(Accepted)).await? {
            out.found(Fault::GoesBackwards, format!("order {id} was {newest} (version 3), and is ACCEPTED (version 2) in the view since that came late"));
        }
    }
    Ok(())
}

/// Many at a time.
pub(super) async fn concurrency(
    run: &Run,
    out: &mut Checked,
    deliveries: usize,
    at_a_time: usize,
) -> anyhow::Result<()> {
    let mut events = Vec::with_capacity(deliveries);
    let mut orders = Vec::with_capacity(deliveries);
    for _ in 0..deliveries {
        let batch = run.batch(1)?;
        orders.extend(ids(&batch));
        events.push(Event::new(EventType::OrderCreated, batch.body()));
    }
    let attempts = run.send_all(events.clone(), at_a_time).await?;
    let refused: Vec<usize> = (0..deliveries).filter(|index| !is_acknowledged(&attempts[*index])).collect();
    if let Some(first) = refused.first() {
        let what = format!("{} of {deliveries} deliveries, {at_a_time} at a time", refused.len());
        run.judge(out, Fault::Concurrency, &what, &events[*first].body, &attempts[*first]);
    }
    let mut times: Vec<Duration> = attempts.iter().filter_map(|attempt| attempt.timings.total).collect();
    times.sort_unstable();
    out.notes.push(format!("{deliveries} deliveries, {at_a_time} at a time: {}", percentiles(&times)));
    if !run.has_view() {
        out.unseen.push(NO_VIEW);
        return Ok(());
    }
    let acknowledged: Vec<i64> =
        orders.into_iter().zip(&attempts).filter(|(_, a)| is_acknowledged(a)).map(|(id, _)| id).collect();
    let missing = run.sees_all(&acknowledged).await?;
    if !missing.is_empty() {
        out.found(
            Fault::NotApplied,
            format!(
                "{} of {} orders were acknowledged and are not in the view",
                missing.len(),
                acknowledged.len()
            ),
        );
    }
    Ok(())
}

/// One after the other on the connections that there are.
pub(super) async fn keep_alive(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    for number in 1..=6 {
        let sent = event(run.next_id(), KnownStatus::Placed, 1);
        run.must_take(out, Fault::KeepAlive, &format!("delivery {number} in a row"), &sent).await?;
    }
    Ok(())
}

/// How long all that was acknowledged took.
pub(super) fn answer_time(run: &Run, out: &mut Checked) {
    let times = run.times();
    let Some(slowest) = times.last() else { return };
    let seen = format!("over {} acknowledged deliveries: {}", times.len(), percentiles(&times));
    if *slowest > SLOW {
        out.found(Fault::SlowAnswer, seen.clone());
    } else if at(&times, 99) > SLUGGISH {
        out.found(Fault::Sluggish, seen.clone());
    }
    out.notes.push(seen);
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn percentiles(times: &[Duration]) -> String {
    let [p50, p99, max] = [at(times, 50), at(times, 99), at(times, 100)].map(millis);
    format!("half within {p50} ms, 99 of 100 within {p99} ms, the slowest {max} ms")
}

/// A restart in between. `restart` does it, and returns when it is done.
pub(super) async fn restart(
    run: &Run,
    out: &mut Checked,
    restart: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let id = run.next_id();
    let first = event(id, KnownStatus::Placed, 1);
    run.must_take(out, Fault::RefusesGenuine, "a plain order", &first).await?;
    restart().await?;
    if !run.comes_back().await? {
        out.found(Fault::Unreachable, "the receiver is not there after the restart");
        return Ok(());
    }
    if run.has_view() && !run.sees(id, |seen| seen.is_some()).await? {
        out.found(
            Fault::NotApplied,
            format!("order {id} was acknowledged before the restart, and is not in the view after it"),
        );
    }
    let again = run.send(&first).await?;
    run.judge(out, Fault::RepeatsRefused, "the same delivery again, after a restart", &first.body, &again);
    match word(&again) {
        Word::Duplicate => {}
        Word::Received => {
            out.found(
                Fault::RepeatsForgotten,
                format!("the same delivery before and after a restart: {}", answered(&again)),
            );
        }
        Word::Other => out.unseen.push(NO_WORD),
    }
    Ok(())
}

/// A body that comes in pieces, over a connection of its own.
pub(super) async fn slow_sender(run: &Run, out: &mut Checked) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let url = run.0.sender.url.to_string();
    let Some((host, path)) =
        url.strip_prefix("http://").map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))
    else {
        out.unseen.push("a body that comes in pieces: only asked for over plain http");
        return Ok(());
    };
    let address = if host.rsplit(']').next().is_some_and(|port| port.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let sent = event(run.next_id(), KnownStatus::Placed, 1);
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nconnection: close\r\n",
        if path.is_empty() { "/" } else { path },
        sent.body.len()
    );
    let mut headers: HeaderMap = sent.headers(&run.0.sender.secret)?;
    run.0.sender.authorize(&mut headers);
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    head.push_str("\r\n");
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        let (first, last) = sent.body.split_at(sent.body.len() / 2);
        for piece in [head.as_bytes(), first, last] {
            stream.write_all(piece).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let mut answer = Vec::new();
        stream.take(16 << 10).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let seen = match tokio::time::timeout(Duration::from_secs(10), exchange).await {
        Err(_) => "nothing within 10 s".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(answer)) => {
            let answer = String::from_utf8_lossy(&answer);
            let line = answer.lines().next().unwrap_or_default();
            if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
                return Ok(());
            }
            format!("answered {line}")
        }
    };
    out.found(Fault::SlowSender, format!("a body in two pieces: {seen}"));
    Ok(())
}
