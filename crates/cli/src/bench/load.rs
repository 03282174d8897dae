//! The load: orders of about 2 KB, connections that post them, and endpoints that say when each arrived.
//!
//! Requests are written by hand on plain sockets: the generator shares the machine with what it measures, and is to
//! take as little of it as it can.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use hookit_contract::Clock as _;
use hookit_server::SystemClock;
use hookit_sim::endpoints::{Answer, Keep, Received, ScriptedEndpoint};
use hookit_sim::traffic::{World, generator};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinSet;

/// Connections that post at the same time.
pub(super) const CONNECTIONS: usize = 64;
/// Records that are made beforehand; each post takes the next one.
const RECORDS: usize = 512;
/// Posts whose time is kept; a number that comes round again has been received long ago.
const TIMES: u64 = 1 << 21;
/// What the number of a post is called in its record.
const NUMBER: &[u8] = b"\"bench_no\":";
/// The longest time from a post to its arrival that is told apart, in microseconds: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// The longest time that a delivery may take to come.
const PATIENCE: Duration = Duration::from_secs(600);
/// Lines of a bulk call in one chunk of its body.
const LINES_IN_A_CHUNK: u64 = 32;

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Quantiles {
    /// Those of what was measured since the last time, which begins anew.
    pub(super) fn taken(latency_us: &mut Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        let quantiles = Quantiles {
            p50_ms: ms(latency_us.value_at_quantile(0.5)),
            p99_ms: ms(latency_us.value_at_quantile(0.99)),
            max_ms: ms(latency_us.max()),
        };
        latency_us.reset();
        quantiles
    }
}

/// For times in microseconds.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order")
}

/// When each post was made, and how long it took to arrive.
pub(super) struct Times {
    begun: Instant,
    sent_us: Vec<AtomicU64>,
    next: AtomicU64,
    latency_us: Mutex<Histogram<u64>>,
    arrived: AtomicU64,
    records: Vec<Vec<u8>>,
}

impl Times {
    pub(super) fn new() -> Arc<Self> {
        let mut world = World::new(1);
        let mut dice = generator(2);
        let now = SystemClock.now();
        Arc::new(Times {
            begun: Instant::now(),
            sent_us: (0..TIMES).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicU64::new(0),
            latency_us: Mutex::new(histogram()),
            arrived: AtomicU64::new(0),
            records: (0..RECORDS).map(|_| world.small_order(&mut dice, now).record).collect(),
        })
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_micros().try_into().unwrap_or(u64::MAX)
    }

    /// A record with a number of its own, whose time begins now or where it was due.
    fn record(&self, due: Option<Instant>) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = self.micros(due.unwrap_or_else(Instant::now));
        self.sent_us[(number % TIMES) as usize].store(at, Ordering::Relaxed);
        let record = &self.records[number as usize % RECORDS];
        let mut text = Vec::with_capacity(record.len() + 32);
        text.push(b'{');
        text.extend_from_slice(NUMBER);
        text.extend_from_slice(number.to_string().as_bytes());
        text.push(b',');
        text.extend_from_slice(&record[1..]);
        text
    }

    /// Takes in what came in a body: one order or several.
    fn arrived(&self, body: &[u8]) {
        let now = self.micros(Instant::now());
        let mut latency = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = body;
        while let Some(at) = rest.windows(NUMBER.len()).position(|window| window == NUMBER) {
            rest = &rest[at + NUMBER.len()..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            let sent = self.sent_us[(number % TIMES) as usize].load(Ordering::Relaxed);
            latency.saturating_record(now.saturating_sub(sent).max(1));
            self.arrived.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Orders that arrived, in all.
    pub(super) fn count(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Quantiles since the last time they were asked for.
    pub(super) fn quantiles(&self) -> Quantiles {
        Quantiles::taken(&mut self.latency_us.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until so many have arrived in all.
    pub(super) async fn until(&self, count: u64) -> anyhow::Result<()> {
        let reached = async {
            while self.count() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        waited.with_context(|| format!("{} of {count} orders arrived in time", self.count()))
    }
}

/// An endpoint that acknowledges everything and notes when it came.
pub(super) async fn endpoint(times: &Arc<Times>) -> anyhow::Result<ScriptedEndpoint> {
    let endpoint = ScriptedEndpoint::start_keeping(Keep::Counts).await?;
    let times = Arc::clone(times);
    endpoint.answer_each(move |received: &Received| {
        times.arrived(&received.body);
        Answer::Status(200)
    });
    Ok(endpoint)
}

/// Where orders are posted to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

impl Target {
    fn head(&self, path: &str, framing: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n{framing}\r\n\r\n",
            self.address, self.token
        )
    }
}

pub(super) struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Connection { reader: BufReader::new(reader), writer, line: String::new(), body: Vec::new() })
    }

    /// Reads a head; the length of the body, none where it comes in chunks.
    async fn head(&mut self) -> anyhow::Result<Option<usize>> {
        let mut length = None;
        let mut status = 0;
        loop {
            self.line.clear();
            if self.reader.read_line(&mut self.line).await? == 0 {
                anyhow::bail!("the connection ended before its answer");
            }
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(999);
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        if !(200..300).contains(&status) {
            anyhow::bail!("a post was answered {status}");
        }
        Ok(length)
    }

    async fn post(&mut self, target: &Target, record: &[u8]) -> anyhow::Result<()> {
        let head = target.head("/v1/operator/orders", &format!("content-length: {}", record.len()));
        let mut request = head.into_bytes();
        request.extend_from_slice(record);
        self.exchange(&request).await.map(drop)
    }

    /// Sends a request, and reads the body of its answer, which is a 2xx.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.writer.write_all(request).await?;
        let length = self.head().await?.context("an answer has a length")?;
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).await?;
        Ok(&self.body)
    }
}

/// What a stretch of load came to.
pub(super) struct Load {
    pub(super) events: u64,
    pub(super) seconds: f64,
}

impl Load {
    pub(super) fn per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// Posts single orders as fast as they are answered, for so long; ends when the last one has arrived.
pub(super) async fn saturate(times: &Arc<Times>, target: &Target, time: Duration) -> anyhow::Result<Load> {
    let (before, begun) = (times.count(), Instant::now());
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (times, target) = (Arc::clone(times), target.clone());
        posting.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut posted = 0;
            while begun.elapsed() < time {
                connection.post(&target, &times.record(None)).await?;
                posted += 1;
            }
            anyhow::Ok(posted)
        });
    }
    let mut events: u64 = 0;
    while let Some(posted) = posting.join_next().await {
        events += posted??;
    }
    times.until(before + events).await?;
    Ok(Load { events, seconds: begun.elapsed().as_secs_f64() })
}

/// The moments at which posts are due, for whoever takes the next one; how many there were, at the end.
pub(super) fn beats(
    begun: Instant,
    time: Duration,
    per_second: u32,
) -> (Arc<tokio::sync::Mutex<tokio::sync::mpsc::Receiver<Instant>>>, tokio::task::JoinHandle<u64>) {
    let (queue, due) = tokio::sync::mpsc::channel::<Instant>(CONNECTIONS);
    // A thread of its own: the runtime's timer is a millisecond late, which is as long as what is measured here.
    let pacing = tokio::task::spawn_blocking(move || {
        let gap = Duration::from_secs(1) / per_second;
        let mut events: u32 = 0;
        while gap * events < time {
            let at = begun + gap * events;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if queue.blocking_send(at).is_err() {
                break;
            }
            events += 1;
        }
        u64::from(events)
    });
    (Arc::new(tokio::sync::Mutex::new(due)), pacing)
}

/// Posts single orders at a rate, whether or not the ones before are answered, and counts their time from when they
/// were due. `copies` is how often each arrives.
pub(super) async fn pace(
    times: &Arc<Times>,
    target: &Target,
    time: Duration,
    per_second: u32,
    copies: u64,
) -> anyhow::Result<Load> {
    let (before, begun) = (times.count(), Instant::now());
    let (due, pacing) = beats(begun, time, per_second);
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (times, target, due) = (Arc::clone(times), target.clone(), Arc::clone(&due));
        posting.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            loop {
                let Some(due) = due.lock().await.recv().await else { return anyhow::Ok(()) };
                connection.post(&target, &times.record(Some(due))).await?;
            }
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    let events = pacing.await?;
    times.until(before + events * copies).await?;
    Ok(Load { events, seconds: begun.elapsed().as_secs_f64() })
}

/// When a bulk call ends.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many lines.
    Events(u64),
}

/// Posts orders through one bulk call; ends when the last line is answered. Every line has to be taken.
pub(super) async fn bulk(times: &Arc<Times>, target: &Target, until: Until) -> anyhow::Result<Load> {
    let begun = Instant::now();
    let Connection { mut reader, mut writer, .. } = Connection::open(target).await?;
    let head = target.head("/v1/operator/orders/bulk", "transfer-encoding: chunked\r\nconnection: close");
    let times = Arc::clone(times);
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        writer.write_all(head.as_bytes()).await?;
        let mut events = 0;
        loop {
            let more = match until {
                Until::Time(time) if begun.elapsed() >= time => 0,
                Until::Time(_) => LINES_IN_A_CHUNK,
                Until::Events(all) => (all - events).min(LINES_IN_A_CHUNK),
            };
            if more == 0 {
                break;
            }
            let mut lines = Vec::new();
            for _ in 0..more {
                lines.extend_from_slice(&times.record(None));
                lines.push(b'\n');
            }
            writer.write_all(format!("{:x}\r\n", lines.len()).as_bytes()).await?;
            lines.extend_from_slice(b"\r\n");
            writer.write_all(&lines).await?;
            events += more;
        }
        writer.write_all(b"0\r\n\r\n").await?;
        // The writing half goes with the answers' end, not before.
        anyhow::Ok((events, writer))
    });
    // Answers are counted, not kept.
    let (mut taken, mut tail, mut buffer) = (0, Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        tail.extend_from_slice(&buffer[..read]);
        taken += count_and_cut(&mut tail, b"\"data\":");
    }
    let (events, _writer) = writing.join_next().await.context("there is one task")???;
    if taken != events {
        anyhow::bail!("of {events} lines {taken} were taken");
    }
    Ok(Load { events, seconds: begun.elapsed().as_secs_f64() })
}

/// Counts a word, and leaves only what may be the beginning of another one.
fn count_and_cut(text: &mut Vec<u8>, word: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 0);
    while at + word.len() <= text.len() {
        if text[at..].starts_with(word) {
            count += 1;
            at += word.len();
        } else {
            at += 1;
        }
    }
    text.drain(..at);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_counted_once_wherever_the_text_was_cut() {
        let text = b"{\"data\":1}{\"data\":2}";
        for cut in 0..text.len() {
            let mut tail = text[..cut].to_vec();
            let first = count_and_cut(&mut tail, b"\"data\":");
            tail.extend_from_slice(&text[cut..]);
            assert_eq!(first + count_and_cut(&mut tail, b"\"data\":"), 2, "cut at {cut}");
        }
    }

    #[test]
    fn records_have_about_two_kilobytes_and_are_found_again() {
        let times = Times::new();
        let records: Vec<_> = (0..100).map(|_| times.record(None)).collect();
        let average = records.iter().map(Vec::len).sum::<usize>() / 100;
        assert!((1_500..2_600).contains(&average), "{average}");
        times.arrived(&records.concat());
        assert_eq!(times.count(), 100);
    }
}
