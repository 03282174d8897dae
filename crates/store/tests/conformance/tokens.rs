//! The platform's store: operator tokens.

use bytes::Bytes;
use hookit_contract::TokenId;
use hookit_store::platform::{
    AddToken, NewToken, OperatorToken, Role, Store, TOKENS_MAX, TokenQuery, TokenRevoked,
};

use crate::fixture::at;

const TOKENS: TokenQuery = TokenQuery { after: None, newest_first: false, limit: 9 };

fn token(name: &str, role: Role) -> NewToken {
    NewToken { name: name.to_owned(), role, token_hash: Bytes::from(format!("hash of {name}")) }
}

async fn added(store: &impl Store, token: NewToken) -> OperatorToken {
    match store.add_token(token, at(1)).await.unwrap() {
        AddToken::Added(token) => token,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_token_is_found_by_its_hash_and_says_when_it_was_revoked(store: &impl Store) {
    let mut kept = Vec::new();
    for role in Role::ALL {
        kept.push(added(store, token(role.as_str(), role)).await);
    }
    assert!(kept[0].token_id > TokenId(0), "0 is not given");
    assert_eq!(store.tokens(TOKENS).await.unwrap(), kept);
    for token in &kept {
        let hash = format!("hash of {}", token.name);
        assert_eq!(store.token_by_hash(hash.as_bytes()).await.unwrap().as_ref(), Some(token));
    }
    assert_eq!(store.token_by_hash(b"another").await.unwrap(), None);

    for (token_id, millis, expected) in [
        (kept[1].token_id, 7, TokenRevoked::Done),
        (kept[1].token_id, 9, TokenRevoked::Unchanged),
        (TokenId(404), 9, TokenRevoked::NoSuchToken),
    ] {
        assert_eq!(store.revoke_token(token_id, at(millis)).await.unwrap(), expected);
    }
    let revoked = store.token_by_hash(b"hash of support").await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(7)), "since the first time");
    kept[1] = revoked;
    assert_eq!(store.tokens(TOKENS).await.unwrap(), kept);
}

pub(crate) async fn a_name_is_in_use_once_and_so_many_tokens_are(store: &impl Store) {
    let first = added(store, token("0", Role::Admin)).await;
    let again = NewToken { token_hash: Bytes::from_static(b"new"), ..token("0", Role::Surface) };
    assert_eq!(store.add_token(again.clone(), at(2)).await.unwrap(), AddToken::NameTaken);
    store.revoke_token(first.token_id, at(3)).await.unwrap();
    assert_eq!(added(store, again).await.role, Role::Surface);
    for number in 1..TOKENS_MAX {
        added(store, token(&number.to_string(), Role::Support)).await;
    }
    assert_eq!(store.add_token(token("one more", Role::Support), at(4)).await.unwrap(), AddToken::TooMany);
    store.revoke_token(TokenId(5), at(5)).await.unwrap();
    added(store, token("one more", Role::Support)).await;
}

pub(crate) async fn tokens_are_listed_a_page_at_a_time_from_either_end(store: &impl Store) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(added(store, token(name, Role::Admin)).await.token_id);
    }
    store.revoke_token(ids[1], at(2)).await.unwrap();
    let list = async |after: Option<TokenId>, newest_first, limit| -> Vec<TokenId> {
        let found = store.tokens(TokenQuery { after, newest_first, limit }).await.unwrap();
        found.into_iter().map(|token| token.token_id).collect()
    };
    assert_eq!(list(None, false, 2).await, ids[..2]);
    assert_eq!(list(Some(ids[1]), false, 2).await, ids[2..]);
    assert_eq!(list(None, true, 2).await, [ids[2], ids[1]]);
    assert_eq!(list(Some(ids[1]), true, 2).await, [ids[0]]);
    assert!(list(Some(ids[2]), false, 9).await.is_empty());
}
