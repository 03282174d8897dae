//! `hookit sign`: the signature of a body.

use std::path::PathBuf;

use hookit_contract::WebhookSecret;

use super::{ENVIRONMENT, SecretArgs, read_body};
use crate::exit::Exit;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct Args {
    /// The body; - is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    secrets: SecretArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let secret = args.secrets.read_one()?.secret;
    let body = read_body(&args.file)?;
    if body.ends_with(b"\n") {
        output::note("note: the body ends with a line end, which is signed too; printf '%s' writes none");
    }
    output::print(&format!("{}\n", WebhookSecret::new(secret.expose().as_bytes()).sign(&body)))?;
    Ok(Exit::Success)
}
