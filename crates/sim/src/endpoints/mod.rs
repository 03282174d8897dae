//! Partner endpoints that do as they are told: a server on loopback that keeps what it is sent and answers by a
//! script, which may change while it runs.
//!
//! Glossary: a *request* is kept once it was read to its end; its *arrival* is its place in the order of keeping. An
//! *answer* is everything an endpoint can do about a request, silence and nonsense included.
//!
//! The server reads and writes HTTP/1.1 by hand on a plain socket. Half of the answers here are ones that a proper HTTP
//! library rightly refuses to give (a head without an end, bytes that are no HTTP, a reset in mid-request), and one
//! path for all of them is simpler than a library with a back door beside it; it is also the faster one, so that in
//! benches the endpoint is not what is measured.
//!
//! What this must not do: read a clock (arrivals are counted, not timed), verify signatures, know of orders. What it
//! received is judged by [`crate::audit`].

mod answer;
mod connection;
#[cfg(test)]
mod tests;

pub use answer::Answer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use answer::Script;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// The path under which receivers listen.
pub const WEBHOOK_PATH: &str = "/webhooks/klikit";

/// Connections that may wait to be accepted; a bench opens many at once.
const BACKLOG: u32 = 1_024;

/// What an endpoint keeps of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of them, whole: for tests.
    Everything,
    /// How many there were: for benches, which would otherwise fill the memory.
    Counts,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Place in the order of arrival, from 0.
    pub arrival: u64,
    /// Which connection it came on, from 0.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers in their order, names as they were spelled.
    pub headers: Vec<(String, String)>,
    /// The body's raw bytes.
    pub body: Bytes,
    /// The HTTP status of the answer, from the moment before its first byte is written. Stays empty for answers that
    /// have none.
    pub answered: Option<Answered>,
}

/// When and how a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How many requests had arrived by then, this one included.
    pub after_arrivals: u64,
    /// The HTTP status.
    pub status: u16,
}

impl Received {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The delivery's id, empty where there is none.
    pub fn event_id(&self) -> &str {
        self.header(hookit_contract::header::EVENT_ID).unwrap_or("")
    }

    /// The event type, empty where there is none.
    pub fn event_type(&self) -> &str {
        self.header(hookit_contract::header::EVENT_TYPE).unwrap_or("")
    }

    /// The signature, empty where there is none.
    pub fn signature(&self) -> &str {
        self.header(hookit_contract::header::SIGNATURE).unwrap_or("")
    }
}

/// Counts that are kept in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Requests read to their end.
    pub requests: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Connections reset before the request was read to its end.
    pub cut: u64,
}

/// What was waited for did not come in time.
#[derive(Debug, PartialEq, Eq)]
pub struct WaitedInVain {
    /// How long was waited.
    pub bound: Duration,
    /// What had come by then.
    pub counts: Counts,
}

impl std::fmt::Display for WaitedInVain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waited {:?} in vain; until then came {:?}", self.bound, self.counts)
    }
}

impl std::error::Error for WaitedInVain {}

struct State {
    script: Script,
    received: Vec<Received>,
    counts: Counts,
}

struct Shared {
    keep: Keep,
    state: Mutex<State>,
    arrived: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no closure given to the endpoint panicked")
    }
}

enum Port {
    /// Somebody listens.
    Open { stopping: Arc<Notify>, accepting: JoinHandle<()> },
    /// Bound and not listening: connections are refused, and nobody else is given the port meanwhile.
    Reserved(TcpSocket),
}

/// A scripted endpoint. Answers 200 to everything until told otherwise; gone when dropped.
pub struct ScriptedEndpoint {
    address: SocketAddr,
    port: Option<Port>,
    shared: Arc<Shared>,
}

impl ScriptedEndpoint {
    /// An endpoint on a free port of 127.0.0.1 that keeps everything it receives.
    ///
    /// # Errors
    /// Where the machine gives no port.
    pub async fn start() -> io::Result<Self> {
        Self::start_keeping(Keep::Everything).await
    }

    /// An endpoint on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where the machine gives no port.
    pub async fn start_keeping(keep: Keep) -> io::Result<Self> {
        let socket = bound(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
        let state = State { script: Script::new(), received: Vec::new(), counts: Counts::default() };
        let mut endpoint = ScriptedEndpoint {
            address: socket.local_addr()?,
            port: Some(Port::Reserved(socket)),
            shared: Arc::new(Shared { keep, state: Mutex::new(state), arrived: Notify::new() }),
        };
        endpoint.restart().await?;
        Ok(endpoint)
    }

    /// The URL to register.
    pub fn url(&self) -> String {
        self.url_of(WEBHOOK_PATH)
    }

    /// A URL with another path; every path is answered by the same script.
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Address and port, the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, when nothing else was asked for: this answer. Forgets a closure given before.
    pub fn answer(&self, answer: Answer) {
        self.shared.state().script.always(answer);
    }

    /// The next `count` requests get this answer; said several times, one after the other.
    pub fn answer_next(&self, count: usize, answer: Answer) {
        self.shared.state().script.next(count, answer);
    }

    /// From now on, when nothing else was asked for: what the closure says. It is asked while no other request is,
    /// so it must neither wait nor call the endpoint.
    pub fn answer_each(&self, choose: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        self.shared.state().script.each(Arc::new(choose));
    }

    /// What was received so far, in the order of arrival. Empty where only counts are kept.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    /// How much was received so far.
    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// Forgets the requests received so far, not the counts.
    pub fn forget(&self) {
        self.shared.state().received.clear();
    }

    /// Returns once `count` requests have arrived, at once where they have already.
    ///
    /// # Errors
    /// [`WaitedInVain`] after `bound`.
    pub async fn wait_for(&self, count: u64, bound: Duration) -> Result<(), WaitedInVain> {
        self.wait(bound, |state| state.counts.requests >= count).await
    }

    /// Returns once the requests received satisfy `enough`, at once where they do already. `enough` is asked again
    /// whenever a request arrives or is answered; it must not call the endpoint.
    ///
    /// # Errors
    /// [`WaitedInVain`] after `bound`.
    pub async fn wait_until(
        &self,
        enough: impl Fn(&[Received]) -> bool,
        bound: Duration,
    ) -> Result<(), WaitedInVain> {
        self.wait(bound, |state| enough(&state.received)).await
    }

    async fn wait(&self, bound: Duration, enough: impl Fn(&State) -> bool) -> Result<(), WaitedInVain> {
        let satisfied = async {
            loop {
                // Listening starts before looking, or a request between the two would be missed.
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if enough(&self.shared.state()) {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(bound, satisfied)
            .await
            .map_err(|_| WaitedInVain { bound, counts: self.counts() })
    }

    /// Stops listening and cuts every connection; from then on connections are refused. What was received stays.
    ///
    /// # Errors
    /// Where the port is lost to somebody else in that moment.
    pub async fn stop(&mut self) -> io::Result<()> {
        match self.port.take() {
            Some(Port::Open { stopping, accepting }) => {
                stopping.notify_one();
                accepting.await.map_err(io::Error::other)?;
                self.port = Some(Port::Reserved(bound(self.address)?));
            }
            other => self.port = other,
        }
        Ok(())
    }

    /// Listens again on the same port, after [`ScriptedEndpoint::stop`].
    ///
    /// # Errors
    /// Where the port cannot be listened on.
    pub async fn restart(&mut self) -> io::Result<()> {
        match self.port.take() {
            Some(Port::Reserved(socket)) => {
                let listener = socket.listen(BACKLOG)?;
                let stopping = Arc::new(Notify::new());
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the one task of an endpoint; stop and drop end it, and it owns all connections"
                )]
                let accepting =
                    tokio::spawn(accept(listener, Arc::clone(&self.shared), Arc::clone(&stopping)));
                self.port = Some(Port::Open { stopping, accepting });
            }
            open @ Some(Port::Open { .. }) => self.port = open,
            None => return Err(io::Error::other("the port was lost when the endpoint stopped")),
        }
        Ok(())
    }
}

impl Drop for ScriptedEndpoint {
    fn drop(&mut self) {
        if let Some(Port::Open { accepting, .. }) = &self.port {
            accepting.abort();
        }
    }
}

/// A socket bound to the address. The same one is later listened on, so that the port is ours from here on.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Accepts until told to stop, and returns when no connection is left that could still receive something.
async fn accept(listener: TcpListener, shared: Arc<Shared>, stopping: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Accepting fails when a client is gone again or files run out; either passes.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let number = {
                    let mut state = shared.state();
                    state.counts.connections += 1;
                    state.counts.connections - 1
                };
                connections.spawn(connection::serve(stream, number, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
            () = stopping.notified() => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}
