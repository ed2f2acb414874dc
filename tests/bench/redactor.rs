//! Measures the redactor on 1 MiB of text: on typical program output, and on the worst texts that an attacker could
//! print.
//!
//!     cargo run --release --example redactor
//!
//! Prints the median time of nine runs for each text.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollout::secret;

const SIZE: usize = 1 << 20;
const ROUNDS: usize = 9;

fn main() {
    (0..100).for_each(|n| secret::register(&format!("{n:04}-one\\of%a \"hundred\"+secrets-{n:04}")));
    let log = "2026-11-24T10:00:00Z INFO pulled registry.home:5000/app:1.4.2 in 1.2s digest=sha256:c2hhMjU2 \"GET /a+b?x=%20y\"\n";
    let json =
        r#"{"name": "web", "args": ["--title=\"A & B\"", "C:\\x"], "size": 1048576, "hash": "9f86d081884c7d65"},"#;
    let once = STANDARD.encode(log.repeat(SIZE / log.len()));
    let wrapped = once.as_bytes().chunks(76).map(|line| [line, b"\n"].concat()).collect::<Vec<_>>().concat();
    let wrapped = String::from_utf8(wrapped).unwrap_or_default();
    let secret = "0042-one\\of%a \"hundred\"+secrets-0042 ";
    let texts = [
        ("a log", log.to_owned()),
        ("JSON", json.to_owned()),
        ("base64 of a log", wrapped.clone()),
        ("base64 of that", STANDARD.encode(&wrapped)),
        ("a secret", secret.to_owned()),
        ("a secret in base64, each in a line", format!("{}\n\n.", STANDARD.encode(secret))),
        ("digits that are text in whatever way they are read", "V".to_owned()),
        ("the same in lines", "VVVV\n".to_owned()),
        ("the same in forms", "VVVVVVVVVVV+VVV%41".to_owned()),
        ("short runs of it", "VVVVVVVVVV ".to_owned()),
        ("escapes in escapes", "%2525252525 + %252B \\\\\\\\".to_owned()),
        ("escapes of all kinds", "\\u005cu005c%5c%5cu0025&#37;3b&amp;amp;\\x5c\\x5c\\134\\u{5c}".to_owned()),
        ("ends of escapes", "};};".to_owned()),
        ("titles without an end", "\x1b]".to_owned()),
        ("colours", "\x1b[31mV\x1b[0m".to_owned()),
        ("beginnings of a secret", secret[..secret.len() - 2].to_owned()),
        ("hex", "55".to_owned()),
        ("hex in pairs", "55 ".to_owned()),
    ];
    for (name, part) in texts {
        let mut text = part.repeat(SIZE / part.len() + 1);
        text.truncate(text.floor_char_boundary(SIZE));
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let began = Instant::now();
                std::hint::black_box(secret::redact(&text));
                began.elapsed()
            })
            .collect();
        times.sort();
        println!("{name:<52} {:>7.1} ms", times[ROUNDS / 2].as_secs_f64() * 1000.0);
    }
}
