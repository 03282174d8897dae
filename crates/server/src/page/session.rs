//! Who is signed in. A cookie carries a random number and nothing else; what it stands for is in memory, bounded, and gone with
//! the process.
//!
//! What this module must not do: say who may do what, or remember that somebody was allowed to: whoever uses a session looks
//! up anew what stands behind it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookit_contract::Timestamp;
use http::{HeaderMap, HeaderValue, header};

use crate::{Secret, random_hex};

/// Sessions at a time; beyond it the one that was used least recently ends.
const SESSIONS_MAX: usize = 1_000;

/// A session ends when it was not used for so long, and in any case after [`SESSION_MAX`].
const IDLE_MAX: Duration = Duration::from_secs(2 * 3600);

/// See [`IDLE_MAX`].
const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);

/// The number in the cookie.
#[derive(Clone, Debug)]
pub struct SessionId(Secret);

/// A session that was found.
#[derive(Clone, Debug)]
pub struct Session<T> {
    /// Its number.
    pub id: SessionId,
    /// What its forms carry.
    pub csrf: Secret,
    /// Who it is.
    pub who: T,
}

struct Kept<T> {
    csrf: Secret,
    who: T,
    began_at: Timestamp,
    used_at: Timestamp,
}

/// The sessions of one server.
pub struct Sessions<T> {
    /// Cookies do not know ports, so each of two servers on one machine has a name of its own.
    cookie: &'static str,
    kept: Mutex<HashMap<String, Kept<T>>>,
}

impl<T: Clone> Sessions<T> {
    /// None yet; their cookies have this name.
    pub fn new(cookie: &'static str) -> Self {
        Sessions { cookie, kept: Mutex::default() }
    }

    /// Begins one.
    pub fn begin(&self, who: T, now: Timestamp) -> Session<T> {
        let session = Session {
            id: SessionId(Secret::new(random_hex("", 32))),
            csrf: Secret::new(random_hex("", 32)),
            who,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SESSIONS_MAX {
            kept.retain(|_, session| session.is_alive(now));
        }
        if kept.len() >= SESSIONS_MAX {
            let oldest = kept.iter().min_by_key(|(_, session)| session.used_at).map(|(id, _)| id.clone());
            kept.remove(&oldest.unwrap_or_default());
        }
        let (csrf, who) = (session.csrf.clone(), session.who.clone());
        kept.insert(session.id.0.expose().to_owned(), Kept { csrf, who, began_at: now, used_at: now });
        session
    }

    /// The session of a request, where it has one.
    pub fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session<T>> {
        let id = self.cookies(headers).next()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get_mut(id)?;
        if !session.is_alive(now) {
            kept.remove(id);
            return None;
        }
        session.used_at = now;
        Some(Session { id: SessionId(Secret::new(id)), csrf: session.csrf.clone(), who: session.who.clone() })
    }

    /// Is this one still there? Asking does not count as using it: a page that is only left open ends, too.
    pub fn lasts(&self, id: &SessionId, now: Timestamp) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id.0.expose()).is_some_and(|session| session.is_alive(now))
    }

    /// Ends one.
    pub fn end(&self, id: &SessionId) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(id.0.expose());
    }

    /// What lets a browser keep it until it is closed. No script reads it, and no page of another site makes a browser send it.
    pub fn cookie(&self, id: &SessionId, is_secure: bool) -> HeaderValue {
        let secure = if is_secure { "; Secure" } else { "" };
        let text = format!("{}={}; Path=/; HttpOnly; SameSite=Strict{secure}", self.cookie, id.0.expose());
        let mut value = HeaderValue::try_from(text).expect("hex digits and words");
        value.set_sensitive(true);
        value
    }

    /// What makes a browser forget it.
    pub fn no_cookie(&self) -> HeaderValue {
        let text = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", self.cookie);
        HeaderValue::try_from(text).expect("words")
    }

    fn cookies<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
        let name = self.cookie;
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(move |(given, _)| *given == name).map(|(_, id)| id)
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl<T> Kept<T> {
    fn is_alive(&self, now: Timestamp) -> bool {
        now.since(self.used_at) < IDLE_MAX && now.since(self.began_at) < SESSION_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn sent_back(sessions: &Sessions<u32>, session: &Session<u32>) -> HeaderMap {
        let set = sessions.cookie(&session.id, false);
        with(set.to_str().unwrap().split(';').next().unwrap())
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::new("mine");
        let first = sessions.begin(1, at(0));
        let second = sessions.begin(2, at(0));
        assert!(!first.csrf.matches(second.csrf.expose()));
        let headers = sent_back(&sessions, &first);
        let found = sessions.of(&headers, at(60)).unwrap();
        assert_eq!((found.who, found.csrf.matches(first.csrf.expose())), (1, true));
        let among = with(&format!("other=1; {}; more=2", headers[header::COOKIE].to_str().unwrap()));
        assert_eq!(sessions.of(&among, at(60)).unwrap().who, 1);
        assert!(sessions.of(&with("mine=0000"), at(60)).is_none());
        assert!(sessions.of(&HeaderMap::new(), at(60)).is_none());
        sessions.end(&first.id);
        assert!(sessions.of(&headers, at(60)).is_none());
        assert!(sessions.of(&sent_back(&sessions, &second), at(60)).is_some());
    }

    #[test]
    fn a_session_ends_unused_after_two_hours_and_used_after_twelve() {
        let sessions = Sessions::new("mine");
        let (used, unused) = (sessions.begin(1, at(0)), sessions.begin(2, at(0)));
        for hour in 1..12 {
            assert!(sessions.of(&sent_back(&sessions, &used), at(hour * 3600)).is_some(), "{hour}");
        }
        assert!(sessions.of(&sent_back(&sessions, &used), at(12 * 3600)).is_none());
        // Being asked after keeps nobody signed in.
        assert!(sessions.lasts(&unused.id, at(7199)));
        assert!(!sessions.lasts(&unused.id, at(7200)));
        assert!(sessions.of(&sent_back(&sessions, &unused), at(7200)).is_none());
    }

    #[test]
    fn one_too_many_ends_the_one_that_was_used_least_recently() {
        let sessions = Sessions::new("mine");
        let first = sessions.begin(0, at(0));
        let second = sessions.begin(1, at(1));
        for number in 2..SESSIONS_MAX {
            sessions.begin(u32::try_from(number).unwrap(), at(2));
        }
        assert!(sessions.of(&sent_back(&sessions, &first), at(3)).is_some());
        sessions.begin(9, at(4));
        assert_eq!(sessions.kept.lock().unwrap().len(), SESSIONS_MAX);
        assert!(sessions.of(&sent_back(&sessions, &second), at(5)).is_none());
        assert!(sessions.of(&sent_back(&sessions, &first), at(5)).is_some());
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let sessions = Sessions::new("mine");
        let session = sessions.begin(1, at(0));
        let cookie = sessions.cookie(&session.id, true);
        assert!(cookie.to_str().unwrap().ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"));
        let shown = format!("{session:?} {cookie:?} {sessions:?}");
        assert!(!shown.contains(session.csrf.expose()) && !shown.contains(session.id.0.expose()), "{shown}");
    }
}
