use super::*;

const SECRET: &str = "whsec_00ff10aa";
const BODY: &str = r#"{"brand_id":663,"orders":[{"id":1,"status":2,"total":12.50,"comment":"Gửi </b>"}]}"#;

fn sha256(key: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    hmac::<Hmac<Sha256>>(key.as_ref(), body.as_ref())
}

fn signed(key: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> String {
    to_hex(&sha256(key, body))
}

fn verdict(signature: &str, body: impl AsRef<[u8]>) -> Verdict {
    diagnose(signature.as_bytes(), body.as_ref(), &[Candidate { name: "A", key: SECRET.as_bytes() }])
}

/// All causes in words, or the hints.
fn said(signature: &str, body: impl AsRef<[u8]>) -> String {
    let said: Vec<Said> = match verdict(signature, body) {
        Verdict::Genuine { .. } => return "genuine".to_owned(),
        Verdict::Explained { causes, .. } => causes.iter().map(Cause::said).collect(),
        Verdict::Unexplained { hints } => hints
            .iter()
            .map(Hint::said)
            .map(|said| Said { what: format!("perhaps: {}", said.what), ..said })
            .collect(),
    };
    assert!(said.iter().all(|said| !said.mend.is_empty()));
    said.into_iter().map(|said| said.what).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_good_signature_is_good_and_names_its_secret() {
    let secrets =
        [Candidate { name: "old", key: b"whsec_old" }, Candidate { name: "new", key: SECRET.as_bytes() }];
    let verdict = diagnose(signed(SECRET, BODY).as_bytes(), BODY.as_bytes(), &secrets);
    assert_eq!(verdict, Verdict::Genuine { secret: "new".to_owned() });
}

#[test]
fn other_ways_to_write_the_digest_are_named() {
    let (digest, hex) = (sha256(SECRET, BODY), signed(SECRET, BODY));
    let dashed =
        hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect::<Vec<_>>().join("-");
    for (signature, expected) in [
        (hex.to_uppercase(), "uppercase hex"),
        (format!("sha256={hex}"), "begins with sha256="),
        (format!("SHA256={}", to_base64(&digest)), "begins with sha256=; the digest is written in base64"),
        (format!(" {hex}\n"), "white space around it"),
        (format!("\"{hex}\""), "in quotes"),
        (dashed.to_uppercase(), "separated by dashes"),
        (to_base64(&digest), "in base64"),
        (to_base64(&digest).trim_end_matches('=').replace('+', "-").replace('/', "_"), "in base64"),
        (to_base64(&digest).replace('=', "%3D"), "in base64"),
        (to_base64(hex.as_bytes()), "twice: base64 of the hex text"),
        (to_hex(hex.as_bytes()), "twice: hex of the hex text"),
        (hex[..40].to_owned(), "only the beginning"),
    ] {
        let said = said(&signature, BODY);
        assert!(said.contains(expected), "{signature}: {said}");
    }
}

#[test]
fn other_digests_are_named() {
    for (digest, expected) in [
        (hmac::<Hmac<Sha1>>(SECRET.as_bytes(), BODY.as_bytes()), "SHA-1 "),
        (hmac::<Hmac<Sha384>>(SECRET.as_bytes(), BODY.as_bytes()), "SHA-384"),
        (hmac::<Hmac<Sha512>>(SECRET.as_bytes(), BODY.as_bytes()), "SHA-512"),
        (Sha256::digest(BODY).to_vec(), "SHA-256 of the body alone"),
        (Sha256::digest(format!("{SECRET}{BODY}")).to_vec(), "the secret and the body"),
        (Sha256::digest(format!("{BODY}{SECRET}")).to_vec(), "the body and the secret"),
        (sha256(BODY, SECRET), "changed places"),
    ] {
        let (hex, base64) = (said(&to_hex(&digest), BODY), said(&to_base64(&digest), BODY));
        assert!(hex.contains(expected), "{hex}");
        assert!(base64.contains(expected) && base64.contains("in base64"), "{base64}");
    }
}

#[test]
fn other_forms_of_the_secret_are_named() {
    for (key, expected) in [
        (format!("{SECRET}\n").into_bytes(), "with a line end behind it"),
        (format!("{SECRET}\r\n").into_bytes(), "CR LF"),
        (format!("\"{SECRET}\"").into_bytes(), "in quotes"),
        (b"00ff10aa".to_vec(), "without its prefix whsec_"),
        (vec![0, 0xff, 0x10, 0xaa], "without its prefix and decoded from hex"),
        (base64("00ff10aa").unwrap(), "without its prefix and decoded from base64"),
        (to_base64(SECRET.as_bytes()).into_bytes(), "in base64"),
        (SECRET.to_uppercase().into_bytes(), "in uppercase"),
        (Vec::new(), "not set"),
    ] {
        let said = said(&signed(&key, BODY), BODY);
        assert!(said.starts_with("the secret was used") && said.contains(expected), "{said}");
    }
    let spaced = [Candidate { name: "A", key: b" whsec_1\n" }];
    let verdict = diagnose(signed("whsec_1", BODY).as_bytes(), BODY.as_bytes(), &spaced);
    let causes = vec![Cause::Secret("without the white space around it")];
    assert_eq!(verdict, Verdict::Explained { secret: "A".to_owned(), causes });
}

#[test]
fn other_forms_of_the_body_are_named() {
    let lines = "{\n\"orders\": []\n}";
    for (was_signed, at_hand, expected) in [
        (BODY.to_owned(), format!("{BODY}\n"), "without the line end behind it"),
        (format!("{BODY}\n"), BODY.to_owned(), "with a line end behind it"),
        (format!("{BODY}\r\n"), BODY.to_owned(), "with a line end (CR LF)"),
        (lines.replace('\n', "\r\n"), lines.to_owned(), "CR LF instead of LF"),
        (lines.to_owned(), lines.replace('\n', "\r\n"), "LF instead of CR LF"),
        (BODY.to_owned(), format!("\u{feff}{BODY}"), "without the byte order mark"),
        (format!("\u{feff}{BODY}"), BODY.to_owned(), "with a byte order mark"),
        (BODY.to_owned(), serde_json::to_string(BODY).unwrap(), "encoded as JSON twice"),
        (serde_json::to_string(BODY).unwrap(), BODY.to_owned(), "encoded as JSON twice"),
        (BODY.to_owned(), BODY.bytes().map(char::from).collect(), "before its UTF-8 was taken for Latin-1"),
        (BODY.bytes().map(char::from).collect(), BODY.to_owned(), "with its UTF-8 taken for Latin-1"),
        (to_base64(BODY.as_bytes()), BODY.to_owned(), "in base64"),
        (String::new(), BODY.to_owned(), "nothing at all"),
        ("[object Object]".to_owned(), BODY.to_owned(), "[object Object]"),
    ] {
        let said = said(&signed(SECRET, was_signed), at_hand);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_body_that_was_parsed_and_written_again_is_named_on_whichever_side_it_happened() {
    let python =
        r#"{"brand_id": 663, "orders": [{"id": 1, "status": 2, "total": 12.5, "comment": "G\u1eedi </b>"}]}"#;
    let sorted =
        r#"{"brand_id":663,"orders":[{"comment":"Gửi \u003c/b\u003e","id":1,"status":2,"total":12.5}]}"#;
    for (was_signed, at_hand, expected) in [
        (
            python,
            BODY,
            "a space after each comma and colon, everything beyond ASCII escaped as \\u…, numbers",
        ),
        (
            sorted,
            BODY,
            "no white space, <, > and & escaped as \\u…, numbers as JavaScript writes them, keys sorted",
        ),
        (&BODY.replace("12.50", "12.5"), BODY, "numbers as"),
        (&BODY.replace("12.50", "12"), &python.replace("12.5", "12"), "nothing escaped"),
        (BODY, &serde_json::to_string_pretty(&rewritten_by_spaces()).unwrap(), "perhaps"),
        (&format!("{python}\n"), BODY, "and a line end behind it"),
    ] {
        let said = said(&signed(SECRET, was_signed), at_hand);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// `BODY` after a parser that loses the last digit of 12.50: what was signed cannot be told from it any more.
fn rewritten_by_spaces() -> serde_json::Value {
    serde_json::from_str(BODY).unwrap()
}

#[test]
fn causes_come_together() {
    let digest = sha256(format!("{SECRET}\n"), format!("{BODY}\n"));
    let said = said(&format!("sha256={}", to_hex(&digest).to_uppercase()), BODY);
    for expected in [
        "begins with sha256=",
        "uppercase",
        "the secret was used with a line end",
        "the body with a line end",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_cannot_be_explained_gets_hints_and_no_more() {
    let other = signed("whsec_another", BODY);
    for (signature, body, expected) in [
        (other.as_str(), BODY, "perhaps: neither this body"),
        ("", BODY, "perhaps: the signature is empty"),
        ("hello, world", BODY, "perhaps: the signature is no digest"),
        (&other, &BODY[..BODY.len() - 1], "perhaps: the body is JSON that ends in the middle"),
        (&other, "id=1&status=2", "perhaps: the body is no JSON"),
        (&other, "", "perhaps: the body is empty"),
        (&other, "{\"a\":\"\u{fffd}\"}", "replacement character"),
    ] {
        let said = said(signature, body);
        assert!(said.contains(expected), "{signature}: {said}");
    }
    let api = [Candidate { name: "KEY", key: b"sk_1" }];
    let verdict = diagnose(other.as_bytes(), BODY.as_bytes(), &api);
    assert_eq!(verdict, Verdict::Unexplained { hints: vec![Hint::SecretOfTheApi("KEY".to_owned())] });
}
