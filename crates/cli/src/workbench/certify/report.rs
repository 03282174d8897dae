//! The report of a run: on a terminal, as JSON, and as a page that needs nothing beside itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hookit_contract::Timestamp;
use serde_json::{Value, json};

use super::faults::{Fault, Severity};
use super::run::{Checked, Found};

/// What came of a run.
pub(super) struct Report {
    pub(super) url: String,
    pub(super) started_at: Timestamp,
    pub(super) checks: Vec<Checked>,
}

impl Report {
    /// The worst that was found.
    pub(super) fn severity(&self) -> Option<Severity> {
        self.checks.iter().filter_map(Checked::severity).max()
    }

    /// Each fault once, the worst first, with all that it was told by.
    fn faults(&self) -> Vec<(Fault, Vec<&str>)> {
        let mut faults: BTreeMap<Fault, Vec<&str>> = BTreeMap::new();
        for Found { fault, seen } in self.checks.iter().flat_map(|checked| &checked.faults) {
            faults.entry(*fault).or_default().push(seen);
        }
        let mut faults: Vec<_> = faults.into_iter().collect();
        faults.sort_by_key(|(fault, _)| std::cmp::Reverse(fault.severity()));
        faults
    }

    fn verdict(&self) -> String {
        let count = |severity| self.faults().iter().filter(|(fault, _)| fault.severity() == severity).count();
        match (count(Severity::Failure), count(Severity::Warning)) {
            (0, 0) => "passed".to_owned(),
            (0, warnings) => format!("passed, with {warnings} to look at"),
            (failures, 0) => format!("failed: {failures} to mend"),
            (failures, warnings) => format!("failed: {failures} to mend, {warnings} to look at"),
        }
    }

    /// For people at a terminal.
    pub(super) fn words(&self) -> String {
        let mut out = String::new();
        // Writing to a text cannot fail.
        for checked in &self.checks {
            let mark = match checked.severity() {
                Some(Severity::Failure) => "✗",
                Some(Severity::Warning) => "!",
                None => "✓",
            };
            let _ = writeln!(out, "{mark} {}", checked.title);
            for found in &checked.faults {
                let _ = writeln!(out, "    {}: {}", found.fault.code(), found.seen);
            }
            for note in &checked.notes {
                let _ = writeln!(out, "    {note}");
            }
            for unseen in &checked.unseen {
                let _ = writeln!(out, "    not seen: {unseen}");
            }
        }
        let _ = writeln!(out, "\n{}: {}", self.url, self.verdict());
        for (fault, _) in self.faults() {
            let _ = writeln!(
                out,
                "\n{}: {}\n  {}\n  → {}",
                fault.code(),
                fault.title(),
                fault.meaning(),
                fault.mend()
            );
        }
        out
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let faults = self.faults();
        let fault = |(fault, seen): &(Fault, Vec<&str>)| {
            json!({
                "fault": fault.code(), "severity": fault.severity(), "title": fault.title(), "seen": seen,
                "meaning": fault.meaning(), "mend": fault.mend(),
            })
        };
        json!({
            "url": self.url, "started_at": self.started_at, "passed": self.severity() != Some(Severity::Failure),
            "faults": faults.iter().map(fault).collect::<Vec<_>>(), "checks": self.checks,
        })
    }

    /// For whoever is shown it later.
    pub(super) fn html(&self) -> String {
        let mut out = String::from(HEAD);
        let passed = self.severity() != Some(Severity::Failure);
        let _ = write!(
            out,
            "<h1>Receiver report</h1>\n<p class=\"verdict {}\">{}</p>\n<p>{}<br>{} · hookit {}</p>\n",
            if passed { "good" } else { "bad" },
            escaped(&self.verdict()),
            escaped(&self.url),
            self.started_at,
            env!("CARGO_PKG_VERSION"),
        );
        let faults = self.faults();
        if !faults.is_empty() {
            out.push_str("<h2>Faults</h2>\n");
        }
        for (fault, seen) in faults {
            let class = if fault.severity() == Severity::Failure { "bad" } else { "warn" };
            let _ = writeln!(out, "<section class=\"{class}\"><h3>{}</h3>", escaped(fault.title()));
            let _ = writeln!(out, "<p><b>For the restaurant:</b> {}</p>", escaped(fault.meaning()));
            let _ = writeln!(out, "<p><b>How to mend it:</b> {}</p>", escaped(fault.mend()));
            for seen in seen {
                let _ = writeln!(out, "<p class=\"seen\">{}</p>", escaped(seen));
            }
            let _ = writeln!(out, "<p class=\"seen\">{}</p></section>", fault.code());
        }
        out.push_str("<h2>Checks</h2>\n<table><tr><th>check</th><th>result</th><th></th></tr>\n");
        for checked in &self.checks {
            let (class, result) = match checked.severity() {
                Some(Severity::Failure) => ("bad", "failed"),
                Some(Severity::Warning) => ("warn", "look at it"),
                None => ("good", "passed"),
            };
            let unseen = checked.unseen.iter().map(|unseen| format!("not seen: {unseen}"));
            let notes: Vec<String> =
                checked.notes.iter().cloned().chain(unseen).map(|note| escaped(&note)).collect();
            let title = escaped(checked.title);
            let _ = writeln!(
                out,
                "<tr><td>{title}</td><td class=\"{class}\">{result}</td><td>{}</td></tr>",
                notes.join("<br>")
            );
        }
        out.push_str("</table>\n</body>\n</html>\n");
        out
    }
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Receiver report</title>
<style>
:root { color-scheme: light dark; --bad: #b3261e; --warn: #8a5a00; --good: #1b6e3c; --line: #8885; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffc766; --good: #7fd99f; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
section { border-left: 4px solid var(--line); padding: .1rem 1rem; margin: 1rem 0; }
section.bad { border-color: var(--bad); } section.warn { border-color: var(--warn); }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid var(--line); padding: .4rem; text-align: left; vertical-align: top; }
.verdict { font-size: 1.4rem; font-weight: 600; } td.bad, .verdict.bad { color: var(--bad); } td.warn { color: var(--warn); } td.good, .verdict.good { color: var(--good); }
.seen { font-family: ui-monospace, monospace; font-size: .85rem; opacity: .85; }
</style>
</head>
<body>
"#;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_a_fault_once_and_the_page_shows_a_receivers_words_without_running_them() {
        let mut first = Checked::new("forged", "Wrong signatures");
        first.found(Fault::AcceptsForged, "answered 200 <script>alert(1)</script>");
        first.found(Fault::ForgedNot403, "answered 401");
        let mut second = Checked::new("late", "States that come late");
        second.found(Fault::AcceptsForged, "once more");
        second.unseen.push("the view");
        let report = Report {
            url: "http://127.0.0.1/?a=\"b\"".to_owned(),
            started_at: Timestamp::from_millis(0),
            checks: vec![first, second],
        };
        assert_eq!(report.severity(), Some(Severity::Failure));
        let (words, html, json) = (report.words(), report.html(), report.json());
        assert_eq!(words.matches(Fault::AcceptsForged.meaning()).count(), 1, "{words}");
        assert!(
            words.contains("failed: 1 to mend, 1 to look at") && words.contains("not seen: the view"),
            "{words}"
        );
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert!(!html.contains("src=") && !html.contains("href="), "{html}");
        assert_eq!(json["faults"][0]["fault"], "accepts_forged");
        assert_eq!(json["faults"][0]["seen"], json!(["answered 200 <script>alert(1)</script>", "once more"]));
        assert_eq!(
            (&json["passed"], &json["checks"][0]["faults"][0]["fault"]),
            (&json!(false), &json!("accepts_forged"))
        );
    }
}
