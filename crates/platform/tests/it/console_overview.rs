//! The console's first page: trouble first, and charts of what is kept.

use std::time::Duration;

use hookit_contract::{Clock as _, Timestamp};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use hookit_store::platform::{PastFigures, PastQuery, PastTimes, Span, Store as _};

use crate::console::{Browser, assert_protected};
use crate::harness::{Running, TOKEN};
use crate::http::patiently;

/// So many events in each stretch, the last of which is over.
async fn keep_past(running: &Running, span: Span, count: u32) {
    let now = running.clock.now();
    let stretch = |n: u32| {
        let ago = span.duration() * n;
        let millis = i64::try_from(ago.as_millis()).unwrap();
        let began_at = span.beginning(Timestamp::from_millis(now.as_millis() - millis));
        PastFigures {
            endpoint_id: None,
            span,
            began_at,
            events: 600,
            delivered: 1_200,
            attempts: 1_500,
            acknowledged: 1_200,
            dead: u64::from(n == 1),
            pending: 7,
            times: Some(PastTimes { p50_us: 1_500, p95_us: 20_000, p99_us: 45_000 }),
        }
    };
    running.store.note_past((1..=count).map(stretch).collect(), now).await.unwrap();
}

async fn page(browser: &Browser<'_>, path: &str) -> String {
    let answer = browser.get(path).await.expect(200);
    assert_protected(&answer);
    answer.text().to_owned()
}

#[tokio::test]
async fn the_overview_shows_what_was_kept_as_figures_and_charts() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let text = page(&browser, "/console").await;
    assert!(
        text.contains("No endpoint is registered yet") && text.contains("Nothing was measured in this time.")
    );
    keep_past(&running, Span::Minute, 30).await;
    let text = page(&browser, "/console").await;
    for said in [
        ">10<",
        ">20<",
        ">80 %<",
        ">1.5 ms<",
        ">45 ms<",
        "1 in the last hour",
        "<polyline",
        "aria-label=\"Backlog\"",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Minutes are for an hour; longer ranges are drawn of quarters.
    for (range, is_drawn) in [("1h", true), ("24h", false), ("7d", false)] {
        let text = page(&browser, &format!("/console?range={range}")).await;
        assert_eq!(text.contains("<polyline"), is_drawn, "{range}");
        assert!(text.contains(&format!("href=\"/console?range={range}\" aria-current=\"true\"")), "{text}");
    }
    keep_past(&running, Span::Quarter, 700).await;
    for range in ["24h", "7d"] {
        assert!(page(&browser, &format!("/console?range={range}")).await.contains("<polyline"), "{range}");
    }
    browser.get("/console?range=1y").await.expect(400);
    running.stop().await;
}

#[tokio::test]
async fn the_overview_begins_with_what_is_in_trouble() {
    let running = Running::start().await;
    let (well, broken) = (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    running.listener(&well).await;
    running.listener(&broken).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let text = page(&browser, "/console").await;
    assert!(text.contains("All 2 endpoints take what they are sent.") && !text.contains("Trouble"), "{text}");
    broken.answer(Answer::Status(503));
    running.order().await;
    let text = patiently(async {
        loop {
            let text = page(&browser, "/console").await;
            if text.contains("It has been down for") {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (_, trouble) = text.split_once("<h2>Trouble</h2>").unwrap();
    let table = trouble.split_once("</table>").unwrap().0;
    assert!(table.contains(&broken.address().to_string()) && table.contains(">down<"), "{table}");
    assert!(!table.contains(&well.address().to_string()), "{table}");
    running.stop().await;
}

/// What is done in a minute is on disk when it is over. The minute is the machine's own, so this takes up to one.
#[tokio::test]
async fn a_minute_that_is_over_is_kept() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    running.order().await;
    running.until("pending", 0).await;
    running.clock.push(Duration::from_secs(60));
    let query = |endpoint_id, span| PastQuery { endpoint_id, span, since: Timestamp::from_millis(0) };
    let kept = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let kept = running.store.past(query(None, Span::Minute)).await.unwrap();
            if kept.iter().any(|minute| minute.delivered > 0) {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("a minute has sixty seconds");
    // It may have begun between the order and its delivery.
    let sum = |of: fn(&PastFigures) -> u64| kept.iter().map(of).sum::<u64>();
    assert_eq!((sum(|m| m.events), sum(|m| m.delivered), sum(|m| m.attempts)), (1, 1, 1), "{kept:?}");
    assert!(kept.last().is_some_and(|minute| minute.times.is_some() && minute.pending == 0), "{kept:?}");
    let id = Some(running.store.endpoints().await.unwrap()[0].endpoint_id);
    let of_endpoint = running.store.past(query(id, Span::Quarter)).await.unwrap();
    assert_eq!((of_endpoint[0].attempts, of_endpoint[0].acknowledged), (1, 1));
    running.stop().await;
}
