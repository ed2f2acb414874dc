//! A run's journal, and what is remembered of it.

use std::path::Path;

use rollout::journal::{RunHistory, parse};

/// Takes the lines of a journal; a line that begins with `+` is given its checksum.
pub fn run(data: &[u8]) {
    let path = Path::new("run.jsonl");
    let bytes = lines(data);
    let Ok(events) = parse(path, &bytes) else { return };
    let _memory = RunHistory::from_events(&events).only_unsettled();
    let cut = &bytes[..bytes.len() / 2];
    assert!(parse(path, cut).is_ok_and(|some| events.starts_with(&some)), "a cut journal is a shorter one");
    let again: Vec<u8> = events.iter().flat_map(|e| record(&serde_json::to_string(e).expect("it is JSON"))).collect();
    assert!(parse(path, &again).is_ok_and(|all| all.len() == events.len()), "what was read can be written");
}

/// The journal that an input stands for.
pub fn lines(data: &[u8]) -> Vec<u8> {
    data.split_inclusive(|b| *b == b'\n').flat_map(line).collect()
}

fn line(line: &[u8]) -> Vec<u8> {
    match line.strip_prefix(b"+").map(|json| std::str::from_utf8(json.strip_suffix(b"\n").unwrap_or(json))) {
        Some(Ok(json)) => record(json),
        _ => line.to_vec(),
    }
}

fn record(json: &str) -> Vec<u8> {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}
