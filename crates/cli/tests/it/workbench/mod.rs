//! The workbench, as a partner uses it who has nothing but the binary.

mod certify;
mod exchange;
mod signatures;

use crate::harness::Scratch;
use crate::harness::process::{Ended, Launch};

const SECRET: &str = "whsec_of_the_workbench";
const WEBHOOK_SECRET: &str = "KLIKIT_WEBHOOK_SECRET";

/// Runs `hookit` with the secret in its environment.
async fn hookit(scratch: &Scratch, arguments: &[&str]) -> Ended {
    Launch::hookit(arguments).variable(WEBHOOK_SECRET, SECRET).run(scratch).await
}
