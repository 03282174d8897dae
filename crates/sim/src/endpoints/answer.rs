//! What an endpoint can do about a request, and the script that says what it does about the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Received;

/// What an endpoint does about a request. Where nothing else is said, the connection stays open for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this HTTP status and a short JSON body.
    Status(u16),
    /// Answers with this HTTP status, these headers and this body.
    Full {
        /// The HTTP status.
        status: u16,
        /// Headers besides `content-length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Lets the time pass, then does the other.
    Delay(Duration, Box<Answer>),
    /// Never answers, and keeps the connection until the other side gives up.
    Hang,
    /// Resets the connection as soon as the head was read; the request does not count as received. Where a closure
    /// says so, which sees whole requests only, it is the same as [`Answer::ResetAfterRead`].
    Reset,
    /// Reads the whole request, then resets the connection without an answer.
    ResetAfterRead,
    /// Answers 200 at once and then sends its body one byte at a time, without an end.
    Drip {
        /// The pause between two bytes.
        every: Duration,
    },
    /// Answers 200 with a body that never ends, as fast as it is read.
    EndlessBody,
    /// Answers 200 with headers that never end, as fast as they are read.
    EndlessHead,
    /// Sends bytes that are no HTTP, then closes.
    Garbage,
}

impl Answer {
    /// This answer, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Answer {
        Answer::Delay(delay, Box::new(self))
    }

    /// A status with one header, such as 429 with `retry-after`.
    pub fn with_header(status: u16, name: &str, value: &str) -> Answer {
        Answer::Full { status, headers: vec![(name.to_owned(), value.to_owned())], body: Vec::new() }
    }

    /// The HTTP status that the other side will read, where it reads one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Answer::Status(status) | Answer::Full { status, .. } => Some(*status),
            Answer::Delay(_, later) => later.status(),
            Answer::Hang
            | Answer::Reset
            | Answer::ResetAfterRead
            | Answer::Drip { .. }
            | Answer::EndlessBody
            | Answer::EndlessHead
            | Answer::Garbage => None,
        }
    }
}

pub(super) type Choose = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

enum Rule {
    Always(Answer),
    Each(Choose),
}

/// First what was asked for the next requests, then the rule.
pub(super) struct Script {
    next: VecDeque<(usize, Answer)>,
    rule: Rule,
}

impl Script {
    pub(super) fn new() -> Self {
        Script { next: VecDeque::new(), rule: Rule::Always(Answer::Status(200)) }
    }

    pub(super) fn always(&mut self, answer: Answer) {
        self.rule = Rule::Always(answer);
    }

    pub(super) fn each(&mut self, choose: Choose) {
        self.rule = Rule::Each(choose);
    }

    pub(super) fn next(&mut self, count: usize, answer: Answer) {
        if count > 0 {
            self.next.push_back((count, answer));
        }
    }

    fn take_next(&mut self) -> Option<Answer> {
        let (count, answer) = self.next.front_mut()?;
        *count -= 1;
        let last = *count == 0;
        if last { self.next.pop_front().map(|(_, answer)| answer) } else { Some(answer.clone()) }
    }

    /// True where the next request is to be reset before its body is read; that request is then used up.
    pub(super) fn resets_now(&mut self) -> bool {
        match (self.next.front(), &self.rule) {
            (Some((_, Answer::Reset)), _) => self.take_next().is_some(),
            (None, Rule::Always(Answer::Reset)) => true,
            _ => false,
        }
    }

    /// Whether [`Script::answer`] will want to see the request.
    pub(super) fn looks_at_requests(&self) -> bool {
        matches!(self.rule, Rule::Each(_))
    }

    /// The answer to a request that has arrived.
    pub(super) fn answer(&mut self, received: Option<&Received>) -> Answer {
        if let Some(answer) = self.take_next() {
            return answer;
        }
        match (&self.rule, received) {
            (Rule::Always(answer), _) => answer.clone(),
            (Rule::Each(choose), Some(received)) => choose(received),
            (Rule::Each(_), None) => unreachable!("looks_at_requests said that the request is wanted"),
        }
    }
}
