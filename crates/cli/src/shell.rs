//! `hookit completions` and `hookit man`: what shells and readers of manuals want, made of the arguments themselves.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::exit::{Exit, usage};
use crate::{Cli, output};

#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell: source what is printed, or put it where that shell looks.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManArgs {
    /// The folder for the pages; it must be there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hookit", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .map_err(|error| usage(format!("{}: the pages cannot be written: {error}", args.folder.display())))?;
    Ok(Exit::Success)
}
