//! A partner's receiver: what has come is on disk before it is acknowledged, and no older state replaces a newer one.
//!
//! ```sh
//! KLIKIT_WEBHOOK_SECRET=whsec_… cargo run -p hookit-contract --features axum --example receiver
//! ```

use std::sync::{Arc, Mutex};

use axum::{Router, extract::FromRef, extract::State, http::StatusCode, routing::post};
use hookit_contract::{Freshness, Record, Webhook, WebhookSecrets};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

#[derive(Clone, FromRef)]
struct App(WebhookSecrets, Arc<Mutex<Connection>>);

async fn receive(State(App(_, db)): State<App>, webhook: Webhook) -> Result<&'static str, StatusCode> {
    let mut db = db.lock().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    keep(&mut db, &webhook).map_err(|_| StatusCode::SERVICE_UNAVAILABLE) // It comes again.
}

fn keep(db: &mut Connection, webhook: &Webhook) -> Result<&'static str> {
    let all = db.transaction()?;
    if all.execute("INSERT OR IGNORE INTO seen VALUES (?1)", [webhook.delivery_id.as_str()])? == 0 {
        return Ok(r#"{"status":"duplicate-ignored"}"#);
    }
    for (id, new) in webhook.envelope.records() {
        let kept = all.query_row("SELECT record FROM orders WHERE id = ?1", [id.0], |row| row.get(0));
        let kept: Option<Vec<u8>> = kept.optional()?;
        let kept = kept.and_then(|bytes| Record::parse(bytes).ok());
        if kept.is_none_or(|kept| new.freshness(&kept) == Freshness::Newer) {
            all.execute("REPLACE INTO orders VALUES (?1, ?2)", params![id.0, &new.bytes()[..]])?;
        }
    }
    all.commit()?;
    Ok(r#"{"status":"received"}"#)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Connection::open("orders.db")?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS seen (delivery_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;",
    )?;
    let app = App(WebhookSecrets::new([std::env::var("KLIKIT_WEBHOOK_SECRET")?]), Arc::new(Mutex::new(db)));
    let router = Router::new().route("/webhooks/klikit", post(receive)).with_state(app);
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, router).await?)
}
