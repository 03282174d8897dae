//! From an endpoint's URL to an open connection: look the name up, vet what came back, dial exactly that, agree on
//! TLS.
//!
//! The name is looked up once for each connection. The addresses that are vetted are the ones that are dialled, so a
//! name server that gives another answer a moment later gains nothing by it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hookit_contract::AttemptOutcome;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::{AddressKind, AddressPolicy};
use crate::post::{Failure, Progress, Stage, cause_chain};
use crate::url::{Target, TargetHost};
use crate::{EgressConfig, Error};

/// How many addresses of one name are tried. A name server may answer with hundreds.
const ADDRESSES_MAX: usize = 8;

/// How many look-ups run at once. The system's resolver holds a thread for each until it gives up, which may be long
/// after the attempt has; without a limit, names that nobody answers for would take every thread of the runtime.
const LOOK_UPS_MAX: usize = 64;

pub(crate) struct Connector {
    addresses: AddressPolicy,
    tls: TlsConnector,
    look_ups: Arc<Semaphore>,
}

impl Connector {
    pub(crate) fn new(config: &EgressConfig) -> Result<Self, Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (index, root) in config.extra_roots.iter().enumerate() {
            roots.add(root.clone()).map_err(|source| Error::ExtraRoot { index, source })?;
        }
        // The provider is given rather than taken from the process, where another library may have put its own.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector {
            addresses: config.addresses,
            tls: TlsConnector::from(Arc::new(tls)),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
        })
    }

    /// Opens a connection to the target. The caller sets the time limit; `deadline` is only for sharing the time
    /// between several addresses.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<Transport, Failure> {
        progress.stage = Stage::Resolve;
        let started = Instant::now();
        let addresses = self.vet(self.resolve(target).await?)?;
        progress.timings.resolve = Some(started.elapsed());

        progress.stage = Stage::Connect;
        let started = Instant::now();
        let tcp = dial(&addresses, deadline, progress).await?;
        progress.timings.connect = Some(started.elapsed());
        if !target.https {
            return Ok(Transport::Plain(tcp));
        }

        progress.stage = Stage::Tls;
        let started = Instant::now();
        let tls_failed = |error| Failure { outcome: AttemptOutcome::TlsFailed, error };
        let name = match &target.host {
            TargetHost::Address(address) => ServerName::from(*address),
            // The final dot makes a name absolute for the resolver; certificates are written without it.
            TargetHost::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|e| tls_failed(cause_chain("TLS", &e)))?,
        };
        // Every way in which the handshake can end badly is one outcome: servers show that they do not like a name or
        // a protocol by an alert, by closing and by a reset.
        let tls = self.tls.connect(name, tcp).await.map_err(|e| tls_failed(cause_chain("TLS", &e)))?;
        progress.timings.tls = Some(started.elapsed());
        Ok(Transport::Tls(Box::new(tls)))
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        let name = match &target.host {
            TargetHost::Address(address) => return Ok(vec![SocketAddr::new(*address, target.port)]),
            TargetHost::Name(name) => name.clone(),
        };
        let not_resolved = |error| Failure {
            outcome: AttemptOutcome::NameNotResolved,
            error: format!("look-up of {name}: {error}"),
        };
        let permit =
            Arc::clone(&self.look_ups).acquire_owned().await.map_err(|e| not_resolved(e.to_string()))?;
        let asked = (name.clone(), target.port);
        // The permit goes with the thread, not with this future: a look-up that outlives its attempt still counts.
        let look_up = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            asked.to_socket_addrs().map(Vec::from_iter)
        });
        let addresses = match look_up.await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(not_resolved(error.to_string())),
            Err(error) => return Err(not_resolved(error.to_string())),
        };
        if addresses.is_empty() {
            return Err(not_resolved("no address".to_owned()));
        }
        Ok(addresses)
    }

    /// Those addresses that may be dialled. A name with a public and a private address is dialled at the public one.
    fn vet(&self, resolved: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
        let mut vetted: Vec<SocketAddr> = Vec::new();
        let mut refused: Option<(IpAddr, AddressKind)> = None;
        for address in resolved {
            match self.addresses.check(address.ip()) {
                Ok(()) if vetted.contains(&address) => {}
                Ok(()) => vetted.push(address),
                Err(kind) => refused = Some((address.ip(), kind)),
            }
        }
        vetted.truncate(ADDRESSES_MAX);
        match refused {
            Some((address, kind)) if vetted.is_empty() => Err(Failure {
                outcome: AttemptOutcome::AddressForbidden,
                error: format!("{address} is a {kind} address, which may not be dialled"),
            }),
            _ => Ok(vetted),
        }
    }
}

/// Dials one address after the other. Each gets an equal share of the time that is left, so that a dead first address
/// leaves room for the second; the last has no share of its own, and runs into the time limit of the exchange.
async fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
    progress: &mut Progress,
) -> Result<TcpStream, Failure> {
    let mut last_error = "no address".to_owned();
    for (tried, address) in addresses.iter().enumerate() {
        progress.address = Some(*address);
        let to_try = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let connecting = TcpStream::connect(*address);
        let connected = if to_try == 1 {
            connecting.await
        } else {
            let share = deadline.saturating_duration_since(Instant::now()) / to_try;
            timeout(share, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        // A body is written whole, so waiting for more of it to fill a packet only costs time.
        match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last_error = format!("connecting to {address}: {error}"),
        }
    }
    Err(Failure { outcome: AttemptOutcome::ConnectFailed, error: last_error })
}

/// An open connection, before HTTP.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(addresses: AddressPolicy) -> Connector {
        Connector::new(&EgressConfig { addresses, ..EgressConfig::default() }).unwrap()
    }

    #[test]
    fn only_the_addresses_that_pass_are_kept_each_once_and_not_too_many() {
        let parse =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let public_only = connector(AddressPolicy::PublicOnly);
        let mixed =
            parse(&["127.0.0.1:443", "8.8.8.8:443", "[::1]:443", "8.8.8.8:443", "[2606:4700::1]:443"]);
        assert_eq!(public_only.vet(mixed).unwrap(), parse(&["8.8.8.8:443", "[2606:4700::1]:443"]));

        let failure = public_only.vet(parse(&["10.0.0.1:443", "[fd00::1]:443"])).unwrap_err();
        assert_eq!(failure.outcome, AttemptOutcome::AddressForbidden);
        assert!(failure.error.contains("fd00::1 is a unique local address"), "{}", failure.error);

        let networks = crate::Networks::new(&["10.0.0.0/8".parse().unwrap()]).unwrap();
        let with_ours = connector(AddressPolicy::PublicAnd(networks));
        let mixed = parse(&["10.0.0.1:443", "192.168.0.1:443"]);
        assert_eq!(with_ours.vet(mixed).unwrap(), parse(&["10.0.0.1:443"]));

        let many: Vec<SocketAddr> = (1..=200u8).map(|n| SocketAddr::from(([8, 8, 8, n], 443))).collect();
        assert_eq!(public_only.vet(many.clone()).unwrap(), many[..ADDRESSES_MAX]);
    }

    #[tokio::test]
    async fn the_next_address_is_dialled_where_one_refuses() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = closed.local_addr().unwrap();
        drop(closed);
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = open.local_addr().unwrap();

        let deadline = Instant::now() + std::time::Duration::from_secs(30);
        let mut progress = Progress::default();
        dial(&[refusing, listening], deadline, &mut progress).await.unwrap();
        assert_eq!(progress.address, Some(listening));

        let failure = dial(&[refusing], deadline, &mut progress).await.unwrap_err();
        assert_eq!(failure.outcome, AttemptOutcome::ConnectFailed);
        assert_eq!(progress.address, Some(refusing));
    }
}
