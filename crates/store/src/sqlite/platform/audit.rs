//! The audit log: each thing that is done in somebody's name leaves its entry in the transaction that does it. What was done is
//! read off the command and its outcome, here and for all of them, so that no caller can forget or misname it.
//!
//! What was refused, or changed nothing, leaves none.

use hookit_contract::{Timestamp, TokenId};
use rusqlite::{Connection, Row, params};

use super::book::{Command, Reply};
use super::changes::Prepared;
use crate::Error;
use crate::paging::{Ends, Filling};
use crate::platform::{
    AUDIT_ACTIONS, AUDIT_LOOKS_MAX, AddToken, AuditEntry, AuditPage, AuditQuery, Caller, Cancelled, Changed,
    Held, Once, PartnerChange, PartnerChanged, PutBusiness, PutWebhook, Replayed, StartReplay, SteerReplay,
    SteeredReplay, TokenRevoked,
};
use crate::sqlite::failed;

/// Writes what a command has done.
pub(super) fn note(db: &Connection, caller: &Caller, command: &Command, reply: &Reply) -> Result<(), Error> {
    if let (Command::Changes(prepared, _), Reply::ManyChanged(changed)) = (command, reply) {
        return prepared.iter().zip(changed).try_for_each(|(prepared, changed)| match prepared {
            Ok(prepared) => write(db, caller, change(prepared, changed)),
            Err(_) => Ok(()),
        });
    }
    write(db, caller, done(command, reply))
}

type Done = Option<(&'static str, String)>;

fn write(db: &Connection, caller: &Caller, done: Done) -> Result<(), Error> {
    let Some((action, target)) = done else { return Ok(()) };
    debug_assert!(AUDIT_ACTIONS.contains(&action), "{action} is not among the actions that can be asked for");
    let Caller { token_id, address, request_id, now } = caller;
    db.prepare_cached(
        "INSERT INTO audit (done_at, token_id, action, target, address, request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut s| s.execute(params![now.as_millis(), token_id.0, action, target, address, request_id]))
    .map(|_| ())
    .map_err(failed("writing the audit log"))
}

fn change(prepared: &Prepared, changed: &Changed) -> Done {
    let Changed::Done(order) = changed else { return None };
    let action = match prepared {
        Prepared::Create(_) => "order.create",
        Prepared::Move { .. } => "order.move",
        Prepared::EditCart { .. } => "order.edit_cart",
    };
    Some((action, order.order_id.to_string()))
}

/// What has been done, and to what; none where nothing was.
fn done(command: &Command, reply: &Reply) -> Done {
    match (command, reply) {
        (Command::Change(prepared, _), Reply::Changed(changed)) => change(prepared, changed),
        (Command::ChangeOnce(_, prepared, _), Reply::ChangedOnce((Once::Done(changed), true))) => {
            change(prepared, changed)
        }
        (Command::ReplayDelivery(delivery_id, _), Reply::Replayed(Replayed::Done)) => {
            Some(("delivery.replay", delivery_id.to_string()))
        }
        (Command::CancelDelivery(delivery_id, ..), Reply::Cancelled(Cancelled::Done)) => {
            Some(("delivery.cancel", delivery_id.to_string()))
        }
        (Command::StartReplay(..), Reply::ReplayStarted(StartReplay::Started(replay))) => {
            Some(("replay.begin", replay.replay_id.to_string()))
        }
        (Command::SteerReplay(replay_id, steer, _), Reply::ReplaySteered(SteeredReplay::Done(_))) => {
            let action = match steer {
                SteerReplay::Pause => "replay.pause",
                SteerReplay::Resume => "replay.resume",
                SteerReplay::Cancel => "replay.cancel",
            };
            Some((action, replay_id.to_string()))
        }
        (Command::AddPartner(partner), Reply::PartnerAdded(())) => {
            Some(("partner.issue", partner.partner_id.to_string()))
        }
        (Command::ChangePartner(partner_id, change, _), Reply::PartnerChanged(PartnerChanged::Done)) => {
            let action = match change {
                PartnerChange::RotateSecret { .. } => "partner.rotate_secret",
                PartnerChange::RotateWebhookSecret { .. } | PartnerChange::StageWebhookSecret { .. } => {
                    "partner.rotate_webhook_secret"
                }
                PartnerChange::Revoke => "partner.revoke",
            };
            Some((action, partner_id.to_string()))
        }
        (
            Command::PutWebhook(..),
            Reply::Webhook(PutWebhook::Created(webhook) | PutWebhook::Updated { webhook, .. }),
        ) => Some(("webhook.put", webhook.webhook_id.to_string())),
        (Command::RemoveWebhook(webhook_id, ..), Reply::Removed(true)) => {
            Some(("webhook.remove", webhook_id.to_string()))
        }
        (Command::NoteTest(webhook_id), Reply::Noted(())) => Some(("webhook.test", webhook_id.to_string())),
        (Command::HoldEndpoint(endpoint_id, hold, _), Reply::Held(Held::Done)) => {
            let action = if hold.is_some() { "endpoint.hold" } else { "endpoint.release" };
            Some((action, endpoint_id.to_string()))
        }
        (Command::PutBusiness(business), Reply::Business(PutBusiness::Done)) => {
            Some(("business.put", business.business_id.to_string()))
        }
        (Command::AddToken(..), Reply::TokenAdded(AddToken::Added(token))) => {
            Some(("token.issue", token.token_id.to_string()))
        }
        (Command::RevokeToken(token_id, _), Reply::TokenRevoked(TokenRevoked::Done)) => {
            Some(("token.revoke", token_id.to_string()))
        }
        _ => None,
    }
}

const ENTRIES: &str =
    "SELECT a.audit_id, a.done_at, a.token_id, a.action, a.target, a.address, a.request_id, t.name
     FROM audit a LEFT JOIN operator_tokens t ON t.token_id = a.token_id
     WHERE a.audit_id < ?1 ORDER BY a.audit_id DESC";

/// A part of the log. The filters are looked at entry by entry: an index for each would be written with every order.
pub(super) fn page(db: &Connection, query: &AuditQuery) -> Result<AuditPage, Error> {
    read(db, query).map_err(failed("reading the audit log"))
}

fn read(db: &Connection, query: &AuditQuery) -> rusqlite::Result<AuditPage> {
    let mut statement = db.prepare_cached(ENTRIES)?;
    let mut rows = statement.query([query.before.unwrap_or(i64::MAX)])?;
    let mut page = Filling::new(Ends { looks_max: AUDIT_LOOKS_MAX, ..Ends::after(query.limit) });
    while let Some(row) = rows.next()? {
        let listed = || entry(row).map(|entry| fits(query, &entry).then_some((entry, 0)));
        if !page.look(row.get(0)?, listed)? {
            let next_before = page.looked_to();
            return Ok(AuditPage { entries: page.items, next_before });
        }
    }
    Ok(AuditPage { entries: page.items, next_before: None })
}

fn fits(query: &AuditQuery, entry: &AuditEntry) -> bool {
    let AuditEntry { caller, action, target, .. } = entry;
    query.token_id.is_none_or(|token_id| caller.token_id == token_id)
        && query.action.as_ref().is_none_or(|asked| asked == action)
        && query.target.as_ref().is_none_or(|asked| asked == target)
        && query.since.is_none_or(|since| caller.now >= since)
        && query.until.is_none_or(|until| caller.now < until)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        audit_id: row.get(0)?,
        caller: Caller {
            now: Timestamp::from_millis(row.get(1)?),
            token_id: TokenId(row.get(2)?),
            address: row.get(5)?,
            request_id: row.get(6)?,
        },
        action: row.get(3)?,
        target: row.get(4)?,
        name: row.get(7)?,
    })
}
