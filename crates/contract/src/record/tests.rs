use proptest::prelude::*;

use super::*;

fn record(text: &str) -> Record {
    Record::parse(text.to_owned()).unwrap()
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(record.bytes()).unwrap()
}

#[test]
fn digits_escapes_white_space_and_scripts_survive_a_status_move() {
    let before = concat!(
        "{ \"id\": 9007199254740993,\n\t\"provider_grand_total\" : 12345678901234567890.10, \"vat\":0.1000, ",
        "\"rate\":1E+2,\"status\" :1 ,\"order_comment\":\"Gửi đi — ไม่เผ็ด \\u0022🍜\\n\\/ \\ud800\", ",
        "\"z\":[ ], \"a\":{\"status\":7,\"id\":-0} }"
    );
    let mut changes = Changes::new();
    changes.integer("status", 2);
    let after = record(before).with(&changes);
    assert_eq!(text(&after), before.replacen("\"status\" :1 ", "\"status\" :2 ", 1));
    assert_eq!(after.get("status"), Some("2"));
    assert_eq!(after.get("vat"), Some("0.1000"));
    assert_eq!(after.get("rate"), Some("1E+2"));
    assert_eq!(after.id(), Ok(Some(OrderId(9_007_199_254_740_993))));
}

#[test]
fn fields_are_set_in_place_or_added_at_the_end() {
    let mut changes = Changes::new();
    changes.integer("status", 12345);
    changes.string("note", "a \"b\"");
    changes.boolean("can_void", true);
    for (before, after) in [
        ("{}", r#"{"status":12345,"note":"a \"b\"","can_void":true}"#),
        (" { } ", r#" {"status":12345,"note":"a \"b\"","can_void":true } "#),
        (r#"{"status":1}"#, r#"{"status":12345,"note":"a \"b\"","can_void":true}"#),
        (r#"{"x":1 }"#, r#"{"x":1,"status":12345,"note":"a \"b\"","can_void":true }"#),
        (
            r#"{"can_void":false,"status":1,"x":2}"#,
            r#"{"can_void":true,"status":12345,"x":2,"note":"a \"b\""}"#,
        ),
        (
            r#"{"status":1,"x":2,"st\u0061tus":3}"#,
            r#"{"status":12345,"x":2,"st\u0061tus":12345,"note":"a \"b\"","can_void":true}"#,
        ),
    ] {
        let changed = record(before).with(&changes);
        assert_eq!(text(&changed), after, "from {before}");
        assert!(changes.are_in(&changed));
        assert!(!changes.are_in(&record(before)));
        assert_eq!(changed.fields, record(after).fields, "the index moved along, from {before}");
    }
}

#[test]
fn of_a_repeated_key_the_last_counts_and_the_platform_can_refuse_it() {
    let twice = record(r#"{"status":1,"status":4,"x":1,"x":2}"#);
    assert_eq!(twice.get("status"), Some("4"));
    let error = twice.refuse_repeated(&OWNED_FIELDS).unwrap_err();
    assert_eq!(error.to_string(), "status: given more than once");
    assert_eq!(record(r#"{"status":1,"x":1,"x":2}"#).refuse_repeated(&OWNED_FIELDS), Ok(()));
}

#[test]
fn a_wrong_field_is_named_with_what_was_expected_and_found() {
    for (input, expected) in [
        (r#"{"id":"42"}"#, "id: expected an integer above zero, found a string"),
        (r#"{"id":4.0}"#, "id: expected an integer above zero, found a number"),
        (r#"{"id":0}"#, "id: expected an integer above zero, found a number below one"),
        (r#"{"id":9223372036854775808}"#, "id: expected an integer above zero, found a number"),
    ] {
        assert_eq!(record(input).id().unwrap_err().to_string(), expected);
    }
    for (input, expected) in [
        (
            r#"{"brands":{}}"#,
            "brands: expected an array of brands, each an object with an id, found an object",
        ),
        (r#"{"brands":[{"id":1},7]}"#, "brands[1]: expected an object with an id, found a number"),
        (r#"{"brands":[{"id":true}]}"#, "brands[0].id: expected an integer above zero, found a boolean"),
        (r#"{"brands":[{}]}"#, "brands[0].id: missing; expected an integer above zero"),
    ] {
        assert_eq!(record(input).brand_ids().unwrap_err().to_string(), expected);
    }
    let all = record(r#"{"brands":[7,{"id":1},{},{"id":0}]}"#).brand_ids_or_faults().unwrap_err();
    let paths: Vec<_> = all.iter().filter_map(RecordError::field).collect();
    assert_eq!(paths, ["brands[0]", "brands[2].id", "brands[3].id"]);
    let many = record(&format!("{{\"brands\":[{}1]}}", "1,".repeat(999))).brand_ids_or_faults();
    assert_eq!(many.unwrap_err().len(), crate::RECORD_FAULTS_MAX);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(Record::parse(deep.clone()).unwrap_err(), RecordError::TooDeep);
    assert_eq!(Record::kept(deep.clone()).unwrap().bytes(), &deep);
    let brands = record(r#"{"brands":[{"id":5,"title":"x"},{"title":"y","id":6},{"id":5}]}"#).brand_ids();
    assert_eq!(brands, Ok(vec![BrandId(5), BrandId(6)]));
    assert_eq!(Record::parse("[1]").unwrap_err().to_string(), "expected an object, found an array");
    assert_eq!(Record::parse(&b"{\"a\":\"\xff\"}"[..]).unwrap_err(), RecordError::NotUtf8 { at: 6 });
    let broken = Record::parse("{\"id\":1,\n\"x\" 2}").unwrap_err().to_string();
    assert!(broken.starts_with("not JSON: ") && broken.contains("line 2"), "{broken}");
}

#[test]
fn the_owned_fields_say_what_may_follow() {
    let flags = |status: KnownStatus, order_type| {
        let mut changes = Changes::new();
        let owned = OwnedFields {
            id: OrderId(1),
            status: status.into(),
            version: 3,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(1500),
            order_type: Some(order_type),
        };
        owned.set(&StatusCodes::default(), &mut changes);
        let made = record("{}").with(&changes);
        assert_eq!(made.names().collect::<Vec<_>>(), OWNED_FIELDS);
        assert_eq!(made.version(), Some(3));
        assert_eq!(made.updated_at(), Some(Timestamp::from_millis(1500)));
        let set: Vec<String> = OWNED_FIELDS
            .iter()
            .filter(|f| made.get(f) == Some("true"))
            .map(|f| f.trim_start_matches("can_").to_owned())
            .collect();
        set.join(" ")
    };
    assert_eq!(flags(KnownStatus::Placed, 2), "update accept ready cancel deliver");
    assert_eq!(flags(KnownStatus::Accepted, 2), "update ready cancel deliver find_fulfillment_rider");
    assert_eq!(flags(KnownStatus::Accepted, 1), "update ready cancel deliver");
    assert_eq!(flags(KnownStatus::DriverAssigned, 2), "update cancel deliver cancel_rider");
    assert_eq!(flags(KnownStatus::Delivered, 2), "void");
    assert_eq!(flags(KnownStatus::PickedUp, 1), "void");
    assert_eq!(flags(KnownStatus::Cancelled, 2), "");
}

/// JSON text of any shape: values with odd numbers, escapes, scripts and white space.
fn json_value() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        json_string(),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..6).prop_map(|items| {
                let items: Vec<_> = items.into_iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            prop::collection::vec(((space(), json_string(), space()), (space(), inner, space())), 0..6)
                .prop_map(object_text),
        ]
    })
}

type Spaced = (String, String, String);

fn object_text(fields: Vec<(Spaced, Spaced)>) -> String {
    let fields: Vec<_> =
        fields.into_iter().map(|((a, k, b), (c, v, d))| format!("{a}{k}{b}:{c}{v}{d}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn json_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>()
            .prop_map(|c| serde_json::to_string(&c.to_string()).unwrap().trim_matches('"').to_owned()),
        "\\\\u[0-9a-fA-F]{4}",
        Just("\\/".to_owned()),
        Just("\\\"".to_owned()),
        "[ -!#-\\[\\]-~]{1,8}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|p| format!("\"{}\"", p.concat().replace("\\\\\"", "\\\\")))
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => json_string(),
        1 => Just("\"status\"".to_owned()),
        1 => Just("\"version\"".to_owned()),
        1 => Just("\"st\\u0061tus\"".to_owned()),
    ]
}

fn json_object() -> impl Strategy<Value = String> {
    let field = ((space(), key(), space()), (space(), json_value(), space()));
    (space(), prop::collection::vec(field, 0..12), space())
        .prop_map(|(a, fields, b)| format!("{a}{}{b}", object_text(fields)))
}

proptest! {
    #[test]
    fn any_object_is_read_and_written_as_it_is(text in json_object()) {
        // Only texts that are JSON by serde_json's own judgement are asked of us.
        prop_assume!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        let record = Record::parse(text.clone()).unwrap();
        prop_assert_eq!(record.bytes(), text.as_bytes());
        let unchanged = record.with(&Changes::new());
        prop_assert_eq!(unchanged.bytes(), text.as_bytes());
    }

    #[test]
    fn a_status_move_changes_the_status_and_not_one_other_byte(text in json_object(), status in any::<i64>()) {
        prop_assume!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        let before = Record::parse(text).unwrap();
        let mut changes = Changes::new();
        changes.integer("status", status);
        changes.integer("version", 7);
        let after = before.with(&changes);

        // The index that moved along is the one that a fresh reading finds.
        prop_assert_eq!(&after.fields, &Record::parse(after.bytes().clone()).unwrap().fields);

        // Taking the changed values out of both texts leaves the same bytes; what was added stands in one piece.
        let rest = |r: &Record, until: usize| {
            let text = self::text(r);
            let mut out = String::new();
            let mut copied = 0;
            for f in r.fields.iter().take(until) {
                if f.is_named(text.as_bytes(), "status") || f.is_named(text.as_bytes(), "version") {
                    out.push_str(&text[copied..f.value.start as usize]);
                    copied = f.value.end as usize;
                }
            }
            let start = || text.find('{').unwrap() + 1;
            let last = r.fields[..until].last().map_or_else(start, |f| f.value.end as usize);
            out.push_str(&text[copied..last]);
            let end = r.fields.last().map_or(last, |f| f.value.end as usize);
            (out, text[end..].to_owned())
        };
        let n = before.fields.len();
        prop_assert_eq!(rest(&before, n), rest(&after, n));
        let expected = status.to_string();
        prop_assert_eq!(after.get("status"), Some(expected.as_str()));
        prop_assert_eq!(after.get("version"), Some("7"));
        let added = ["status", "version"].iter().filter(|name| before.get(name).is_none()).count();
        prop_assert_eq!(after.fields.len(), n + added);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = Record::parse(bytes.clone()) {
            prop_assert_eq!(record.bytes(), &bytes);
            let _ = (record.id(), record.brand_ids(), record.updated_at(), record.version());
        }
    }
}
