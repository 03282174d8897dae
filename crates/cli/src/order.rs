//! `hookit order advance`: what a partner does with an order, through its inbox.

use bytes::Bytes;
use hookit_contract::PartnerMove;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::exit::{Exit, usage};
use crate::inbox::WRITE_TOKEN;
use crate::output::{self, Output};

/// Secrets come by the environment: arguments can be read by whoever lists processes.
pub(crate) const ENVIRONMENT: &str = "\
Environment:
  HOOKIT_INBOX_WRITE_TOKEN  The token that the inbox was started with";

#[derive(clap::Args)]
pub(crate) struct AdvanceArgs {
    /// The order.
    order_id: i64,
    /// accepted, ready, picked_up, rejected or cancelled.
    status: String,
    /// Why; needed for rejected and cancelled. An integer, or a text.
    #[arg(long, value_name = "REASON")]
    reason_code: Option<String>,
    /// The inbox.
    #[arg(long, value_name = "URL", env = "HOOKIT_INBOX_URL", default_value = "http://127.0.0.1:8787")]
    inbox: String,
}

/// Has the inbox move an order, and says what the platform made of it.
pub(crate) async fn advance(args: AdvanceArgs, output: Output) -> anyhow::Result<Exit> {
    let Some(status) = PartnerMove::from_word(&args.status) else {
        let words = PartnerMove::ALL.map(PartnerMove::as_str).join(", ");
        return Err(usage(format!("{}: expected one of {words}", args.status)));
    };
    let token = std::env::var(WRITE_TOKEN).map_err(|_| {
        usage(format!("{WRITE_TOKEN} is not set: it is the token that the inbox was started with"))
    })?;
    let mut body = json!({"status": status});
    if let Some(reason) = args.reason_code {
        body["reason_code"] =
            reason.parse::<i64>().map_or_else(|_| Value::from(reason.as_str()), Value::from);
    }
    let client = Client::new(&args.inbox, Some(&token))?;
    let path = format!("/orders/{}/moves", args.order_id);
    let reply = client.call(Method::POST, &path, Bytes::from(body.to_string())).await?;
    let moved: Value = reply.data()?;
    match output {
        Output::Json => output::print_json(&moved)?,
        Output::Table => {
            let state = moved["state"].as_str().unwrap_or_default();
            output::print(&format!("order {}: {} {state}\n", args.order_id, args.status))?;
        }
    }
    if reply.status == StatusCode::ACCEPTED {
        output::note("the platform has not answered yet; the inbox goes on trying");
        return Ok(Exit::Unreachable);
    }
    Ok(Exit::Success)
}
