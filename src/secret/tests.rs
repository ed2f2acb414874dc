use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

/// An encoding and its name.
type Way = (&'static str, fn(&str) -> String);

/// Encodings that a reader of the text can undo.
const WAYS: [Way; 17] = [
    ("plain", str::to_owned),
    ("base64", |text| STANDARD.encode(text)),
    ("base64 without padding", |text| STANDARD_NO_PAD.encode(text)),
    ("base64url", |text| URL_SAFE.encode(text)),
    ("base64 in lines", |text| wrapped(&STANDARD_NO_PAD.encode(text), 76)),
    ("base64url in short lines", |text| wrapped(&URL_SAFE_NO_PAD.encode(text), 5)),
    ("URL, upper case", |text| percent_encoded(text, "%20", |b| format!("%{b:02X}"))),
    ("URL, lower case", |text| percent_encoded(text, "%20", |b| format!("%{b:02x}"))),
    ("form", |text| percent_encoded(text, "+", |b| format!("%{b:02X}"))),
    ("JSON", |text| serde_json::to_string(text).unwrap()),
    ("JSON in JSON", |text| serde_json::to_string(&serde_json::to_string(text).unwrap()).unwrap()),
    ("JSON, solidus escaped", |text| serde_json::to_string(text).unwrap().replace('/', "\\/")),
    ("JSON, ASCII only", |text| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()),
    ("debug", |text| format!("{text:?}")),
    ("debug of bytes", |text| text.as_bytes().escape_ascii().to_string()),
    ("hex", |text| crate::digest::hex(text.as_bytes())),
    ("hex, upper case", |text| crate::digest::hex(text.as_bytes()).to_uppercase()),
];

fn wrapped(text: &str, width: usize) -> String {
    text.as_bytes().chunks(width).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join("\n  ")
}

fn percent_encoded(text: &str, space: &str, byte: impl Fn(u8) -> String) -> String {
    let one = |b| match b {
        b' ' => space.to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        _ => byte(b),
    };
    text.bytes().map(one).collect()
}

/// The characters of the base64 of any text around a secret that depend on the secret alone.
fn cores(secret: &str) -> Vec<String> {
    let core = |shift: usize, engine: &base64::engine::GeneralPurpose| {
        let text = engine.encode([&b"\0\0"[..shift], secret.as_bytes()].concat());
        text[(shift * 8).div_ceil(6)..(shift + secret.len()) * 8 / 6].to_owned()
    };
    (0..3).flat_map(|shift| [core(shift, &STANDARD_NO_PAD), core(shift, &URL_SAFE_NO_PAD)]).collect()
}

/// The first encoding of the secret that is found in the text, with or without line breaks.
fn gives_away(text: &str, secret: &str) -> Option<String> {
    let squeezed: String = text.split(['\n', ' ']).collect();
    let mut forms: Vec<String> = WAYS.iter().map(|(_, way)| way(secret).trim_matches(['"', '=']).to_owned()).collect();
    forms.extend(cores(secret));
    forms.into_iter().find(|form| text.contains(form.as_str()) || squeezed.contains(form.as_str()))
}

/// Secrets with every kind of character that some encoding treats specially; long enough never to occur by chance.
fn secrets() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]{9}[-a-zA-Z0-9 +/=%\"'\\\\&<>:é€😀]{0,40}[a-z0-9]{3}"
}

fn of(value: &str) -> Redactor {
    let mut known = Redactor::default();
    known.add(value);
    known
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_way_to_write_a_secret_escapes(
        secret in secrets(), outer in 0..WAYS.len(), inner in 0..WAYS.len(), before in "([ -~]{0,40}[ =:])?", after in "([ ,&][ -~]{0,40})?"
    ) {
        let known = of(&secret);
        for text in [
            format!("{before}{}{after}", WAYS[inner].1(&secret)),
            // In the middle of a larger text that is encoded as a whole.
            WAYS[outer].1(&format!("{before}{secret}{after}")),
            WAYS[outer].1(&format!("{before} {} {after}", WAYS[inner].1(&secret))),
        ] {
            let shown = known.redact(&text).into_owned();
            prop_assert_eq!(gives_away(&shown, &secret), None, "{} in {}: {} → {}", WAYS[inner].0, WAYS[outer].0, text, shown);
            prop_assert!(shown.contains(MASK), "{text}");
            prop_assert_eq!(known.redact(&shown), shown.as_str());
        }
    }

    #[test]
    fn a_part_of_a_secret_is_not_shown_while_the_rest_is_under_way(
        secret in secrets(), way in 0..WAYS.len(), cut in 0.0..1.0_f64
    ) {
        let known = of(&secret);
        let text = format!("a line\nand {}", WAYS[way].1(&secret));
        let from = "a line\nand ".len();
        let cut = text.floor_char_boundary(from + ((text.len() - from) as f64 * cut) as usize);
        let shown = known.redact_unfinished(&text.as_bytes()[..cut], 4096);
        let first: String = text[from..].lines().next().unwrap_or_default().chars().take(30).collect();
        // A shorter part gives nothing away.
        prop_assume!(first.len() >= 12);
        prop_assert!(!shown.contains(&first), "{}: {shown}", WAYS[way].0);
    }

    #[test]
    fn no_secret_reaches_across_a_safe_start(secret in secrets(), times in 1..60_usize, cut in 0..400_usize) {
        let known = of(&secret);
        let text = secret.repeat(times) + &" filler".repeat(4000);
        let tail = &text.as_bytes()[text.ceil_char_boundary(cut.min(text.len()))..];
        let rest = String::from_utf8_lossy(&tail[known.safe_start(tail)..]).into_owned();
        let rest = known.redact(&rest);
        let end = secret.chars().skip(secret.chars().count() - 6).collect::<String>();
        prop_assert!(!rest.contains(&end), "{rest:.80}");
    }

    #[test]
    fn no_secret_reaches_across_a_safe_end(secret in secrets(), times in 1..60_usize, cut in 0..400_usize) {
        let known = of(&secret);
        let text = "filler ".repeat(4000) + &secret.repeat(times);
        let head = &text.as_bytes()[..text.floor_char_boundary(text.len().saturating_sub(cut))];
        let rest = String::from_utf8_lossy(&head[..known.safe_end(head)]).into_owned();
        let rest = known.redact(&rest);
        let start = secret.chars().take(6).collect::<String>();
        prop_assert!(!rest.contains(&start), "{}", &rest[rest.floor_char_boundary(rest.len().saturating_sub(80))..]);
    }

    #[test]
    fn text_without_secrets_stays_as_it_is(text in "\\PC{0,200}") {
        prop_assert_eq!(of("p@ss/word of nobody").find(text.as_bytes(), false), Vec::<std::ops::Range<usize>>::new());
    }
}

#[test]
fn what_overlaps_is_masked_whole() {
    register("overlap-one-two");
    register("two-three-overlap");
    register("lap-one");
    assert_eq!(redact("<overlap-one-two-three-overlap>"), format!("<{MASK}>"));
}

#[test]
fn each_line_of_a_long_secret_is_one() {
    register("-----BEGIN KEY-----\nfirst-line-of-a-key\n  second-line-of-a-key\n-----END KEY-----\n");
    let text = "-----BEGIN KEY-----\nfirst-line-of-a-key\nelse\nsecond-line-of-a-key";
    assert_eq!(redact(text), format!("-----BEGIN KEY-----\n{MASK}\nelse\n{MASK}"));
}

#[test]
fn quotes_of_shells_and_yaml_do_not_hide_it() {
    register("it's-a-secret");
    for text in ["'it''s-a-secret'", r"'it'\''s-a-secret'", r#"'it'"'"'s-a-secret'"#, r"it\'s-a-secret"] {
        assert!(!redact(text).contains("s-a-secret"), "{text}");
    }
    let known = of("Tr0ub4dor&3<tab\there>");
    for text in [
        r"$'Tr0ub4dor&3<tab\there>'",
        r"Tr0ub4dor\&3\<tab$'\t'here\>",
        "Tr0ub4dor&amp;3&lt;tab&#9;here&gt;",
        "Tr0ub4dor&#38;3&#x3c;tab\there&#62;",
        r"\124r0ub4dor\0463<tab\011here>",
        r#"{"a": "[\"Tr0ub4dor\\u00263\\u003ctab\\there>\"]"}"#,
    ] {
        let shown = known.redact(text);
        assert!(shown.contains(MASK) && !shown.contains("ub4dor"), "{text} → {shown}");
    }
}

#[test]
fn dumps_do_not_hide_it() {
    let known = of("hunter2-of-the-test");
    let pairs =
        |between: &str| "x hunter2-of-the-test".bytes().map(|b| format!("{b:02x}{between}")).collect::<String>();
    for text in [pairs(" "), pairs(":"), pairs("  "), pairs("\n"), pairs(" ").to_uppercase()] {
        assert_eq!(
            known.redact(&format!("dump: {text};")).replace([' ', ':', '\n'], ""),
            format!("dump{MASK};"),
            "{text}"
        );
    }
    let utf16: String = "hunter2-of-the-test".encode_utf16().map(|unit| format!("{}\0", unit as u8 as char)).collect();
    assert_eq!(known.redact(&utf16), format!("{MASK}\0"));
    assert_eq!(known.redact(&STANDARD.encode(&utf16)), MASK);
}

#[test]
fn nothing_invisible_hides_it() {
    let known = of("hunter2-of-the-test");
    for hidden in [
        "hunter2\x1b[31m-of-the-test",
        "hunter2\0-of-the-test",
        "hun\x1b[1;32mter2-of\x1b]0;title\x07-the-test\x1b[0m",
        "hunter2\u{200b}-of-\u{202e}the-test",
        "hunter2\x1b]8;;http://x\x1b\\-of-the-test",
    ] {
        for text in [hidden.to_owned(), visible(hidden).into_owned(), serde_json::to_string(hidden).unwrap()] {
            let shown = known.redact(&text);
            assert!(shown.contains(MASK) && !shown.contains("test"), "{text:?} → {shown:?}");
        }
    }
    let base64 = STANDARD.encode("hunter2\x1b[31m-of-the-test and so on");
    assert_eq!(known.redact(&base64), MASK);
}

/// An escape that `visible` writes inside a secret is not taken for a backslash of the secret.
#[test]
fn nothing_that_is_written_down_hides_it() {
    register("hunter2\\ of 'the'\\n-shown");
    for part in ["\x1b[31m", "\0", "\x1b[0K", "\u{200b}"] {
        let text = format!("a\x07 hunter2\\ of{part} 'the'\\n-shown b");
        assert_eq!(shown(&text), format!("a\\x07 {MASK} b"), "{part:?}");
    }
}

#[test]
fn what_nobody_could_look_through_is_masked() {
    let known = of("hunter2-of-the-test");
    // These digits decode to text from any start.
    let worst = "VVVVVVVVVV ".repeat(200_000);
    let shown = known.redact(&format!("here {worst} there")).into_owned();
    let rest = shown.strip_prefix("here VVVVVVVVVV ").and_then(|rest| rest.strip_suffix(&format!("{MASK}  there")));
    assert!(rest.is_some(), "{shown:.80}");
    let escapes = "%2525252525 + %252B \\\\\\\\".repeat(4000);
    assert_eq!(
        known.redact(&format!("{escapes} hunter2-of-the-test {escapes}")),
        format!("{escapes} {MASK} {escapes}")
    );
    let log = "GET /a+b?x=%20y HTTP/1.1 \\\"agent\\\" C:\\\\x\n".repeat(20_000);
    let wrap: fn(&str) -> String = |text| wrapped(&STANDARD.encode(text), 76);
    for text in [wrap(&log), wrap(&wrap(&wrap(&log))), crate::digest::hex(wrap(&log).as_bytes()), log] {
        assert!(known.redact(&text) == text, "what programs print in earnest is shown: {text:.80}");
    }
}

#[test]
fn values_are_masked_with_their_keys_and_numbers() {
    register("73519284");
    let value = serde_json::json!({ "a": [73_519_284, 7], "73519284": { "b": "pin 73519284", "c": true } });
    let wanted = serde_json::json!({ "a": [MASK, 7], MASK: { "b": format!("pin {MASK}"), "c": true } });
    assert_eq!(redact_value(value), wanted);
}

#[test]
fn short_values_leave_text_alone() {
    register("ab");
    assert_eq!(redact("about"), "about");
}

#[test]
fn a_mask_is_not_masked_again() {
    let known = of("secret");
    assert_eq!(known.redact("a secret here"), format!("a {MASK} here"));
    assert_eq!(known.redact(&known.redact("a secret here")), format!("a {MASK} here"));
}

#[test]
fn a_long_value_that_repeats_itself_is_searched_for_at_once() {
    let value = "of zeros in base64: AAAAAAAAAAAAAAAA ".repeat(2000);
    let mut known = Redactor::default();
    known.add(&value);
    let began = std::time::Instant::now();
    assert_eq!(known.redact(&format!("a {value}z")), format!("a {MASK}z"));
    // With quadratic time this took more than ten minutes.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// The time grows with the text, not with the number of secrets: a thousand secrets cost less than ten times as much as
/// one.
#[test]
fn many_secrets_cost_hardly_more_than_one() {
    let line =
        "2026-11-24 10:00:00 pulled image registry.home:5000/app:1.4.2 {\"digest\": \"c2hhMjU2\", \"n\": \"100%\"}\n";
    let text = line.repeat(4000);
    let time = |known: &Redactor| {
        let best = (0..3).map(|_| {
            let began = std::time::Instant::now();
            assert!(known.find(text.as_bytes(), false).is_empty());
            began.elapsed()
        });
        best.min().unwrap()
    };
    let known = |count: usize| {
        let mut known = Redactor::default();
        (0..count).for_each(|n| known.add(&format!("{n:04}-a-secret-of-many-{n:04}")));
        known
    };
    let (one, many) = (time(&known(1)), time(&known(1000)));
    assert!(many < one * 10, "one secret: {one:?}, a thousand: {many:?}");
}
