//! The parser of a shell's two output streams: splits them at the markers of a request. No I/O.

use super::output::{Capture, Output};
use super::output_budget::OutputBudget;
use super::types::CommandOutput;
use crate::secret::redact_unfinished;

/// Longest exit status, bytes. If no line break follows a marker within this many bytes, it has no status.
const MAX_STATUS_DIGITS: usize = "-2147483648".len();

/// The last line of an output is looked for within this many bytes of its end.
const MAX_LINE_BYTES: usize = 4096;

/// First byte of a marker. Text hardly ever contains it, so searching for markers is fast.
pub const MARK: u8 = 1;

/// Splits a stream at the markers of one request.
pub struct Splitter {
    marker: Vec<u8>,
    expected: usize,
    pending: Vec<u8>,
    current: Capture,
    parts: Vec<(Output, i32)>,
    budget: OutputBudget,
}

impl Splitter {
    /// A parser for a request of `parts` parts with this nonce.
    pub fn new(nonce: &str, parts: usize) -> Self {
        let mut marker = vec![MARK];
        marker.extend_from_slice(nonce.as_bytes());
        marker.push(b' ');
        Self {
            marker,
            // The first marker belongs to no part: it says that the shell has begun the request.
            expected: parts + 1,
            pending: Vec::new(),
            current: Capture::default(),
            parts: Vec::new(),
            budget: OutputBudget::default(),
        }
    }

    /// Parses more of the stream; returns how many bytes belong to this request.
    pub fn push(&mut self, data: &[u8]) -> usize {
        if self.complete() {
            return 0;
        }
        self.pending.extend_from_slice(data);
        while !self.complete() {
            let Some(start) = find(&self.pending, &self.marker) else {
                let keep = self.unmarked_length();
                self.current.push(&self.pending[..keep]);
                self.pending.drain(..keep);
                return data.len();
            };
            self.current.push(&self.pending[..start]);
            self.pending.drain(..start);
            let rest = &self.pending[self.marker.len()..];
            let end = rest.iter().take(MAX_STATUS_DIGITS + 1).position(|b| *b == b'\n');
            if end.is_none() && rest.len() <= MAX_STATUS_DIGITS {
                return data.len();
            }
            let status = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok()).and_then(|s| s.parse().ok());
            self.pending.drain(..self.marker.len() + end.map_or(0, |end| end + 1));
            let output = std::mem::take(&mut self.current).finish();
            self.budget.add(output.head.len() + output.tail.len());
            self.parts.push((output, status.unwrap_or(-1)));
        }
        // After a marker without a line break, which no shell writes by itself, more bytes may be pending than this
        // call was given.
        data.len().saturating_sub(std::mem::take(&mut self.pending).len())
    }

    /// Whether the shell has begun the request.
    pub fn accepted(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The size limit that the answers exceed, if any; reading must stop then.
    pub fn excess(&self) -> Option<String> {
        self.budget.excess()
    }

    /// Whether all parts have ended.
    pub fn complete(&self) -> bool {
        self.parts.len() == self.expected
    }

    /// Whether the first `parts` parts have ended.
    pub fn has(&self, parts: usize) -> bool {
        self.parts.len() > parts
    }

    /// The output and exit status of a part, once it has ended on both streams.
    pub fn output_of(stdout: &Self, stderr: &Self, part: usize) -> Option<CommandOutput> {
        let ((stdout, exit), (stderr, _)) = (stdout.parts.get(part + 1)?.clone(), stderr.parts.get(part + 1)?.clone());
        Some(CommandOutput { exit, stdout, stderr })
    }

    /// The last line printed: by the running part, or else by the last part that printed anything.
    pub fn last_line(&self) -> Option<String> {
        self.current_line()
            .or_else(|| self.parts.iter().skip(1).rev().find_map(|(output, _)| last_line_of(&output.tail)))
    }

    /// The last line printed by the running part.
    pub fn current_line(&self) -> Option<String> {
        let unmarked = self.pending.iter().position(|b| *b == MARK).unwrap_or(self.pending.len());
        let current = [self.current.tail(), &self.pending[..unmarked]];
        if current[1].is_empty() { last_line_of(current[0]) } else { last_line_of(&current.concat()) }
    }

    /// The text that arrived before the first marker, for messages.
    pub fn unframed(&self) -> String {
        let mut bytes = self.current.tail().to_vec();
        bytes.extend_from_slice(&self.pending);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Joins the parts of both streams. The text before the first marker is left out.
    pub fn join(stdout: Self, stderr: Self) -> Vec<CommandOutput> {
        let pairs = stdout.parts.into_iter().zip(stderr.parts).skip(1);
        pairs.map(|((stdout, exit), (stderr, _))| CommandOutput { exit, stdout, stderr }).collect()
    }

    /// How many pending bytes certainly belong to no marker.
    fn unmarked_length(&self) -> usize {
        let from = self.pending.len().saturating_sub(self.marker.len() - 1);
        let tail = &self.pending[from..];
        let start = (0..tail.len()).find(|i| self.marker.starts_with(&tail[*i..]));
        start.map_or(self.pending.len(), |i| from + i)
    }
}

/// The last line that is not empty. Secrets are masked in the whole text first: a single line may hold only a part of
/// one.
fn last_line_of(bytes: &[u8]) -> Option<String> {
    let text = redact_unfinished(bytes, MAX_LINE_BYTES);
    text.lines().rev().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|b| *b == needle[0]) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::output::MAX_BYTES;
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER_NONCE: &str = "fedcba9876543210fedcba9876543210";

    fn marker_of(nonce: &str, status: i32) -> Vec<u8> {
        format!("\u{1}{nonce} {status}\n").into_bytes()
    }

    fn marker(status: i32) -> Vec<u8> {
        marker_of(NONCE, status)
    }

    fn split(parts: usize, stream: &[u8], chunk: usize) -> Vec<(Vec<u8>, i32)> {
        let mut splitter = Splitter::new(NONCE, parts);
        stream.chunks(chunk).for_each(|bytes| assert!(splitter.push(bytes) == bytes.len()));
        assert!(splitter.complete());
        splitter.parts.into_iter().map(|(output, status)| (output.tail, status)).collect()
    }

    #[test]
    fn a_stream_is_cut_at_the_markers_however_it_arrives() {
        let nasty = [&b"no line break\0\x01\x01"[..], &marker_of(OTHER_NONCE, 0), NONCE.as_bytes(), b"\x01"].concat();
        let stream = [b"banner".as_slice(), &marker(0), &nasty, &marker(3), &marker(0)].concat();
        for chunk in [1, 2, 7, 33, 1000] {
            assert_eq!(
                split(2, &stream, chunk),
                [(b"banner".to_vec(), 0), (nasty.clone(), 3), (Vec::new(), 0)],
                "in chunks of {chunk}"
            );
        }
    }

    #[test]
    fn what_follows_the_last_marker_is_left_for_the_next_request() {
        let stream = [b"a".as_slice(), &marker(0), b"b", &marker(0)].concat();
        for chunk in [1, 7, stream.len() + 4] {
            let mut splitter = Splitter::new(NONCE, 1);
            let more = [stream.as_slice(), b"next"].concat();
            let taken: usize = more.chunks(chunk).map(|bytes| splitter.push(bytes)).sum();
            assert_eq!(taken, stream.len(), "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_marker_without_a_status_is_not_waited_on() {
        let torn = [&marker(0)[..34], &[b'7'; 40], b"\n", &marker(0)].concat();
        for chunk in [1, 12, 1000] {
            let mut splitter = Splitter::new(NONCE, 1);
            for bytes in torn.chunks(chunk) {
                splitter.push(bytes);
                assert!(splitter.pending.len() <= 34 + MAX_STATUS_DIGITS, "{} bytes are held", splitter.pending.len());
            }
            let statuses: Vec<i32> = splitter.parts.iter().map(|(_, status)| *status).collect();
            assert_eq!(statuses, [-1, 0], "in chunks of {chunk}");
        }
    }

    #[test]
    fn long_output_has_the_length_and_hash_of_all() {
        let long: Vec<u8> = (0..5 * MAX_BYTES).map(|n| (n % 251) as u8).filter(|b| *b != MARK).collect();
        let mut splitter = Splitter::new(NONCE, 1);
        splitter.push(&marker(0));
        long.chunks(10_000).for_each(|bytes| assert_eq!(splitter.push(bytes), bytes.len()));
        splitter.push(&marker(0));
        let (output, _) = splitter.parts.pop().unwrap();
        assert_eq!(output.length, long.len() as u64);
        assert!(output.is_cut() && output.tail.len() <= MAX_BYTES && long.ends_with(&output.tail));
        assert_eq!(output.sha256, crate::connect::host::sha256(&long));
    }

    #[test]
    fn many_long_outputs_are_too_much_together() {
        let long = vec![b'x'; MAX_BYTES];
        let mut splitter = Splitter::new(NONCE, 200);
        splitter.push(&marker(0));
        let parts = (0..200).take_while(|_| {
            splitter.push(&long);
            splitter.push(&marker(0));
            splitter.excess().is_none()
        });
        assert_eq!(parts.count(), 64);
        assert!(splitter.excess().unwrap().contains("more than 64 MiB to one request"));
    }

    #[test]
    fn what_was_printed_last_is_known_before_the_end() {
        let mut splitter = Splitter::new(NONCE, 1);
        splitter.push(b"motd\n");
        splitter.push(&marker(0));
        assert_eq!((splitter.accepted(), splitter.last_line()), (true, None));
        splitter.push(b"one\ntwo\n\n");
        assert_eq!(splitter.last_line().as_deref(), Some("two"));
        splitter.push(b"three");
        assert_eq!(splitter.last_line().as_deref(), Some("three"));
    }
}
