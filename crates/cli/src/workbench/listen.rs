//! `hookit listen`: a receiver to look over the shoulder of a sender. It verifies, shows, forwards, and plays a bad partner.
//!
//! What this module must not do: keep anything. Whoever needs what came uses the inbox.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use hookit_contract::{Clock as _, Envelope, EnvelopeOrder, StatusCodes, header as klikit};
use hookit_egress::{AddressPolicy, Egress, EgressConfig, EndpointUrl, Post};
use hookit_server::{Limits, SystemClock, read_body};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::diagnose::{Candidate, Cause, Hint, Said, Verdict, diagnose};
use super::spelling::pretty;
use super::{BODY_BYTES_MAX, ENVIRONMENT, NamedSecret, SecretArgs};
use crate::demo::duration;
use crate::exit::{Exit, usage};
use crate::output::{self, Output};
use crate::signals;

/// Ids that are remembered, to tell repeats.
const IDS_MAX: usize = 100_000;

/// How long an answer that is under way may take after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct Args {
    /// Where to listen; port 0 picks a free one. Every path is taken.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Posts what is genuine there, as it came, and answers with the answer from there.
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    /// Answers the first N with this status instead; without :N all of them.
    #[arg(long, value_name = "STATUS[:N]", value_parser = failures)]
    fail: Option<Failures>,
    /// Waits before it answers: 300ms, 2s, 1m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<Duration>,
    /// Never answers.
    #[arg(long, conflicts_with_all = ["fail", "delay", "forward_to"])]
    hang: bool,
    /// Leaves the bodies out.
    #[arg(long)]
    brief: bool,
    /// How to print what comes; json prints a line for each.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How many answers are to be failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failures {
    status: StatusCode,
    /// None for all.
    count: Option<u64>,
}

fn failures(text: &str) -> Result<Failures, String> {
    let expected = || "expected a status from 200 to 599, and perhaps how often: 500:3".to_owned();
    let (status, count) = match text.split_once(':') {
        Some((status, count)) => (status, Some(count.parse().map_err(|_| expected())?)),
        None => (text, None),
    };
    let status: u16 = status.parse().map_err(|_| expected())?;
    let status = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
    Ok(Failures { status: status.ok_or_else(expected)?, count })
}

struct Listening {
    secrets: Vec<NamedSecret>,
    forward: Option<(Egress, EndpointUrl)>,
    delay: Option<Duration>,
    hang: bool,
    brief: bool,
    output: Output,
    coloured: bool,
    state: Mutex<Remembered>,
    stop: CancellationToken,
}

struct Remembered {
    failures: Option<Failures>,
    ids: HashSet<String>,
    oldest: VecDeque<String>,
}

impl Remembered {
    /// True where this id came before.
    fn knows(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return true;
        }
        self.oldest.push_back(id.to_owned());
        if self.oldest.len() > IDS_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.ids.remove(&oldest);
        }
        false
    }

    /// The status to fail with, where this one is to fail.
    fn failure(&mut self) -> Option<StatusCode> {
        let failures = self.failures.as_mut()?;
        match &mut failures.count {
            None => Some(failures.status),
            Some(0) => None,
            Some(count) => {
                *count -= 1;
                Some(failures.status)
            }
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let forward = args.forward_to.as_deref().map(forwarder).transpose()?;
    let stop = signals::stop_token()?;
    let listening = Arc::new(Listening {
        secrets: args.secrets.read()?,
        forward,
        delay: args.delay,
        hang: args.hang,
        brief: args.brief,
        output: args.output,
        coloured: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        state: Mutex::new(Remembered { failures: args.fail, ids: HashSet::new(), oldest: VecDeque::new() }),
        stop: stop.clone(),
    });
    let listener = hookit_server::bind(args.listen)
        .with_context(|| format!("--listen {}: cannot listen there", args.listen))?;
    // Not on standard output: that is for what comes.
    output::note(&format!("listening on http://{}", listener.local_addr()?));
    let router =
        Router::new().route("/", post(receive)).route("/{*path}", post(receive)).with_state(listening);
    let limits = Limits {
        body_bytes_max: usize::try_from(BODY_BYTES_MAX)?,
        stop_timeout: STOP_TIMEOUT,
        ..Limits::default()
    };
    hookit_server::serve(listener, router, limits, stop).await;
    Ok(Exit::Success)
}

fn forwarder(url: &str) -> anyhow::Result<(Egress, EndpointUrl)> {
    let config = EgressConfig {
        addresses: AddressPolicy::AllowPrivate,
        https_required: false,
        ..EgressConfig::default()
    };
    let url = EndpointUrl::parse(url, &config.url_rules())
        .map_err(|error| usage(format!("--forward-to: {error}")))?;
    Ok((Egress::new(config)?, url))
}

/// What came, and what is to be said of it.
struct Arrival {
    path: String,
    event_id: Option<String>,
    event_type: Option<String>,
    body: Bytes,
    /// The name of the secret, or why there is none.
    verified: Result<String, Vec<Said>>,
    is_repeat: bool,
    /// The status and body of the answer, and where they come from; none where there will be no answer.
    answer: Option<(StatusCode, Bytes, &'static str)>,
}

async fn receive(State(listening): State<Arc<Listening>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let limits = head.extensions.get::<Limits>().copied().unwrap_or_default();
    let body = match read_body(body, limits.body_bytes_max, limits.body_timeout).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let text = |name| Some(String::from_utf8_lossy(head.headers.get(name)?.as_bytes()).into_owned());
    let mut arrival = Arrival {
        path: head.uri.path().to_owned(),
        event_id: text(klikit::EVENT_ID),
        event_type: text(klikit::EVENT_TYPE),
        verified: listening.verify(&head.headers, &body),
        body,
        is_repeat: false,
        answer: None,
    };
    let failure = {
        let mut state = listening.state.lock().unwrap_or_else(PoisonError::into_inner);
        if arrival.verified.is_ok() {
            arrival.is_repeat = arrival.event_id.as_deref().is_some_and(|id| state.knows(id));
        }
        state.failure()
    };
    if !listening.hang {
        arrival.answer = Some(listening.answer(&arrival, &head.headers, failure).await);
    }
    if listening.print(&arrival).is_err() {
        // Nobody reads any more.
        listening.stop.cancel();
    }
    match (arrival.answer, listening.delay) {
        (None, _) => std::future::pending().await,
        (Some((status, body, _)), delay) => {
            tokio::time::sleep(delay.unwrap_or_default()).await;
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
                .into_response()
        }
    }
}

impl Listening {
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, Vec<Said>> {
        let Some(signature) = headers.get(klikit::SIGNATURE) else {
            return Err(vec![Hint::SignatureEmpty.said()]);
        };
        let candidates: Vec<Candidate<'_>> = self
            .secrets
            .iter()
            .map(|named| Candidate { name: &named.name, key: named.secret.expose().as_bytes() })
            .collect();
        match diagnose(signature.as_bytes(), body, &candidates) {
            Verdict::Genuine { secret } => Ok(secret),
            Verdict::Explained { causes, .. } => Err(causes.iter().map(Cause::said).collect()),
            Verdict::Unexplained { hints } => Err(hints.iter().map(Hint::said).collect()),
        }
    }

    /// What is answered, as the published receivers do unless told otherwise.
    async fn answer(
        &self,
        arrival: &Arrival,
        headers: &HeaderMap,
        failure: Option<StatusCode>,
    ) -> (StatusCode, Bytes, &'static str) {
        let told =
            |status: StatusCode, word: &str, from| (status, json!({"status": word}).to_string().into(), from);
        if let Some(status) = failure {
            return told(status, "failed-as-told", "--fail");
        }
        if arrival.verified.is_err() {
            return told(StatusCode::FORBIDDEN, "forbidden", "listen");
        }
        let Some((egress, url)) = &self.forward else {
            let word = if arrival.is_repeat { "duplicate-ignored" } else { "received" };
            return told(StatusCode::OK, word, "listen");
        };
        let post = Post { url: url.clone(), headers: headers.clone(), body: arrival.body.clone() };
        let attempt = egress.post(post, SystemClock.now()).await;
        match attempt.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => (status, attempt.answer, "--forward-to"),
            None => {
                let error = attempt.error.unwrap_or_else(|| attempt.outcome.to_string());
                output::note(&format!("--forward-to {url}: {}: {error}", attempt.outcome));
                told(StatusCode::BAD_GATEWAY, attempt.outcome.as_str(), "--forward-to")
            }
        }
    }

    fn print(&self, arrival: &Arrival) -> anyhow::Result<()> {
        match self.output {
            Output::Table => output::print(&self.words(arrival)),
            Output::Json => output::print_json(&self.json(arrival)),
        }
    }

    fn words(&self, arrival: &Arrival) -> String {
        let colour = |code: &str, text: &str| {
            if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let mut out = String::new();
        let mark = if arrival.verified.is_ok() { colour("32", "✓") } else { colour("31", "✗") };
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "{} {mark} {} {} {}{} bytes at {}",
            SystemClock.now(),
            arrival.event_type.as_deref().unwrap_or("(no event type)"),
            arrival.event_id.as_deref().unwrap_or("(no event id)"),
            if arrival.is_repeat { "a repeat, " } else { "" },
            arrival.body.len(),
            arrival.path,
        );
        match &arrival.verified {
            Ok(secret) if self.secrets.len() > 1 => {
                let _ = writeln!(out, "  signed with the secret of {secret}");
            }
            Ok(_) => {}
            Err(why) => {
                for said in why {
                    let _ =
                        writeln!(out, "  {}: {}\n    → {}", colour("31", "signature"), said.what, said.mend);
                }
            }
        }
        match orders(&arrival.body) {
            Ok(orders) => {
                for order in orders {
                    let _ = writeln!(out, "  {}", in_words(&order));
                }
            }
            Err(why) => {
                let _ = writeln!(out, "  {}: {why}", colour("31", "body"));
            }
        }
        if !self.brief {
            for line in pretty(&arrival.body).lines() {
                let _ = writeln!(out, "    {}", colour("2", line));
            }
        }
        let _ = match &arrival.answer {
            Some((status, body, from)) => {
                writeln!(out, "  → {} {} ({from})", status.as_u16(), String::from_utf8_lossy(body).trim_end())
            }
            None => writeln!(out, "  → no answer (--hang)"),
        };
        out
    }

    fn json(&self, arrival: &Arrival) -> Value {
        let mut value = json!({
            "received_at": SystemClock.now(), "path": arrival.path,
            "event_id": arrival.event_id, "event_type": arrival.event_type,
            "genuine": arrival.verified.is_ok(), "secret": arrival.verified.as_ref().ok(), "why": arrival.verified.as_ref().err(),
            "repeat": arrival.is_repeat,
            "orders": orders(&arrival.body).unwrap_or_default(),
            "body_bytes": arrival.body.len(),
            "answer": arrival.answer.as_ref().map(|(status, ..)| status.as_u16()),
        });
        if !self.brief {
            value["body"] = String::from_utf8_lossy(&arrival.body).into();
        }
        value
    }
}

/// The orders of a body, each in short; or why there are none.
fn orders(body: &Bytes) -> Result<Vec<Value>, String> {
    let codes = StatusCodes::default();
    let short = |order: &EnvelopeOrder| match &order.record {
        Ok(record) => json!({
            "id": record.get("id").map(raw), "status": record.get("status").map(raw), "version": record.version(),
            "status_name": record.status(&codes).ok().flatten().map(|status| status.to_string()),
        }),
        Err(error) => json!({"error": error.to_string()}),
    };
    let envelope = Envelope::read(body).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    Ok(envelope.orders.iter().map(short).collect())
}

/// A field's value.
fn raw(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn in_words(order: &Value) -> String {
    let text = |name: &str| match &order[name] {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match order.get("error") {
        Some(error) => format!("an order that cannot be read: {error}"),
        None => format!("order {}: {}, version {}", text("id"), text("status_name"), text("version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_a_status_and_perhaps_how_often() {
        let of = |status, count| Ok(Failures { status: StatusCode::from_u16(status).unwrap(), count });
        assert_eq!(failures("500:3"), of(500, Some(3)));
        assert_eq!(failures("302"), of(302, None));
        for text in ["", "abc", "99", "600", "500:", "500:x", ":3"] {
            assert!(failures(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_repeat_is_known_until_too_many_others_have_come() {
        let mut state = Remembered { failures: None, ids: HashSet::new(), oldest: VecDeque::new() };
        assert!(!state.knows("first") && state.knows("first"));
        for other in 0..IDS_MAX {
            assert!(!state.knows(&other.to_string()));
        }
        assert!(!state.knows("first") && state.ids.len() == IDS_MAX);
    }
}
