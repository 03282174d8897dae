//! The page of `hookit demo`: every switch does what it says, to be seen in the page's own figures, and in the end both views are
//! equal.

use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use crate::harness::http::Client;
use crate::harness::process::{Launch, Process};
use crate::harness::{Scratch, until};

/// A demo with its page, and where it keeps its folder.
struct Demo {
    process: Process,
    page: Client,
    address: String,
    temporary: PathBuf,
}

/// What a page shows at a moment.
struct Page(String);

impl Page {
    /// What stands between two texts, the first time behind a section's beginning.
    fn between(&self, section: &str, from: &str, to: &str) -> Option<&str> {
        let (_, section) = self.0.split_once(&format!("<section class=\"{section}"))?;
        let (_, rest) = section.split_once(from)?;
        Some(rest.split_once(to)?.0)
    }

    /// A figure of one side, without the marks around it.
    fn figure(&self, side: &str, name: &str) -> String {
        let found = self.between(side, &format!("<dt>{name}</dt><dd class=\"value\">"), "</dd>");
        let found = found.unwrap_or_else(|| panic!("no figure {name:?} of the {side}: {}", self.0));
        let mut text = String::new();
        let mut is_mark = false;
        for letter in found.chars().filter(|letter| *letter != '\u{202f}') {
            match letter {
                '<' => is_mark = true,
                '>' => is_mark = false,
                letter if !is_mark => text.push(letter),
                _ => {}
            }
        }
        text
    }

    fn count(&self, side: &str, name: &str) -> u64 {
        let figure = self.figure(side, name);
        figure.parse().unwrap_or_else(|_| panic!("{name}: {figure}"))
    }

    /// The orders of which all are equal; none where they are not.
    fn equal(&self) -> Option<u64> {
        let number = self.between("verdict", "The views are equal: all ", " orders")?;
        number.replace('\u{202f}', "").parse().ok()
    }

    fn says(&self, what: &str) -> bool {
        self.0.contains(what)
    }
}

impl Demo {
    async fn start(scratch: &Scratch) -> Self {
        let temporary = scratch.path("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let launch = Launch::hookit(&["demo", "--plain", "--output", "json", "--listen", "127.0.0.1:0"])
            .named("demo")
            .variable("TMPDIR", temporary.to_str().expect("a plain path"));
        let mut process = launch.spawn(scratch);
        let address = until("the line with the page", async || {
            if let Some(status) = process.has_ended() {
                panic!("the demo ended before it had a page: {status}: {}", process.stderr());
            }
            let said = process.stderr();
            let line = said.lines().find_map(|line| line.strip_prefix("page "))?;
            let (_, rest) = line.split_once("http://")?;
            Some(rest.split_once('/')?.0.to_owned())
        })
        .await;
        let page = Client::new(format!("http://{address}"), None);
        let demo = Demo { process, page, address, temporary };
        demo.until("orders on both sides", |page| page.equal().is_some_and(|equal| equal >= 3)).await;
        demo
    }

    async fn look(&self) -> Page {
        let answer = self.page.ask(Method::GET, "/", "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page(answer.text().to_owned())
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Page) -> bool) -> Page {
        until(what, async || {
            let page = self.look().await;
            is_so(&page).then_some(page)
        })
        .await
    }

    async fn press(&self, switch: &str, to: &str) {
        let form = format!("switch={switch}&to={to}");
        let answer = self.page.ask(Method::POST, "/switch", form).await;
        assert_eq!(answer.status, 303, "{switch} {to}: {}", answer.text());
    }

    /// All switches off, and the views equal with nothing waiting.
    async fn mended(&self) {
        let answer = self.page.ask(Method::POST, "/mend", "").await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let before = self.look().await.count("platform", "Orders");
        self.until("equal views", |page| {
            page.equal().is_some_and(|equal| equal >= before)
                && page.figure("platform", "Breaker") == "closed"
        })
        .await;
    }

    /// The processes that it has started.
    fn children(&self) -> Vec<u32> {
        let of_demo = |id: &u32| parent(*id) == Some(self.process.id());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_demo).collect()
    }

    /// Asks it to end, and reads its proof.
    async fn proof(mut self) -> Value {
        let children = self.children();
        assert_eq!(children.len(), 2, "a platform and an inbox");
        self.process.signal("TERM");
        let status = self.process.ended().await;
        assert_eq!(status.code(), Some(0), "{}{}", self.process.stdout(), self.process.stderr());
        assert!(children.iter().all(|id| parent(*id).is_none()), "it has waited for its halves");
        assert_eq!(std::fs::read_dir(&self.temporary).unwrap().count(), 0, "it leaves nothing");
        let summary: Value = serde_json::from_str(&self.process.stdout()).unwrap();
        let views = &summary["views"];
        assert_eq!((views["different"].as_u64(), views["missing"].as_u64()), (Some(0), Some(0)), "{summary}");
        assert!(views["equal"].as_u64() >= summary["orders"].as_u64(), "what was taken is there: {summary}");
        summary
    }
}

/// Whose child a process is; none where it has ended.
fn parent(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    fields.next()?.parse().ok().filter(|_| !has_ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_is_slow_or_down_or_fails_costs_nothing() {
    let scratch = Scratch::new();
    let demo = Demo::start(&scratch).await;
    demo.press("slow", "on").await;
    // In whole seconds and a tenth: `2.9 s`, and not `2.9 ms`.
    let waits = |page: &Page| {
        let oldest = page.figure("platform", "Oldest waits");
        oldest.strip_suffix(" s").and_then(|s| s.parse::<f64>().ok()).is_some_and(|s| s >= 2.0)
    };
    let page = demo.until("deliveries that wait", waits).await;
    assert_eq!(page.figure("platform", "Breaker"), "closed", "slow is not down");
    assert_eq!(page.figure("platform", "Success"), "100 %", "slow is no failure");
    demo.mended().await;

    demo.press("down", "on").await;
    let is_open = |page: &Page| page.figure("platform", "Breaker") == "open";
    demo.until("an open breaker and a backlog", |page| {
        is_open(page) && page.count("platform", "Backlog") >= 20 && page.says("The views differ in ")
    })
    .await;
    demo.press("down", "off").await;
    demo.until("equal views again", |page| {
        page.equal().is_some()
            && page.says("The backlog has drained")
            && page.says("Both views are equal again")
    })
    .await;

    demo.press("failing", "on").await;
    demo.until("a breaker that opened", is_open).await;
    demo.mended().await;

    let summary = demo.proof().await;
    assert_eq!((&summary["pending"], &summary["dead"]), (&0.into(), &0.into()), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_are_repeats_and_a_wrong_secret_is_refused() {
    let scratch = Scratch::new();
    let demo = Demo::start(&scratch).await;
    assert_eq!(demo.look().await.count("inbox", "Repeats"), 0);
    demo.press("losing", "on").await;
    demo.until("repeats", |page| page.count("inbox", "Repeats") >= 5).await;
    demo.mended().await;

    assert_eq!(demo.look().await.count("inbox", "Refused"), 0);
    demo.press("secret", "on").await;
    demo.until("refusals and an open breaker", |page| {
        page.count("inbox", "Refused") >= 3 && page.figure("platform", "Breaker") == "open"
    })
    .await;
    let before = demo.look().await;
    demo.mended().await;
    let after = demo.look().await;
    for name in ["Received", "Repeats", "Refused"] {
        let counts = (before.count("inbox", name), after.count("inbox", name));
        assert!(counts.0 <= counts.1, "{name} goes on over the inbox's restart: {counts:?}");
    }

    let summary = demo.proof().await;
    assert!(summary["duplicates"].as_u64() >= Some(5) && summary["refused"].as_u64() >= Some(3), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_is_killed_comes_back_with_everything_and_a_flood_passes() {
    let scratch = Scratch::new();
    let demo = Demo::start(&scratch).await;
    let before = demo.look().await;
    let halves = demo.children();
    demo.press("kill", "on").await;
    assert_eq!(demo.children().len(), 1, "it is really gone");
    let page = demo.until("a dead platform", |page| page.figure("platform", "Breaker") == "killed").await;
    assert!(page.says("The views cannot be compared: the platform does not answer."), "{}", page.0);
    // It comes back by itself.
    let page = demo.until("the platform", |page| page.figure("platform", "Breaker") == "closed").await;
    assert!(page.count("platform", "Orders") >= before.count("platform", "Orders"), "{}", page.0);
    assert!(page.says("The platform was started again, on the same files"), "{}", page.0);
    let both = demo.children();
    assert_eq!((both.len(), both.iter().filter(|id| halves.contains(id)).count()), (2, 1));
    demo.mended().await;

    // And at once by the switch.
    demo.press("kill", "on").await;
    demo.press("kill", "off").await;
    assert_eq!(demo.children().len(), 2);
    demo.mended().await;

    demo.press("flood", "on").await;
    demo.until("a flood", |page| {
        page.figure("inbox", "Received a second").parse::<f64>().is_ok_and(|rate| rate >= 40.0)
    })
    .await;
    demo.until("its end", |page| page.says("Flood: off")).await;
    demo.mended().await;
    demo.proof().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switches_are_for_the_page_alone_and_the_page_for_this_machine() {
    let scratch = Scratch::new();
    let demo = Demo::start(&scratch).await;
    let own = format!("http://{}", demo.address);
    let press = async |headers: &[(&str, &str)]| {
        let answer = demo.page.send(Method::POST, "/switch", headers, "switch=down&to=on").await.unwrap();
        let is_on = demo.look().await.says("Inbox down: on");
        demo.press("down", "off").await;
        (answer.status, is_on)
    };
    for headers in [
        &[("origin", "http://evil.test")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("host", "evil.test"), ("origin", "http://evil.test")],
    ] {
        assert_eq!(press(headers).await, (403, false), "{headers:?}");
    }
    assert_eq!(press(&[("sec-fetch-site", "same-origin"), ("origin", &own)]).await, (303, true));
    let strange = demo.page.send(Method::GET, "/", &[("host", "evil.test")], "").await.unwrap();
    assert_eq!(strange.status, 403, "{}", strange.text());
    for (form, status) in [("switch=fire&to=on", 400), ("switch=down", 400), ("", 400)] {
        assert_eq!(demo.page.ask(Method::POST, "/switch", form).await.status, status, "{form}");
    }
    assert_eq!(demo.page.ask(Method::GET, "/nothing", "").await.status, 404);
    let answer = demo.page.ask(Method::GET, "/", "").await;
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");

    // It says where the token is, and nowhere what it is.
    let folder = std::fs::read_dir(&demo.temporary).unwrap().next().unwrap().unwrap().path();
    let token = std::fs::read_to_string(folder.join("platform/operator.token")).unwrap();
    let mut said = vec![answer.text().to_owned(), demo.process.stderr()];
    for id in demo.children() {
        said.push(
            String::from_utf8_lossy(&std::fs::read(format!("/proc/{id}/cmdline")).unwrap()).into_owned(),
        );
    }
    assert!(said[..2].iter().all(|said| said.contains("platform/operator.token")), "{said:?}");
    assert!(token.trim().len() > 16 && said.iter().all(|said| !said.contains(token.trim())), "{said:?}");
    demo.proof().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_killed_takes_its_halves_along_and_the_next_one_removes_what_is_left() {
    let scratch = Scratch::new();
    let mut demo = Demo::start(&scratch).await;
    let children = demo.children();
    assert_eq!(children.len(), 2);
    demo.process.signal("KILL");
    demo.process.ended().await;
    until("the end of both halves", async || children.iter().all(|id| parent(*id).is_none()).then_some(()))
        .await;
    assert_eq!(std::fs::read_dir(&demo.temporary).unwrap().count(), 1, "nobody was there to remove it");
    let launch = Launch::hookit(&["demo", "--orders", "1", "--rate", "0"]).named("demo");
    let ended = launch.variable("TMPDIR", demo.temporary.to_str().unwrap()).run(&scratch).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(&demo.temporary).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_for_other_machines_or_of_a_run_with_an_end_is_refused() {
    let scratch = Scratch::new();
    for arguments in [
        &["demo", "--listen", "0.0.0.0:8790"][..],
        &["demo", "--listen", "127.0.0.1:0", "--orders", "5"],
        &["demo", "--listen", "127.0.0.1:0", "--for", "1s"],
    ] {
        let ended = Launch::hookit(arguments).named("demo").run(&scratch).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}
