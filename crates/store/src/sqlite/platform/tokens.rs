//! Operator tokens: kept, revoked, listed.

use std::collections::HashMap;

use bytes::Bytes;
use hookit_contract::{Timestamp, TokenId};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::book::Tick;
use crate::Error;
use crate::platform::{AddToken, NewToken, OperatorToken, Role, TOKENS_MAX, TokenQuery, TokenRevoked};
use crate::sqlite::{failed, limit, word};

pub(super) fn add(
    db: &Connection,
    tick: &mut Tick,
    token: &NewToken,
    now: Timestamp,
) -> Result<AddToken, Error> {
    let adding = failed("adding an operator token");
    let (in_use, of_that_name): (i64, i64) = db
        .prepare_cached(
            "SELECT count(*), count(*) FILTER (WHERE name = ?1) FROM operator_tokens WHERE revoked_at IS NULL",
        )
        .and_then(|mut s| s.query_row([&token.name], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(&adding)?;
    if of_that_name > 0 {
        return Ok(AddToken::NameTaken);
    }
    if in_use >= limit(TOKENS_MAX) {
        return Ok(AddToken::TooMany);
    }
    let NewToken { name, role, token_hash } = token;
    db.prepare_cached(
        "INSERT INTO operator_tokens (name, role, token_hash, created_at) VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut s| s.execute(params![name, role.as_str(), &token_hash[..], now.as_millis()]))
    .map_err(&adding)?;
    tick.registry_changed();
    Ok(AddToken::Added(OperatorToken {
        token_id: TokenId(db.last_insert_rowid()),
        name: name.clone(),
        role: *role,
        created_at: now,
        revoked_at: None,
    }))
}

pub(super) fn revoke(
    db: &Connection,
    tick: &mut Tick,
    token_id: TokenId,
    now: Timestamp,
) -> Result<TokenRevoked, Error> {
    let revoking = failed("revoking an operator token");
    let is_revoked = db
        .prepare_cached("SELECT revoked_at IS NOT NULL FROM operator_tokens WHERE token_id = ?1")
        .and_then(|mut s| s.query_row([token_id.0], |row| row.get(0)).optional())
        .map_err(&revoking)?;
    match is_revoked {
        None => return Ok(TokenRevoked::NoSuchToken),
        Some(true) => return Ok(TokenRevoked::Unchanged),
        Some(false) => {}
    }
    db.prepare_cached("UPDATE operator_tokens SET revoked_at = ?2 WHERE token_id = ?1")
        .and_then(|mut s| s.execute([token_id.0, now.as_millis()]))
        .map_err(revoking)?;
    tick.registry_changed();
    Ok(TokenRevoked::Done)
}

/// Tokens by id.
pub(super) fn page(db: &Connection, query: TokenQuery) -> Result<Vec<OperatorToken>, Error> {
    let (which, from) = match query.newest_first {
        false => ("WHERE token_id > ?1 ORDER BY token_id LIMIT ?2", 0),
        true => ("WHERE token_id < ?1 ORDER BY token_id DESC LIMIT ?2", i64::MAX),
    };
    let found = read(db, which, [query.after.map_or(from, |id| id.0), limit(query.limit)])?;
    Ok(found.into_iter().map(|(_, token)| token).collect())
}

/// All tokens, by their hashes.
pub(super) fn by_hash(db: &Connection) -> Result<HashMap<Bytes, OperatorToken>, Error> {
    Ok(read(db, "", [])?.into_iter().collect())
}

fn read(
    db: &Connection,
    which: &'static str,
    values: impl Params,
) -> Result<Vec<(Bytes, OperatorToken)>, Error> {
    let reading = failed("reading operator tokens");
    let mut statement = db
        .prepare_cached(&format!(
            "SELECT token_id, name, role, token_hash, created_at, revoked_at FROM operator_tokens {which}"
        ))
        .map_err(&reading)?;
    let mut rows = statement.query(values).map_err(&reading)?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next().map_err(&reading)? {
        let role: String = row.get(2).map_err(&reading)?;
        let role = word::<Role>(&role, "role of an operator token")?;
        tokens.push(token(row, role).map_err(&reading)?);
    }
    Ok(tokens)
}

fn token(row: &rusqlite::Row<'_>, role: Role) -> rusqlite::Result<(Bytes, OperatorToken)> {
    let token = OperatorToken {
        token_id: TokenId(row.get(0)?),
        name: row.get(1)?,
        role,
        created_at: Timestamp::from_millis(row.get(4)?),
        revoked_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
    };
    Ok((Bytes::from(row.get::<_, Vec<u8>>(3)?), token))
}
