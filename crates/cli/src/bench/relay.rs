//! The null relay: the same listener and the same sender as the platform's, and nothing between them. It acknowledges a
//! post as soon as there is room to forward it, and forwards each. A process that does less cannot be built from these
//! parts; the platform's figures are told as a share of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use hookit_contract::Clock as _;
use hookit_egress::{AddressPolicy, Egress, EgressConfig, EndpointUrl, Post};
use hookit_server::{Answer, ApiError, Limits, RawBody, SystemClock};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{platform, signals};

/// Posts that are forwarded at the same time: as many as the platform has under way to one endpoint.
const IN_FLIGHT: usize = 32;

struct Relay {
    egress: Egress,
    to: EndpointUrl,
    places: Arc<Semaphore>,
    forwarding: TaskTracker,
}

async fn take(State(relay): State<Arc<Relay>>, RawBody(body): RawBody) -> Result<Answer<()>, ApiError> {
    let place = relay.places.clone().acquire_owned().await;
    let place = place.map_err(|_| ApiError::unavailable("the relay is stopping"))?;
    let (egress, url, data) = (relay.egress.clone(), relay.to.clone(), body.clone());
    relay.forwarding.spawn(async move {
        let _place = place;
        egress.post(Post { url, headers: HeaderMap::new(), body }, SystemClock.now()).await
    });
    Ok(Answer::raw(data).created())
}

async fn serve_on(listener: TcpListener, to: &str) -> anyhow::Result<()> {
    let config = EgressConfig {
        addresses: AddressPolicy::AllowPrivate,
        https_required: false,
        ..EgressConfig::default()
    };
    let relay = Relay {
        to: EndpointUrl::parse(to, &config.url_rules())?,
        egress: Egress::new(config)?,
        places: Arc::new(Semaphore::new(IN_FLIGHT)),
        forwarding: TaskTracker::new(),
    };
    let router = Router::new().route("/v1/operator/orders", post(take)).with_state(Arc::new(relay));
    hookit_server::serve(listener, router, Limits::default(), signals::stop_token()?).await;
    Ok(())
}

pub(super) async fn serve(to: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    platform::announce("relay", "http", listener.local_addr()?)?;
    serve_on(listener, to).await
}
