//! `hookit verify`: whether a signature is a body's, and why it is not.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::diagnose::{Candidate, Cause, Hint, Said, Verdict, diagnose};
use super::{ENVIRONMENT, SecretArgs, read_body};
use crate::exit::Exit;
use crate::output::{self, Output};

#[derive(clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The signature, as it stood in x-klikit-signature.
    #[arg(long, value_name = "HEX", allow_hyphen_values = true)]
    signature: String,
    /// The raw body; - is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    secrets: SecretArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn after_help() -> String {
    format!(
        "{ENVIRONMENT}\n\nExit codes: 0 where it matches, 1 where it does not, 2 for a wrong command line"
    )
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let secrets = args.secrets.read()?;
    let body = read_body(&args.file)?;
    let candidates: Vec<Candidate<'_>> = secrets
        .iter()
        .map(|named| Candidate { name: &named.name, key: named.secret.expose().as_bytes() })
        .collect();
    let verdict = diagnose(args.signature.as_bytes(), &body, &candidates);
    match args.output {
        Output::Table => output::print(&words(&verdict, &candidates))?,
        Output::Json => output::print_json(&json(&verdict))?,
    }
    Ok(if matches!(verdict, Verdict::Genuine { .. }) { Exit::Success } else { Exit::Differs })
}

fn words(verdict: &Verdict, candidates: &[Candidate<'_>]) -> String {
    let mut out = String::new();
    let mut line = |said: Said| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "  {}\n    → {}", said.what, said.mend);
    };
    match verdict {
        Verdict::Genuine { secret } => {
            let others: Vec<&str> =
                candidates.iter().map(|other| other.name).filter(|name| name != secret).collect();
            return match others.as_slice() {
                [] => "the signature matches\n".to_owned(),
                others => format!(
                    "the signature matches with the secret of {secret}, and not with that of {}\n",
                    others.join(", ")
                ),
            };
        }
        Verdict::Explained { causes, .. } => causes.iter().map(Cause::said).for_each(&mut line),
        Verdict::Unexplained { hints } => hints.iter().map(Hint::said).for_each(&mut line),
    }
    let head = match verdict {
        Verdict::Explained { secret, .. } if candidates.len() > 1 => {
            format!("the signature does not match. It was made with the secret of {secret}, and:\n")
        }
        Verdict::Explained { .. } => "the signature does not match, and this is why:\n".to_owned(),
        _ => "the signature does not match, and what was tried does not tell why. Perhaps:\n".to_owned(),
    };
    head + &out
}

fn json(verdict: &Verdict) -> serde_json::Value {
    match verdict {
        Verdict::Genuine { secret } => json!({"matches": true, "secret": secret}),
        Verdict::Explained { secret, causes } => {
            json!({"matches": false, "secret": secret, "causes": causes.iter().map(Cause::said).collect::<Vec<_>>()})
        }
        Verdict::Unexplained { hints } => {
            json!({"matches": false, "causes": [], "hints": hints.iter().map(Hint::said).collect::<Vec<_>>()})
        }
    }
}
