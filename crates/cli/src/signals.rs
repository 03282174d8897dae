//! SIGTERM and Ctrl-C: the first asks for a graceful stop, the second ends at once. And the end of standard input, for whoever
//! asks for that.

use std::io::Read as _;

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

/// Cancels the token when standard input ends. Whoever started this process and holds its input open takes it along when it ends,
/// however that comes, and this process has a graceful stop even so.
///
/// # Errors
/// Where there can be no further thread.
pub(crate) fn stop_with_stdin(token: CancellationToken) -> std::io::Result<()> {
    let reading = move || {
        let mut bytes = [0; 256];
        let mut input = std::io::stdin().lock();
        while input.read(&mut bytes).is_ok_and(|read| read > 0) {}
        token.cancel();
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(reading)?;
    Ok(())
}
