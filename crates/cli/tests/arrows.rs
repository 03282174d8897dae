//! ARCHITECTURE.md is checked, not believed: which crate may use which is read out of its table, and the files that it
//! names must exist. The rule is said there and nowhere else.
//!
//! What this test must not do: hold a list of crates of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const TABLE_BEGIN: &str = "<!-- arrows: begin -->";
const TABLE_END: &str = "<!-- arrows: end -->";
/// The crate that a crate's tests may use beside what the crate itself may use.
const FOR_TESTS: &str = "sim";
/// The top-level folders that hold files a document may name.
const FOLDERS: [&str; 5] = ["crates/", "examples/", "scripts/", ".ci/", "docs/"];

/// Crate (by folder) → the crates that it may use.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The words between backticks. A line at a time: no word goes over a line's end.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Reads the table: the crate stands in the first column, what it may use in the third.
fn table(text: &str) -> (Vec<String>, Arrows) {
    let (_, rest) =
        text.split_once(TABLE_BEGIN).expect("ARCHITECTURE.md has the mark at which the table begins");
    let (table, _) =
        rest.split_once(TABLE_END).expect("ARCHITECTURE.md has the mark at which the table ends");
    let mut order = Vec::new();
    let mut arrows = Arrows::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = row.split('|').collect();
        let name = quoted(columns[1]).next().unwrap_or_else(|| panic!("no crate in the row {row}"));
        let uses = quoted(columns[3]).map(str::to_owned).collect();
        assert!(arrows.insert(name.to_owned(), uses).is_none(), "{name} has two rows");
        order.push(name.to_owned());
    }
    assert!(!order.is_empty(), "the table has no rows");
    (order, arrows)
}

fn folder(package: &Package) -> String {
    let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
    folder.expect("a crate of the workspace lies in a folder of its own").to_owned()
}

/// The dependencies between the workspace's crates: for the crates themselves (build scripts included), and for tests.
fn found() -> (Arrows, Arrows) {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata reads the workspace");
    let folders: BTreeMap<String, String> =
        metadata.packages.iter().map(|p| (p.name.to_string(), folder(p))).collect();
    let arrows = |wanted: fn(DependencyKind) -> bool| {
        let within = |p: &Package| {
            let used = p.dependencies.iter().filter(|d| wanted(d.kind));
            (folder(p), used.filter_map(|d| folders.get(&d.name).cloned()).collect())
        };
        metadata.packages.iter().map(within).collect()
    };
    (arrows(|kind| kind != DependencyKind::Development), arrows(|kind| kind == DependencyKind::Development))
}

#[test]
fn the_table_names_exactly_the_crates_of_the_workspace() {
    let (_, arrows) = table(&document("ARCHITECTURE.md"));
    let (normal, _) = found();
    let in_table: Vec<&String> = arrows.keys().collect();
    let in_workspace: Vec<&String> = normal.keys().collect();
    assert_eq!(in_table, in_workspace, "left: the table of ARCHITECTURE.md; right: the workspace");
}

#[test]
fn a_row_of_the_table_names_only_crates_of_rows_above_it() {
    let (order, arrows) = table(&document("ARCHITECTURE.md"));
    for (i, name) in order.iter().enumerate() {
        for used in &arrows[name] {
            assert!(
                order[..i].contains(used),
                "the row of {name} names {used}, which does not stand above it"
            );
        }
    }
}

#[test]
fn no_crate_uses_one_that_the_table_does_not_let_it_use() {
    let (_, allowed) = table(&document("ARCHITECTURE.md"));
    let (normal, for_tests) = found();
    let mut wrong = Vec::new();
    for (name, used) in &normal {
        let allowed = allowed.get(name).cloned().unwrap_or_default();
        wrong.extend(used.difference(&allowed).map(|used| format!("{name} -> {used}")));
    }
    for (name, used) in &for_tests {
        let mut allowed = allowed.get(name).cloned().unwrap_or_default();
        allowed.insert(FOR_TESTS.to_owned());
        wrong.extend(used.difference(&allowed).map(|used| format!("tests of {name} -> {used}")));
    }
    assert!(wrong.is_empty(), "not in the table of ARCHITECTURE.md: {}", wrong.join(", "));
}

#[test]
fn the_files_that_the_documents_name_exist() {
    let root = root();
    let mut missing = Vec::new();
    let mut count = 0;
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = document(name);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        let paths = quoted(&text).filter(|word| {
            FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', ' '])
        });
        for path in links.chain(paths) {
            count += 1;
            if !root.join(path.split('#').next().unwrap_or(path)).exists() {
                missing.push(format!("{name} names {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(count > 0, "no document names a file: the reader of this test is broken");
}
