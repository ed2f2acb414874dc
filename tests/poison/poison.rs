//! Values that must not show up anywhere, and the search for them in any encoding.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// This many consecutive characters of a value count as a leak.
const PREFIX: usize = 16;

/// A unique value with characters that encodings treat specially.
pub fn value(name: &str) -> String {
    format!("{name}-{:016x}/+\"é\\ 'q'{:016x}", rand::random::<u64>(), rand::random::<u64>())
}

/// A unique key of several lines.
pub fn key() -> String {
    let line = || STANDARD_NO_PAD.encode(rand::random::<[u8; 48]>());
    format!("-----BEGIN KEY-----\n{}\n{}\n{}\n-----END KEY-----", line(), line(), line())
}

/// Searches for the values.
pub struct Search {
    /// Older files cannot contain the values; shared folders have many of these.
    since: SystemTime,
    names: Vec<String>,
    search: AhoCorasick,
}

impl Search {
    pub fn new(values: &[(&str, &str)]) -> Self {
        let (mut names, mut forms) = (Vec::new(), Vec::new());
        for (name, value) in values {
            // The first line of a key is no secret.
            let telling = value.lines().find(|line| !line.starts_with("-----")).unwrap_or(value);
            let prefix: String = telling.chars().take(PREFIX).collect();
            for (form, text) in encodings(value).into_iter().chain([("prefix".to_owned(), prefix)]) {
                names.push(format!("{name} ({form})"));
                forms.push(text);
            }
        }
        // File times come from a coarser clock.
        let since = SystemTime::now() - Duration::from_secs(10);
        Self { since, names, search: AhoCorasick::new(forms).unwrap() }
    }

    /// The values found in some bytes, also across line breaks.
    pub fn find(&self, bytes: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(bytes);
        let squeezed: String = text.replace("\\n", "\n").lines().map(str::trim).collect();
        let hits = |bytes: &[u8]| self.search.find_iter(bytes).map(|m| m.pattern().as_usize()).collect::<Vec<_>>();
        let mut found: Vec<usize> = hits(bytes).into_iter().chain(hits(squeezed.as_bytes())).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|n| self.names[n].as_str()).collect()
    }

    /// The values found in a file, or in all files of a folder down to a depth, except `left_out`; with their paths.
    pub fn find_in(&self, path: &Path, depth: usize, left_out: &[&Path]) -> Vec<String> {
        let Ok(meta) = fs::symlink_metadata(path) else { return Vec::new() };
        if left_out.contains(&path) {
            return Vec::new();
        }
        if meta.is_file() {
            if meta.modified().is_ok_and(|time| time < self.since) {
                return Vec::new();
            }
            let found = self.find(&fs::read(path).unwrap_or_default());
            return found.iter().map(|name| format!("{}: {name}", path.display())).collect();
        }
        let entries = fs::read_dir(path).ok().filter(|_| meta.is_dir() && depth > 0).into_iter().flatten().flatten();
        entries.flat_map(|entry| self.find_in(&entry.path(), depth - 1, left_out)).collect()
    }

    /// The values found in the arguments and environments of all processes.
    pub fn find_in_processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.path().join("cmdline").exists());
        let files = entries.flat_map(|entry| ["cmdline", "environ"].map(|file| entry.path().join(file)));
        files
            .flat_map(|file| {
                let content = fs::read(&file).unwrap_or_default();
                self.find(&content).iter().map(|name| format!("{}: {name}", file.display())).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// Encodings of a value, by name. For base64, the part that depends on the value alone.
fn encodings(value: &str) -> Vec<(String, String)> {
    let json = serde_json::to_string(value).unwrap();
    let percent = |upper: bool, space: &str| -> String {
        value
            .bytes()
            .map(|b| match b {
                b' ' => space.to_owned(),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
                _ if upper => format!("%{b:02X}"),
                _ => format!("%{b:02x}"),
            })
            .collect()
    };
    let mut all = vec![
        ("plain".to_owned(), value.to_owned()),
        ("in one line".to_owned(), value.lines().map(str::trim).collect()),
        ("JSON".to_owned(), json[1..json.len() - 1].to_owned()),
        ("JSON, ASCII only".to_owned(), value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()),
        ("URL, upper case".to_owned(), percent(true, "%20")),
        ("URL, lower case".to_owned(), percent(false, "%20")),
        ("form".to_owned(), percent(true, "+")),
        ("hex".to_owned(), value.bytes().map(|b| format!("{b:02x}")).collect()),
    ];
    for shift in 0..3 {
        for (alphabet, engine) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)] {
            let text = engine.encode([&b"\0\0"[..shift], value.as_bytes()].concat());
            let core = text[(shift * 8).div_ceil(6)..(shift + value.len()) * 8 / 6].to_owned();
            all.push((format!("{alphabet}, {shift} bytes before"), core));
        }
    }
    all
}

#[test]
fn the_search_finds_each_form() {
    let value = value("planted");
    let search = Search::new(&[("planted", &value)]);
    for (name, text) in encodings(&value) {
        assert!(!search.find(format!("x {text} y").as_bytes()).is_empty(), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), &value).unwrap();
    assert!(!search.find_in(folder.path(), 1, &[]).is_empty());
    assert!(search.find_in(folder.path(), 1, &[&folder.path().join("file")]).is_empty());
    let mut child = std::process::Command::new("sleep").arg("1000").env("PLANTED", &value).spawn().unwrap();
    let found = search.find_in_processes();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!found.is_empty());
}
