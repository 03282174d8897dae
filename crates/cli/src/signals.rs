//! SIGTERM and Ctrl-C: the first asks for a graceful stop, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal, as shells have it for an interrupted program.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal. Must be called within the runtime.
///
/// # Errors
/// Where the signal handlers cannot be set.
pub(crate) fn stop_token() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    let waiting = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("stopping: what is under way finishes; a second signal ends at once");
        stop.cancel();
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(INTERRUPTED);
    };
    #[expect(clippy::disallowed_methods, reason = "it outlives every set of tasks: it is what stops them")]
    tokio::spawn(waiting);
    Ok(token)
}
