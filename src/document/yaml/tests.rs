use serde_json::json;

use super::*;

fn loose(text: &str) -> Result<Value, Error> {
    from_str(text, Repeated::LastWins)
}

fn strict(text: &str) -> Result<Value, Error> {
    from_str(text, Repeated::Refuse)
}

/// A text and its value according to sigs.k8s.io/yaml 1.6.0.
#[test]
fn texts_are_read_as_kubernetes_reads_them() {
    for (text, wanted) in [
        ("m: &m {a: 2, b: 3}\nx: {a: 1, <<: *m}\n", json!({"m": {"a": 2, "b": 3}, "x": {"a": 2, "b": 3}})),
        ("m: &m {a: 2, b: 3}\nx: {<<: *m, a: 1}\n", json!({"m": {"a": 2, "b": 3}, "x": {"a": 1, "b": 3}})),
        ("x: {<<: [{a: 2}, {a: 5, c: 6}], d: 1}\n", json!({"x": {"a": 2, "c": 6, "d": 1}})),
        ("x: {'<<': {a: 1}}\n", json!({"x": {"<<": {"a": 1}}})),
        ("a: {b: 1}\na: {c: 2}\n", json!({"a": {"c": 2}})),
        ("yes: 1\ntrue: 2\n", json!({"true": 2})),
        ("k: |\n  text", json!({"k": "text"})),
        ("k: |+\n  text\n\n", json!({"k": "text\n\n"})),
        ("k: >\n  a\n  b", json!({"k": "a b"})),
        ("", json!(null)),
        ("# c\n", json!(null)),
        ("---\n", json!(null)),
        ("\u{feff}a: 1\n", json!({"a": 1})),
        ("? a\n: b\n", json!({"a": "b"})),
        ("? a\n", json!({"a": null})),
        ("{\t\"a\":\t1\n}", json!({"a": 1})),
        ("a:\tb\n", json!({"a": "b"})),
        ("a: 'x\n\n  y'\n", json!({"a": "x\ny"})),
        ("{a:1}", json!({"a:1": null})),
        ("[a,b,]", json!(["a", "b"])),
        ("%YAML 1.1\n---\na: 1\n", json!({"a": 1})),
        ("a: b\r\nc: |\r\n  x\r\n  y\r\n", json!({"a": "b", "c": "x\ny\n"})),
        ("&a a: 1\nb: *a\n", json!({"a": 1, "b": "a"})),
        ("a: &x 0400\nb: *x\n*x : c\n", json!({"a": 256, "b": 256, "256": "c"})),
        ("plain\n", json!("plain")),
        ("- - a\n  - b\n", json!([["a", "b"]])),
        ("a:\n- b\n- c\n", json!({"a": ["b", "c"]})),
        ("a: !!str\n", json!({"a": ""})),
        ("a: !!seq [1]\nb: !custom {c: 1}\n", json!({"a": [1], "b": {"c": 1}})),
        ("a: b#c\nd: e # c\n", json!({"a": "b#c", "d": "e"})),
        ("a: ~\nb:\nc: \"\"\n", json!({"a": null, "b": null, "c": ""})),
        (r#"{"a": "\ud83d\ude00", "b": [1, 2.5, true, null]}"#, json!({"a": "😀", "b": [1, 2.5, true, null]})),
    ] {
        assert_eq!(loose(text).as_ref(), Ok(&wanted), "{text}");
    }
    for text in [
        "x: {<<: null}\n",
        "x: {<<: a}\n",
        "a: &x [*x]\n",
        "a: *x\n",
        "? [a]\n: b\n",
        "a: b: c\n",
        "- a\nb: c\n",
        "a: [b\n",
        "a: @b\n",
        "a: {{ x }}\n",
        "a: - b\n",
        "a:\n  b\n c: d\n",
    ] {
        assert!(loose(text).is_err(), "{text}: {:?}", loose(text));
    }
}

#[test]
fn repeated_keys_are_refused_unless_the_last_one_wins() {
    let error = strict("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n").unwrap_err();
    let message = "line 5 column 3: the key `c` occurs twice in the same table; the first is in line 3";
    assert_eq!(error.to_string(), message);
    assert!(strict("1: a\n'1': b\n").is_err(), "they are one key in JSON");
    assert_eq!(strict("m: &m {a: 1}\nx: {<<: *m, a: 2}\n").unwrap()["x"], json!({"a": 2}));
    assert_eq!(strict("- {a: 1}\n- {a: 1}\n").unwrap(), json!([{"a": 1}, {"a": 1}]));
}

#[test]
fn no_error_shows_a_part_of_a_secret() {
    let secret = "Kennwort-9531: x\nKennwort-9531: y: z\n";
    crate::secret::register(secret);
    for text in [secret.to_owned(), format!("a: {secret}"), format!("{secret}\"Kennwort-9531")] {
        let message = strict(&text).unwrap_err().to_string();
        assert!(message.starts_with("line ") && !message.contains("9531"), "{message}");
    }
    let twice = "Kennwort-9532: x\nKennwort-9532: y\n";
    crate::secret::register(twice);
    let message = strict(twice).unwrap_err().to_string();
    assert!(message.starts_with("line 2") && !message.contains("9532"), "{message}");
}

#[test]
fn documents_know_where_they_start() {
    let text = "---\n# nothing\n---\n\na: 1\n---\n- b\n...\n";
    let found = documents(text, Repeated::Refuse).unwrap();
    let seen: Vec<_> = found.iter().map(|d| (d.line, d.value.to_string())).collect();
    assert_eq!(seen[1..], [(5, r#"{"a":1}"#.to_owned()), (7, r#"["b"]"#.to_owned())]);
    assert!(seen[0].1 == "null");
    assert_eq!(from_str("a: 1\n---\nb: 2\n", Repeated::LastWins).unwrap_err().line, 3);
    assert_eq!(from_str("a: 1\n---\n# nothing\n", Repeated::LastWins).unwrap(), json!({"a": 1}));
}

#[test]
fn bundles_up_to_the_maximum_size_are_read() {
    let many = "a: 1\n---\n".repeat(1100);
    assert!(documents(&many, Repeated::Refuse).unwrap().len() >= 1100);
    let values = format!("[{}]", "1,".repeat(300_000));
    assert_eq!(strict(&values).unwrap().as_array().unwrap().len(), 300_000);
    let aliases = format!("a: &a {{k: v}}\nb: [{}]", "*a,".repeat(150));
    assert_eq!(strict(&aliases).unwrap()["b"].as_array().unwrap().len(), 150);
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(strict(&deep(MAX_DEPTH)).is_ok());
    let nested: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(strict(&nested).is_ok());
    let error = strict(&deep(MAX_DEPTH + 1)).unwrap_err().to_string();
    assert!(error.ends_with("more than 250 nested lists and tables"), "{error}");
}

#[test]
fn aliases_that_multiply_are_refused_before_they_take_memory() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    let error = loose(&bomb).unwrap_err().to_string();
    assert!(error.contains("more than 1000000 values, with aliases counted each time"), "{error}");
    let large = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(1000));
    let error = loose(&large).unwrap_err().to_string();
    assert!(error.contains("more than 64 MiB"), "{error}");
    let deep = format!("a: &a {}1{}\nb: {}*a{}\n", "[".repeat(200), "]".repeat(200), "[".repeat(100), "]".repeat(100));
    assert!(loose(&deep).is_err());
}
