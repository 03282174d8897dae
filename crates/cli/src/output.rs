//! What commands print on standard output: for people, or for scripts.

use std::io::Write as _;

use serde::Serialize;

/// How to print a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// Prints data.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Prints one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Says something that is no data, on standard error.
pub(crate) fn note(text: &str) {
    // Standard error may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "{text}");
}
