//! The virtual clock, and the one place where everything that happens is logged and shown to the auditor.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hookit_contract::{Clock, Timestamp};
use tokio::time::Instant;

use crate::auditor::event::{Event, mark};
use crate::auditor::{Auditor, Violation};

/// Lines that are kept for the report of a failure.
const LAST_LINES: usize = 60;

/// Locks what only one thread ever uses.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time of the simulated world. It goes on from one life of the platform to the next, and only while everybody
/// waits. The wall clock beside it is set now and then.
pub(super) struct VirtualClock(Mutex<Times>);

struct Times {
    /// When the present life began, by the runtime's paused clock.
    life: Option<Instant>,
    before_ms: i64,
    skew_ms: i64,
}

impl VirtualClock {
    pub(super) fn new(wall_ms: i64) -> Self {
        VirtualClock(Mutex::new(Times { life: None, before_ms: 0, skew_ms: wall_ms }))
    }

    /// A runtime has started, and its clock is the one that counts. To be called within it.
    pub(super) fn begin_life(&self) {
        lock(&self.0).life = Some(Instant::now());
    }

    /// To be called within the runtime, at its end.
    pub(super) fn end_life(&self) {
        let now = self.elapsed_ms();
        let mut times = lock(&self.0);
        (times.before_ms, times.life) = (now, None);
    }

    /// Milliseconds since the beginning of the world.
    pub(super) fn elapsed_ms(&self) -> i64 {
        let times = lock(&self.0);
        let life = times.life.map_or(0, |life| life.elapsed().as_millis());
        times.before_ms + i64::try_from(life).expect("a schedule ends long before")
    }

    pub(super) fn step(&self, by_ms: i64) {
        lock(&self.0).skew_ms += by_ms;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.elapsed_ms();
        Timestamp::from_millis(elapsed + lock(&self.0).skew_ms)
    }
}

/// Where events go.
pub(super) struct Trace {
    clock: Arc<VirtualClock>,
    inner: Mutex<Inner>,
}

struct Inner {
    auditor: Auditor,
    step: u64,
    last: VecDeque<String>,
    /// The whole log, where it was asked for.
    whole: Option<String>,
    mark: u64,
}

/// What remains of a trace.
pub(super) struct Traced {
    pub(super) auditor: Auditor,
    pub(super) step: u64,
    pub(super) last: Vec<String>,
    pub(super) whole: Option<String>,
    pub(super) mark: u64,
}

impl Trace {
    pub(super) fn new(clock: Arc<VirtualClock>, auditor: Auditor, whole: bool) -> Self {
        let inner =
            Inner { auditor, step: 0, last: VecDeque::new(), whole: whole.then(String::new), mark: 0 };
        Trace { clock, inner: Mutex::new(inner) }
    }

    /// Something happened.
    pub(super) fn note(&self, event: &Event) {
        let now = self.clock.elapsed_ms();
        let inner = &mut *lock(&self.inner);
        // What comes after a violation is not worth looking at.
        if inner.auditor.violation().is_some() {
            return;
        }
        inner.auditor.observe(now, event);
        inner.line(now, event);
    }

    /// Something that concerns no guarantee and helps to understand a log.
    pub(super) fn remark(&self, text: &str) {
        let now = self.clock.elapsed_ms();
        let inner = &mut *lock(&self.inner);
        if inner.auditor.violation().is_none() {
            inner.line(now, &text);
        }
    }

    /// The next step begins. The auditor looks around first.
    pub(super) fn next_step(&self) {
        let now = self.clock.elapsed_ms();
        let inner = &mut *lock(&self.inner);
        if inner.auditor.violation().is_none() {
            inner.auditor.look(now);
            inner.step += 1;
        }
    }

    /// The schedule is over.
    pub(super) fn finish(&self) {
        let now = self.clock.elapsed_ms();
        let inner = &mut *lock(&self.inner);
        if inner.auditor.violation().is_none() {
            inner.auditor.finish(now);
        }
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        lock(&self.inner).auditor.violation().cloned()
    }

    pub(super) fn is_quiet(&self) -> bool {
        lock(&self.inner).auditor.is_quiet()
    }

    pub(super) fn into_traced(self) -> Traced {
        let Inner { auditor, step, last, whole, mark } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        Traced { auditor, step, last: last.into(), whole, mark }
    }
}

impl Inner {
    fn line(&mut self, now: i64, what: &dyn std::fmt::Display) {
        let mut line =
            if self.last.len() == LAST_LINES { self.last.pop_front() } else { None }.unwrap_or_default();
        line.clear();
        write!(line, "{:>4} {:>6}.{:03} {what}", self.step, now / 1_000, now % 1_000)
            .expect("a string takes text");
        self.mark = self.mark.rotate_left(5) ^ mark(line.as_bytes());
        if let Some(whole) = &mut self.whole {
            whole.push_str(&line);
            whole.push('\n');
        }
        self.last.push_back(line);
    }
}
