//! The stylesheet and the script, served from the binary under names that change with what is in them.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use sha2::{Digest as _, Sha256};

/// A file that pages refer to.
pub(super) struct Asset {
    content: &'static str,
    media_type: &'static str,
    /// Where it is.
    pub(super) path: String,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let digest = Sha256::digest(content.as_bytes());
        let digits: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        Asset { content, media_type, path: format!("/assets/{name}-{digits}.{extension}") }
    }

    fn answer(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.media_type)),
            // Another content has another name, so what is kept is never old.
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        ];
        (headers, self.content).into_response()
    }
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_str!("style.css")));

pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("live.js")));

static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// Where the icon is.
pub(super) fn icon_path() -> &'static str {
    &ICON.path
}

/// The routes of what pages refer to.
pub fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .fold(Router::new(), |router, asset| router.route(&asset.path, get(async || asset.answer())))
}
