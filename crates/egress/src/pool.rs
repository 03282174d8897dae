//! Idle connections, kept for the next post to the same scheme, host and port.
//!
//! Nobody watches an idle connection. Whether the server has closed it is noticed at its next request; that it has been
//! idle too long, when it is taken out or, now and then, when another one is put in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::url::Target;

/// How many idle connections are kept in all. Each holds a file descriptor, and there may be thousands of hosts.
const IDLE_MAX: usize = 512;

pub(crate) struct Pool {
    idle_per_host_max: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<Arc<Target>, Vec<Idle>>,
    count: usize,
    swept_at: Option<Instant>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(idle_per_host_max: usize, idle_timeout: Duration) -> Self {
        Pool { idle_per_host_max, idle_timeout, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, as long as it is not too old. The server may have closed it.
    pub(crate) fn take(&self, target: &Arc<Target>) -> Option<Connection> {
        let now = Instant::now();
        let mut state = self.state();
        loop {
            let list = state.idle.get_mut(target)?;
            let Some(idle) = list.pop() else {
                state.idle.remove(target);
                return None;
            };
            state.count -= 1;
            if idle.until > now {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection that is ready for another request. `hint` is what the server said about its own patience.
    pub(crate) fn put(&self, target: &Arc<Target>, connection: Connection, hint: Option<Duration>) {
        // A second is left for the request to get there before the server's patience ends.
        let patience = hint.map_or(Duration::MAX, |h| h.saturating_sub(Duration::from_secs(1)));
        let keep_for = self.idle_timeout.min(patience);
        if keep_for.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut state = self.state();
        let sweep_is_due = state.swept_at.is_none_or(|at| now.duration_since(at) >= self.idle_timeout);
        if sweep_is_due {
            state.sweep(now);
        }
        if state.count >= IDLE_MAX {
            return;
        }
        let list = state.idle.entry(Arc::clone(target)).or_default();
        if list.len() < self.idle_per_host_max {
            list.push(Idle { connection, until: now + keep_for });
            state.count += 1;
        }
    }

    /// Closes the connections that have been idle too long.
    pub(crate) fn sweep(&self) {
        self.state().sweep(Instant::now());
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        let state = self.state();
        assert_eq!(state.count, state.idle.values().map(Vec::len).sum::<usize>(), "the count is the sum");
        state.count
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        self.idle.retain(|_, list| {
            list.retain(|idle| idle.until > now);
            !list.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
        self.swept_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connector::Transport;
    use crate::url::TargetHost;

    async fn connection(listener: &TcpListener) -> Connection {
        let address = listener.local_addr().unwrap();
        let transport = Transport::Plain(TcpStream::connect(address).await.unwrap());
        Connection::open(transport, address, 8192).await.map_err(|e| e.error).unwrap()
    }

    fn target(port: u16) -> Arc<Target> {
        Arc::new(Target { https: false, host: TargetHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)), port })
    }

    #[tokio::test]
    async fn as_many_are_kept_for_a_host_as_configured_and_none_for_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(60));
        for _ in 0..3 {
            pool.put(&target(1), connection(&listener).await, None);
        }
        assert_eq!(pool.count(), 2);
        assert!(pool.take(&target(2)).is_none());
        assert!(pool.take(&target(1)).is_some());
        assert!(pool.take(&target(1)).is_some());
        assert!(pool.take(&target(1)).is_none());
        assert_eq!(pool.count(), 0);
    }

    #[tokio::test]
    async fn one_that_was_idle_too_long_is_not_given_out_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(9, Duration::from_secs(60));
        pool.put(&target(1), connection(&listener).await, Some(Duration::from_secs(31)));
        pool.put(&target(2), connection(&listener).await, None);
        pool.put(&target(3), connection(&listener).await, Some(Duration::from_secs(1)));
        assert_eq!(pool.count(), 2, "a server that is about to close its connection is not waited for");

        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(pool.take(&target(1)).is_none());
        pool.put(&target(1), pool.take(&target(2)).unwrap(), None);
        tokio::time::advance(Duration::from_secs(59)).await;
        pool.sweep();
        assert_eq!(pool.count(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        pool.sweep();
        assert_eq!(pool.count(), 0);
    }
}
