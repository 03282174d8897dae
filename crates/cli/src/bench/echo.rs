//! The inbox's baseline: the same listener, and a handler that reads a body and says that it has it. It verifies nothing and
//! keeps nothing.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use hookit_server::{Limits, RawBody};
use http::header;
use tokio::net::TcpListener;

use crate::{platform, signals};

async fn take(RawBody(_): RawBody) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"received"}"#)
}

pub(super) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    platform::announce("echo", "http", listener.local_addr()?)?;
    let router = Router::new().route("/webhooks/klikit", post(take));
    hookit_server::serve(listener, router, Limits::default(), signals::stop_token()?).await;
    Ok(())
}
