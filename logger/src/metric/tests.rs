use super::*;

fn window() -> Window {
    Window {
        now: "2026-01-15T12:00:00Z".parse().unwrap(),
        retention: Some(Duration::from_secs(7 * 86_400)),
    }
}

fn parse(payload: &str) -> Result<Metric<'_>, Refusal> {
    Metric::parse(payload.as_bytes(), window())
}

#[track_caller]
fn assert_refused(payload: &str, reason: Reason) {
    let refusal = parse(payload).unwrap_err();
    assert_eq!(refusal.reason, reason, "{payload}: {refusal}");
}

/// A metric with one field replaced.
fn with(field: &str, value: &str) -> String {
    let mut fields = vec![
        ("timestamp", r#""2026-01-15T10:30:00.5Z""#),
        ("service", r#""host""#),
        ("name", r#""cpu.utilization""#),
        ("value", "0.25"),
        ("units", r#""ratio""#),
        ("tags", r#"{"host":"a"}"#),
    ];
    if let Some(place) = fields.iter_mut().find(|(name, _)| *name == field) {
        place.1 = value;
    }
    let fields: Vec<String> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn a_metric_is_read_and_its_units_become_a_tag() {
    let payload = with("", "");
    let metric = parse(&payload).unwrap();
    assert_eq!(metric.timestamp.to_string(), "2026-01-15T10:30:00.5Z");
    assert_eq!(metric.service, "host");
    assert_eq!(metric.name, "cpu.utilization");
    assert_eq!(metric.value, 0.25);
    assert_eq!(metric.tags, br#"{"host":"a","units":"ratio"}"#);
}

#[test]
fn units_tags_and_other_fields_are_optional() {
    for (field, value, tags) in [
        ("units", "", r#"{"host":"a"}"#),
        ("units", "null", r#"{"host":"a"}"#),
        ("units", r#""""#, r#"{"host":"a"}"#),
        ("tags", "", r#"{"units":"ratio"}"#),
        ("tags", "null", r#"{"units":"ratio"}"#),
        (
            "tags",
            r#"{"b":[1,{"c":null}],"a":true}"#,
            r#"{"a":true,"b":[1,{"c":null}],"units":"ratio"}"#,
        ),
        (
            "value",
            r#"1,"comment":"skipped""#,
            r#"{"host":"a","units":"ratio"}"#,
        ),
    ] {
        let payload = with(field, value);
        let metric = parse(&payload).unwrap();
        assert_eq!(String::from_utf8(metric.tags).unwrap(), tags);
    }
}

#[test]
fn what_is_no_metric_has_a_reason() {
    for payload in ["", "hello", "[]", "{", "\u{0}", "3", "\"text\""] {
        assert_refused(payload, Reason::NotJson);
    }
    assert_refused(
        r#"["2026-01-15T10:30:00Z","host","cpu",1]"#,
        Reason::NotJson,
    );
    for field in ["timestamp", "service", "name", "value"] {
        assert_refused(&with(field, ""), Reason::MissingField);
    }
    for field in ["timestamp", "service", "name", "value", "units", "tags"] {
        assert_refused(&with(field, "[]"), Reason::WrongType);
    }
    assert_refused(&with("value", r#""0.25""#), Reason::WrongType);
    for value in ["null", "NaN", "-Infinity", "1e999"] {
        assert_refused(&with("value", value), Reason::NotFinite);
    }
    for text in [
        "yesterday",
        "",
        "2026-01-15",
        "2026-13-01T00:00:00Z",
        "2026-01-15T10:30:00",
        "0000-01-01T00:00:00Z",
    ] {
        assert_refused(
            &with("timestamp", &format!("{text:?}")),
            Reason::BadTimestamp,
        );
    }
    let long = format!("{:?}", "x".repeat(256));
    for field in ["service", "name"] {
        for text in [r#""""#, r#""a\u0000b""#, &long] {
            assert_refused(&with(field, text), Reason::BadName);
        }
    }
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(9000));
    for tags in [
        r#"{"a\u0000":1}"#,
        r#"{"a":"\u0000"}"#,
        r#"{"a":[{"b":"\u0000"}]}"#,
        &large,
    ] {
        assert_refused(&with("tags", tags), Reason::BadTags);
    }
    assert_refused(&with("units", r#""\u0000""#), Reason::BadTags);
}

#[test]
fn what_postgresql_could_not_read_is_refused_here() {
    // A lone surrogate, a number beyond any double, nesting beyond any use.
    assert_refused(&with("tags", r#"{"a":"\ud800"}"#), Reason::NotJson);
    assert_refused(&with("tags", r#"{"a":1e999999}"#), Reason::NotFinite);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_refused(&with("tags", &deep), Reason::NotJson);
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let refusal = Metric::parse(b"{\"name\":\"\xff\"}", window()).unwrap_err();
    assert_eq!(refusal.reason, Reason::NotJson);
}

#[test]
fn the_age_of_a_metric_is_limited_on_both_sides() {
    for (text, reason) in [
        ("2026-01-08T12:00:00Z", None),
        ("2026-01-08T11:59:58Z", Some(Reason::TooOld)),
        ("2026-01-16T12:00:00Z", None),
        ("2026-01-16T12:00:02Z", Some(Reason::InTheFuture)),
        ("9999-12-30T00:00:00Z", Some(Reason::InTheFuture)),
    ] {
        let payload = with("timestamp", &format!("{text:?}"));
        let outcome = parse(&payload).err().map(|refusal| refusal.reason);
        assert_eq!(outcome, reason, "{text}");
    }
    let forever = Window {
        retention: None,
        ..window()
    };
    let payload = with("timestamp", r#""0001-01-01T00:00:00Z""#);
    assert!(Metric::parse(payload.as_bytes(), forever).is_ok());
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = Reason::ALL.map(Reason::as_str).into();
    assert_eq!(names.len(), Reason::ALL.len());
}
