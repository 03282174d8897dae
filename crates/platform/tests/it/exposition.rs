//! A strict reader of the OpenMetrics text form: it panics at whatever a scraper could stumble over.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

/// What the head of a family says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) help: String,
    /// The names of the labels that its series have.
    pub(crate) labels: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
    /// Every series with its value.
    series: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with its end mark");
        let mut all = Exposition::default();
        let mut name = String::new();
        for line in body.lines() {
            if let Some(head) = line.strip_prefix("# ") {
                let (word, rest) = head.split_once(' ').unwrap();
                let (of, value) = rest.split_once(' ').unwrap();
                if of != name {
                    assert!(is_name(of), "{line}");
                    name = of.to_owned();
                    assert!(all.families.insert(name.clone(), Family::default()).is_none(), "twice: {line}");
                }
                let family = all.families.get_mut(&name).unwrap();
                let place = match word {
                    "TYPE" => &mut family.kind,
                    "UNIT" => &mut family.unit,
                    "HELP" => &mut family.help,
                    _ => panic!("{line}"),
                };
                assert!(place.is_empty() && !value.is_empty(), "{line}");
                *place = value.to_owned();
            } else {
                all.sample(&name, line);
            }
        }
        all.check();
        all
    }

    fn sample(&mut self, family: &str, line: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = Labels::new();
        if let Some(mut text) = rest.strip_prefix('{') {
            loop {
                let (key, behind) = text.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(is_name(key) && !key.contains(':'), "{line}");
                let (value, behind) = quoted(behind);
                assert!(labels.insert(key.to_owned(), value).is_none(), "a label twice: {line}");
                match behind.split_at(1) {
                    (",", more) => text = more,
                    ("}", more) => {
                        rest = more;
                        break;
                    }
                    _ => panic!("{line}"),
                }
            }
        }
        let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let head = self.families.get_mut(family).unwrap_or_else(|| panic!("of no family: {line}"));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("in the family {family}: {line}"));
        let allowed: &[&str] = match head.kind.as_str() {
            "gauge" => &[""],
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => panic!("{line}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(value.is_finite() && (value >= 0.0 || head.kind == "gauge"), "{line}");
        head.labels.extend(labels.keys().filter(|key| *key != "le").cloned());
        assert!(self.series.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }

    fn check(&self) {
        for (name, Family { kind, unit, help, .. }) in &self.families {
            assert!(!help.is_empty(), "{name} has no help");
            assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name} does not end in {unit}");
            assert!(kind != "counter" || !name.ends_with("_total"), "{name}");
            if kind != "histogram" {
                continue;
            }
            let buckets = self.buckets(name);
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
            let count = self.value(&format!("{name}_count"), &[]);
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name}");
            assert!(self.value(&format!("{name}_sum"), &[]) >= 0.0);
        }
    }

    /// A histogram's bounds, each with how many were at most that.
    pub(crate) fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = self
            .series
            .iter()
            .filter(|((series, _), _)| *series == format!("{name}_bucket"))
            .map(|((_, labels), count)| (labels["le"].parse().unwrap(), *count))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    /// The value of a series that must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("there is no {name} {labels:?}: {:#?}", self.series))
    }

    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }

    /// All series of a name, by their labels.
    pub(crate) fn all(&self, name: &str) -> Vec<(&Labels, f64)> {
        let found = self.series.iter().filter(|((series, _), _)| series == name);
        found.map(|((_, labels), value)| (labels, *value)).collect()
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// A label's value up to its closing mark, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                other => panic!("{other:?} in {text}"),
            },
            c => value.push(c),
        }
    }
    panic!("without an end: {text}");
}

#[test]
fn what_a_scraper_would_stumble_over_is_found() {
    let head = "# HELP a b.\n# TYPE a gauge\n";
    let histogram = "# HELP h b.\n# TYPE h histogram\nh_sum 1\nh_count 2\n";
    let good = format!("{head}a{{x=\"\\\"y\\\\\\n\"}} 1\n{histogram}h_bucket{{le=\"+Inf\"}} 2\n# EOF\n");
    assert_eq!(Exposition::parse(&good).value("a", &[("x", "\"y\\\n")]), 1.0);
    for bad in [
        "",
        "a 1\n# EOF\n",
        &format!("{head}a 1\n"),
        &format!("{head}a 1\na 1\n# EOF\n"),
        &format!("{head}a 1\n{head}# EOF\n"),
        &format!("{head}a x\n# EOF\n"),
        &format!("{head}a_total 1\n# EOF\n"),
        &format!("{head}b 1\n# EOF\n"),
        &format!("{head}a{{x=\"1\",x=\"2\"}} 1\n# EOF\n"),
        &format!("{histogram}h_bucket{{le=\"1.0\"}} 3\nh_bucket{{le=\"+Inf\"}} 2\n# EOF\n"),
        &format!("{histogram}h_bucket{{le=\"1.0\"}} 2\n# EOF\n"),
        "# HELP a_seconds b.\n# TYPE a_seconds gauge\n# UNIT a_seconds bytes\n# EOF\n",
        "# TYPE a gauge\na 1\n# EOF\n",
    ] {
        assert!(std::panic::catch_unwind(|| Exposition::parse(bad)).is_err(), "{bad}");
    }
}
