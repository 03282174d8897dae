//! The faults that receivers have: what each means for a restaurant, and how it is mended. Words, and no more.

use serde::Serialize;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Not against the contract, and yet it will hurt one day.
    Warning,
    /// Orders are lost, doubled, forged or late.
    Failure,
}

macro_rules! faults {
    ($($name:ident $code:literal $severity:ident $title:literal $meaning:literal $mend:literal;)*) => {
        /// A fault of a receiver.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Fault { $($name),* }

        impl Fault {
            /// All of them.
            #[cfg(test)]
            const ALL: &[Fault] = &[$(Fault::$name),*];

            /// The word for it in reports.
            pub(super) fn code(self) -> &'static str {
                match self { $(Fault::$name => $code),* }
            }

            /// How bad it is.
            pub(super) fn severity(self) -> Severity {
                match self { $(Fault::$name => Severity::$severity),* }
            }

            /// What it is, in a few words.
            pub(super) fn title(self) -> &'static str {
                match self { $(Fault::$name => $title),* }
            }

            /// What it means for the restaurant.
            pub(super) fn meaning(self) -> &'static str {
                match self { $(Fault::$name => $meaning),* }
            }

            /// How it is mended.
            pub(super) fn mend(self) -> &'static str {
                match self { $(Fault::$name => $mend),* }
            }
        }
    };
}

faults! {
    RefusesGenuine "refuses_genuine" Failure "a genuine delivery is refused"
        "No order arrives: each is tried again for days, and then given up."
        "Check that the receiver has this partner's webhook_secret_key, takes the HMAC-SHA256 of the raw body, and compares it with the header as lowercase hex; `hookit verify` says why a signature does not match.";
    Unreachable "unreachable" Failure "the receiver does not answer"
        "No order arrives while this is so."
        "Check address, port, firewall, name and certificate; look for a crash in the receiver's log.";
    Dies "dies" Failure "the receiver is gone after a request"
        "One delivery takes the receiver down, is tried again, and takes it down again: the kitchen gets nothing at all until somebody looks."
        "Catch what a handler throws; a delivery that cannot be read is kept aside and acknowledged.";
    Redirects "redirects" Failure "it answers with a redirect"
        "Redirects are not followed, so nothing of what is answered with 3xx counts as delivered."
        "Register the URL that the redirect leads to, and answer there; mind http to https and a slash at the end.";
    RewritesBody "rewrites_before_verifying" Failure "the body is parsed and written again before it is verified"
        "Whether an order arrives depends on how its names and amounts are written: a dish with an accent or a price of 12.50 is refused for ever. And bytes that nobody signed are taken for signed."
        "Take the raw bytes before any body parser (express.raw, request.get_data, io.ReadAll), verify these, and parse afterwards.";
    AcceptsForged "accepts_forged" Failure "a wrong signature is accepted"
        "Whoever finds the URL can make orders up, and cancel real ones."
        "Compute the HMAC-SHA256 of the raw body, compare it in constant time (timingSafeEqual, hmac.compare_digest, hmac.Equal), and answer 403 before anything else is done.";
    AcknowledgesForged "acknowledges_forged" Failure "a wrong signature is answered with 2xx, though nothing comes of it"
        "A secret that was mistyped or rotated goes unnoticed: the sender sees all delivered while the kitchen gets nothing, and nothing is tried again."
        "Answer 403 where the signature does not match.";
    ForgedNot403 "forged_not_403" Warning "a wrong signature is refused, but not with 403"
        "Operators who look for a wrong secret look for 403."
        "Answer 403 with the word forbidden.";
    OddSignatureFails "odd_signature_fails" Failure "an odd signature makes the receiver fail"
        "Anybody can make it throw, and perhaps stop, with one header."
        "Compare lengths before bytes: timingSafeEqual and its like throw where they differ. A header may hold any bytes, or be missing.";
    MissingHeaderFails "missing_header_fails" Failure "a missing header makes the receiver fail"
        "A proxy that drops a header takes the receiver down."
        "Treat a missing x-klikit-event-id as one more id (the hash of the body, for instance), and a missing type as an unknown one.";
    RepeatsTwice "repeats_take_effect" Failure "a repeated event id takes effect again"
        "Each retry after a lost answer rings the kitchen again and prints a second ticket: the dish is cooked twice."
        "Keep the x-klikit-event-id of what was taken in, and answer 200 duplicate-ignored to one that is there, without doing anything.";
    RepeatsAtOnceTwice "concurrent_repeats_take_effect" Failure "repeats that come at the same moment all take effect"
        "A retry that overtakes a slow first try prints a second ticket. It happens under load, on the busiest evening."
        "Let the store decide: a UNIQUE column and INSERT … ON CONFLICT DO NOTHING in one transaction, or a lock from the look to the write.";
    RepeatsRefused "repeats_refused" Failure "a repeated event id is refused"
        "The sender takes the refusal for a failure, and tries again and again what has long been there, with all later events of the order waiting behind it."
        "Answer 200 to a repeat.";
    RepeatsForgotten "repeats_forgotten_at_restart" Failure "event ids are forgotten at a restart"
        "After each deployment what is tried again takes effect twice: second tickets, doubled sums."
        "Keep the ids on disk, in the same transaction as their effect.";
    BatchFirstOnly "batch_orders_lost" Failure "of several orders in one delivery not all arrive"
        "When it gets busy several orders come in one delivery, and those behind the first are never cooked, though the sender was told that all is well."
        "Go through all of `orders`.";
    BatchRefused "batch_refused" Failure "a delivery with several orders is refused"
        "When it gets busy several orders come in one delivery, and all of these are lost."
        "Take any number of `orders`.";
    UnknownFields "refuses_unknown_fields" Failure "a record with unknown fields is refused"
        "The day a field is added to the record, no order arrives any more."
        "Ignore what you do not know: no strict schemas, no `additionalProperties: false`, no DisallowUnknownFields.";
    UnknownStatuses "refuses_unknown_statuses" Failure "a status that is not in the list is refused"
        "The first order in a new status is refused, and all its later events wait behind it."
        "Keep an unknown code as a number, and acknowledge.";
    UnknownEventTypes "refuses_unknown_event_types" Failure "an event type that is not in the list is refused"
        "An event type that is added one day is tried again for days, and takes the order's other events with it."
        "Acknowledge what you do not handle.";
    BodyLimit "body_limit_too_small" Failure "a large body is refused"
        "The largest orders, the catering for sixty, are those that never arrive."
        "Raise the limit of the body parser (many have 100 KB) and of the proxy before it (nginx: client_max_body_size) to 10 MB.";
    Scripts "script_fails" Failure "a text in another script is not taken"
        "Orders of guests with such a name, or of dishes with such a title, never arrive."
        "Decode the body as UTF-8 once, and use UTF-8 to the end: database (utf8mb4), printer, log. Never assume ASCII or Latin-1.";
    HardText "hard_text_fails" Warning "an unusual character in a text is not taken"
        "It is rare, and the order that has it is lost."
        "PostgreSQL's text takes no U+0000, and old MySQL no four-byte characters: replace what your store cannot keep.";
    BigNumbers "big_numbers_fail" Failure "a large number is not taken, or is changed"
        "Orders are mixed up or refused once ids grow beyond what a column or a type holds; amounts in IDR and VND are large, too."
        "Use 64-bit integers for ids and decimals for amounts; in JavaScript mind 2^53.";
    HugeNumbers "huge_numbers_fail" Warning "an id beyond 2^53 is not taken, or is changed"
        "Two orders become one once ids are that large."
        "Read ids as 64-bit integers, or keep them as the text that stands in the body; JavaScript's numbers are exact up to 2^53 only.";
    GoesBackwards "view_goes_backwards" Failure "an older state replaces a newer one"
        "An order that is ready, or cancelled, shows as new again, and is cooked again."
        "Compare `version` (or `updated_at`) with what you have, and ignore what is older. Acknowledge it all the same.";
    LateRefused "late_states_refused" Failure "an older state is refused"
        "A delivery that comes late is tried again for days, though nobody needs it."
        "Acknowledge an older state, and ignore it.";
    NotApplied "acknowledged_but_lost" Failure "what was acknowledged is not in the view"
        "The sender was told that the order is there, so nobody will send it again. It is not."
        "Answer 2xx only when the delivery is on disk, and let what works on it afterwards go on until it is done.";
    Concurrency "fails_under_concurrency" Failure "some of many deliveries at a time are refused"
        "On the busiest evening orders arrive late, or not at all."
        "Acknowledge first and work later; take connections from a pool; mind the limits of proxies and of the database.";
    SlowSender "slow_sender_refused" Failure "a body that comes in pieces is refused"
        "Orders are refused whenever the network is slow."
        "Read the body to its end before verifying; one read of a socket is not a whole body.";
    KeepAlive "keep_alive_broken" Failure "the second request of a connection fails"
        "Every second order or so takes a retry, and comes late."
        "Answer with a Content-Length that is right, and keep the connection open or say Connection: close.";
    TimedOut "no_answer_in_time" Failure "no answer within 10 seconds"
        "The sender takes it for a failure and sends again; the kitchen rings late and, without de-duplication, twice."
        "Write the delivery down, answer, and do the work afterwards.";
    SlowAnswer "answers_after_working" Failure "the answer comes late: it works before it answers"
        "The sender waits 10 seconds. A printer that is out of paper, or a busy evening, makes it more, and each order is sent again."
        "Write the delivery down, answer, and do the work afterwards.";
    Sluggish "sluggish" Warning "answers take long"
        "There is little to spare until the sender's 10 seconds are over."
        "Write the delivery down, answer, and do the work afterwards.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_fault_has_a_code_of_its_own_and_says_what_it_means_and_how_it_is_mended() {
        let codes: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            assert!(fault.meaning().ends_with('.') && fault.mend().ends_with('.'), "{}", fault.code());
            assert!(!fault.title().is_empty() && !fault.title().ends_with('.'), "{}", fault.code());
        }
    }
}
