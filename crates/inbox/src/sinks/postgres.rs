//! A sink that is a table in PostgreSQL: a row for each order, with its newest record.
//!
//! A row is never taken back: an older state that comes after a newer one, because it was handed on again or the inbox
//! was restored, changes nothing. Which of two is the newer is told by their `version`, else by `updated_at`, as the
//! inbox itself does; where neither decides, by the number of the change.

use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use hookit_contract::{AttemptOutcome, Record, StatusCodes};
use hookit_server::Secret;
use hookit_store::inbox::Change;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Error, Socket, Statement};

use super::message;
use super::target::{Handed, Target, chain};
use super::tls;

/// Rows in one statement.
const ROWS_MAX: usize = 256;

/// The settings of a PostgreSQL sink.
#[derive(Clone, Debug)]
pub struct PostgresSink {
    /// `postgres://user@host:5432/database`, or `host=… user=… dbname=…`; without a password.
    pub url: String,
    /// The password.
    pub password: Option<Secret>,
    /// The table, also with a schema before it; made where there is none.
    pub table: String,
    /// Authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// The table's definition: what the sink makes where there is none, and what docs/sinks.md shows.
pub(crate) fn definition(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    order_id    bigint PRIMARY KEY,
    status      bigint,
    version     bigint,
    updated_at  timestamptz,
    brand_id    bigint,
    branch_id   bigint,
    event_type  text,
    event_id    text NOT NULL,
    change_seq  bigint NOT NULL,
    received_at timestamptz NOT NULL,
    record      json NOT NULL
)"
    )
}

/// Times go over in milliseconds and become times over there, so that no type of ours has to be one of theirs.
fn upsert(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS kept (order_id, status, version, updated_at, brand_id, branch_id, event_type, event_id,
    change_seq, received_at, record)
SELECT order_id, status, version, to_timestamp(updated_ms / 1000.0), brand_id, branch_id, event_type, event_id,
    change_seq, to_timestamp(received_ms / 1000.0), record::json
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
    $8::text[], $9::bigint[], $10::bigint[], $11::text[])
    AS arriving (order_id, status, version, updated_ms, brand_id, branch_id, event_type, event_id, change_seq,
        received_ms, record)
ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, version = excluded.version,
    updated_at = excluded.updated_at, brand_id = excluded.brand_id, branch_id = excluded.branch_id,
    event_type = excluded.event_type, event_id = excluded.event_id, change_seq = excluded.change_seq,
    received_at = excluded.received_at, record = excluded.record
WHERE CASE
    WHEN excluded.version IS NOT NULL AND kept.version IS NOT NULL THEN excluded.version > kept.version
    WHEN excluded.updated_at <> kept.updated_at THEN excluded.updated_at > kept.updated_at
    ELSE excluded.change_seq > kept.change_seq
END"
    )
}

pub(crate) struct Postgres {
    config: Config,
    tls: Rustls,
    table: String,
    codes: StatusCodes,
    /// Taken out while it is used, and put back where it is still good.
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    client: Client,
    upsert: Statement,
    _driver: Driver,
}

/// The task that moves a connection's bytes. Ends when it is dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Postgres {
    pub(crate) fn new(sink: &PostgresSink, timeout: Duration, codes: StatusCodes) -> Result<Self, String> {
        let expected = "expected postgres://USER@HOST:PORT/DATABASE";
        let mut config =
            Config::from_str(&sink.url).map_err(|error| format!("url: {}; {expected}", chain(&error)))?;
        if config.get_password().is_some() {
            return Err("url: has a password; set password_env or password_file".to_owned());
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(format!("url: names no host; {expected}"));
        }
        if let Some(password) = &sink.password {
            config.password(password.expose());
        }
        if config.get_application_name().is_none() {
            config.application_name("hookit");
        }
        config.connect_timeout(timeout);
        if sink.ca_file.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        // It becomes a part of statements as it stands.
        let names: Vec<&str> = sink.table.split('.').collect();
        if names.len() > 2 || !names.iter().all(|name| is_name(name)) {
            return Err(format!(
                "table: {:?} cannot be used; expected NAME or SCHEMA.NAME of lowercase letters, digits and _",
                sink.table
            ));
        }
        let tls = Rustls(Arc::new(tls::client(sink.ca_file.as_deref())?));
        Ok(Postgres { config, tls, table: sink.table.clone(), codes, connection: Mutex::default() })
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        #[expect(clippy::disallowed_methods, reason = "its handle ends it")]
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(&error), "the connection to PostgreSQL ended");
            }
        });
        let driver = Driver(driver.abort_handle());
        let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&self.table]).await?;
        if !there.get::<_, bool>(0) {
            client.batch_execute(&definition(&self.table)).await?;
            tracing::info!(table = self.table, "a table was made for a sink");
        }
        let upsert = client.prepare(&upsert(&self.table)).await?;
        Ok(Connection { client, upsert, _driver: driver })
    }

    async fn put(&self, connection: &Connection, changes: &[Change]) -> Result<(), Error> {
        let column = |value: fn(&Change) -> Option<i64>| changes.iter().map(value).collect::<Vec<_>>();
        let order_ids = column(|change| Some(change.order_id.0));
        let statuses: Vec<_> =
            changes.iter().map(|change| change.status.map(|status| self.codes.code_of(status))).collect();
        let versions = column(|change| change.version);
        let updated =
            column(|change| Some(Record::parse(change.record.clone()).ok()?.updated_at()?.as_millis()));
        let brands = column(|change| Some(change.brand_id?.0));
        let branches = column(|change| Some(change.branch_id?.0));
        let event_types: Vec<_> = changes.iter().map(|change| change.event_type.as_deref()).collect();
        let event_ids: Vec<_> = changes.iter().map(message::event_id).collect();
        let seqs = column(|change| Some(change.change_seq));
        let received = column(|change| Some(change.received_at.as_millis()));
        let records: Vec<_> =
            changes.iter().map(|change| std::str::from_utf8(&change.record).unwrap_or_default()).collect();
        connection
            .client
            .execute(
                &connection.upsert,
                &[
                    &order_ids,
                    &statuses,
                    &versions,
                    &updated,
                    &brands,
                    &branches,
                    &event_types,
                    &event_ids,
                    &seqs,
                    &received,
                    &records,
                ],
            )
            .await
            .map(|_| ())
    }
}

/// True where it is this row that cannot be taken: its data or what a constraint of the partner's own says of it.
fn is_about_the_row(error: &Error) -> bool {
    error.code().is_some_and(|state| ["22", "23", "P0"].iter().any(|class| state.code().starts_with(class)))
}

fn unreachable(error: &Error) -> Handed {
    Handed::failed(AttemptOutcome::ConnectFailed, chain(error))
}

#[async_trait]
impl Target for Postgres {
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed> {
        let mut kept = self.connection.lock().await;
        let connection = match kept.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => connection,
            None => match self.connect().await {
                Ok(connection) => connection,
                Err(error) => return vec![unreachable(&error); changes.len()],
            },
        };
        let mut ends = Vec::with_capacity(changes.len());
        match self.put(&connection, changes).await {
            Ok(()) => ends.resize(changes.len(), Handed::on()),
            // One of them cannot be taken, and its neighbours are to go on.
            Err(error) if is_about_the_row(&error) && changes.len() > 1 => {
                for change in changes {
                    ends.push(match self.put(&connection, std::slice::from_ref(change)).await {
                        Ok(()) => Handed::on(),
                        Err(error) if is_about_the_row(&error) => Handed::refused(chain(&error)),
                        Err(error) => unreachable(&error),
                    });
                }
            }
            Err(error) if is_about_the_row(&error) => ends.push(Handed::refused(chain(&error))),
            Err(error) => ends.resize(changes.len(), unreachable(&error)),
        }
        // A statement that failed for another reason may be about a table that is another by now: all is made anew.
        if ends
            .iter()
            .all(|end| matches!(end.outcome, AttemptOutcome::Acknowledged | AttemptOutcome::Refused))
        {
            *kept = Some(connection);
        }
        ends
    }

    fn batch_max(&self) -> usize {
        ROWS_MAX
    }
}

/// TLS by rustls for a client that knows of no TLS library itself.
#[derive(Clone)]
struct Rustls(Arc<rustls::ClientConfig>);

struct Handshake {
    config: Arc<rustls::ClientConfig>,
    host: ServerName<'static>,
}

struct Encrypted(Box<tokio_rustls::client::TlsStream<Socket>>);

impl MakeTlsConnect<Socket> for Rustls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { config: self.0.clone(), host: ServerName::try_from(host.to_owned())? })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted, std::io::Error>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = tokio_rustls::TlsConnector::from(self.config).connect(self.host, socket).await?;
            Ok(Encrypted(Box::new(stream)))
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(url: &str, table: &str) -> PostgresSink {
        PostgresSink { url: url.to_owned(), password: None, table: table.to_owned(), ca_file: None }
    }

    fn refusal(url: &str, table: &str) -> Option<String> {
        Postgres::new(&sink(url, table), Duration::from_secs(1), StatusCodes::default()).err()
    }

    #[test]
    fn the_document_shows_the_table_as_it_is_made() {
        let document = include_str!("../../../../docs/sinks.md");
        assert!(document.contains(&format!("```sql\n{}\n```", definition("klikit_orders"))));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_setting_and_no_password_is_shown() {
        const URL: &str = "postgres://inbox@127.0.0.1/orders";
        assert_eq!(refusal(URL, "klikit_orders"), None);
        assert_eq!(refusal("host=/run/postgresql user=inbox", "shop.orders_2"), None);
        for table in ["", "a.b.c", "Orders", "orders; DROP TABLE x", "2a", "a-b", "a."] {
            let error = refusal(URL, table).unwrap_or_else(|| panic!("{table} was taken"));
            assert!(error.starts_with("table: "), "{error}");
        }
        for (url, words) in [
            ("postgres://inbox:hush@127.0.0.1/orders", "password_env"),
            ("user=inbox", "names no host"),
            ("mysql://127.0.0.1/hush", "expected postgres://"),
        ] {
            let error = refusal(url, "orders").unwrap_or_else(|| panic!("{url} was taken"));
            assert!(error.starts_with("url: ") && error.contains(words), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
