//! The protocol's two halves without any I/O: a request as `sh` reads it, and what its two output streams say.

use base64::Engine as _;

use super::held::Held;
use super::output::{Capture, Output};
use super::quote;
use super::types::CommandOutput;
use crate::secret::redact_open;

/// The longest exit status, bytes: what follows a marker and is longer is none.
const MAX_STATUS_DIGITS: usize = "-2147483648".len();

/// Bytes at the end of an output in which its last line is looked for.
const MAX_LINE_BYTES: usize = 4096;

/// What a marker starts with: a byte that text hardly ever has, so that looking for markers is fast.
const MARK: u8 = 1;

/// How a part begins that may print nothing, and tells the ends of those before it itself when it prints.
const QUIET: &str = "_ro_read ";

/// One request: scripts that run one after the other, each answered by its own status and outputs.
pub struct Frame {
    nonce: String,
    parts: Vec<Part>,
    firm: usize,
}

struct Part {
    script: String,
    when: When,
}

/// When a part is wanted that is behind a row of effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// When all effects of the row worked.
    Worked,
    /// When they did not.
    Failed,
}

impl Frame {
    /// A request that asks nothing yet.
    pub fn new() -> Self {
        Self { nonce: nonce(), parts: Vec::new(), firm: 0 }
    }

    /// Adds a script of our own: well-formed, never `exit`s. Standard input is empty.
    pub fn part(&mut self, script: String) {
        self.parts.push(Part { script, when: When::Always });
        self.firm = self.parts.len();
    }

    /// Adds one, behind all others, that may go unanswered. One that is not wanted then answers with status 1.
    pub fn part_behind(&mut self, script: String, when: When) {
        self.parts.push(Part { script, when });
    }

    /// How many of its parts, the first ones, must be answered.
    pub fn required_parts(&self) -> usize {
        self.firm
    }

    /// How many parts it has.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// As it goes to the shell: one compound command, so that nothing of it runs before all of it has arrived. The
    /// scripts read nothing, or `payload` that follows on the channel.
    pub fn text(&self, payload: bool) -> String {
        let (watched, input) = if payload { ("n", "") } else { ("y", "9<&0 </dev/null") };
        let mut text = format!("_ro_n={} _ro_c9={watched}\n{{ _ro_mark\n", self.nonce);
        for (index, part) in self.parts.iter().enumerate() {
            match part.when {
                When::Always => {}
                When::Worked => text.push_str("if [ \"$_ro_f\" != 0 ]; then _ro_skip; else\n"),
                When::Failed => text.push_str("if [ \"$_ro_f\" = 0 ]; then _ro_skip; else\n"),
            }
            if !part.script.starts_with(QUIET) {
                text.push_str("_ro_flush\n");
            }
            text.push_str(&part.script);
            if part.when != When::Always {
                text.push_str("\nfi");
            }
            // Whoever has the last answer may send the next request, which is not for the watch.
            text.push_str(if index + 1 == self.parts.len() { "\n_ro_unwatch\n_ro_mark\n" } else { "\n_ro_mark\n" });
        }
        text.push_str("_ro_flush\n} ");
        text.push_str(input);
        text.push('\n');
        text
    }

    /// A stream with this request's nonce after each byte 1 that `N` follows.
    pub fn with_nonce(&self, stream: &[u8]) -> Vec<u8> {
        let mut parts = stream.split(|b| *b == MARK);
        let mut whole = parts.next().unwrap_or_default().to_vec();
        for part in parts {
            whole.push(MARK);
            match part.strip_prefix(b"N") {
                Some(rest) => whole.extend([self.nonce.as_bytes(), rest].concat()),
                None => whole.extend(part),
            }
        }
        whole
    }

    /// A reader of one of the two output streams.
    pub fn splitter(&self) -> Splitter {
        // The first marker only says that the request has been accepted.
        Splitter::new(&self.nonce, self.parts.len() + 1)
    }
}

/// A script of someone else: it may be wrong, `exit`, and read its standard input, which is `payload`, without harm to
/// what follows. It ends when the one who sent it is gone.
pub fn user_script(script: &str, cwd: Option<&str>, payload: &[u8]) -> String {
    let cd = cwd.map(|dir| format!("cd -- {} || exit 126; ", quote::word(dir))).unwrap_or_default();
    let script = format!("( exec 9<&-; unset _ro_n _ro_s _ro_c9; {cd}eval {} )", quote::word(script));
    let script = if payload.is_empty() { script } else { with_stdin(payload, &script) };
    format!("{{ _ro_watch; {script}; }}")
}

/// `script` with `payload` on its standard input, by way of builtins only: no argument, file or variable has it.
pub fn with_stdin(payload: &[u8], script: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
    format!("printf %s '{encoded}' | base64 -d | {script}")
}

/// 128 random bits in hex, so that no output can have a marker in it by chance or by intent.
pub fn nonce() -> String {
    crate::digest::hex(&rand::random::<[u8; 16]>())
}

/// Cuts a stream at the markers.
pub struct Splitter {
    marker: Vec<u8>,
    expected: usize,
    pending: Vec<u8>,
    current: Capture,
    parts: Vec<(Output, i32)>,
    held: Held,
}

impl Splitter {
    fn new(nonce: &str, expected: usize) -> Self {
        let mut marker = vec![MARK];
        marker.extend_from_slice(nonce.as_bytes());
        marker.push(b' ');
        Self {
            marker,
            expected,
            pending: Vec::new(),
            current: Capture::default(),
            parts: Vec::new(),
            held: Held::default(),
        }
    }

    /// Takes more of the stream, and tells how much of it was for this request.
    pub fn push(&mut self, data: &[u8]) -> usize {
        if self.complete() {
            return 0;
        }
        self.pending.extend_from_slice(data);
        while !self.complete() {
            let Some(start) = find(&self.pending, &self.marker) else {
                let keep = self.possible_start();
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
            self.held.add(output.head.len() + output.tail.len());
            self.parts.push((output, status.unwrap_or(-1)));
        }
        // Behind a marker without its end, which no shell of ours writes, more may be left than has come just now.
        data.len().saturating_sub(std::mem::take(&mut self.pending).len())
    }

    /// Whether the shell has begun to carry out the request.
    pub fn accepted(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Which limit is passed of what may be held; nothing more is to be read then.
    pub fn excess(&self) -> Option<String> {
        self.held.excess()
    }

    /// Whether all parts are there.
    pub fn complete(&self) -> bool {
        self.parts.len() == self.expected
    }

    /// Whether this many parts are there, the first ones.
    pub fn has(&self, parts: usize) -> bool {
        self.parts.len() > parts
    }

    /// What a part printed and how it ended, once both streams are past it.
    pub fn done(stdout: &Self, stderr: &Self, part: usize) -> Option<CommandOutput> {
        let ((stdout, exit), (stderr, _)) = (stdout.parts.get(part + 1)?.clone(), stderr.parts.get(part + 1)?.clone());
        Some(CommandOutput { exit, stdout, stderr })
    }

    /// What was printed last, in the part that is not complete, or else in the last one.
    pub fn last_line(&self) -> Option<String> {
        self.current_line().or_else(|| self.parts.iter().skip(1).rev().find_map(|(output, _)| last_of(&output.tail)))
    }

    /// What was printed last in the part that is not complete.
    pub fn current_line(&self) -> Option<String> {
        let unmarked = self.pending.iter().position(|b| *b == MARK).unwrap_or(self.pending.len());
        let current = [self.current.tail(), &self.pending[..unmarked]];
        if current[1].is_empty() { last_of(current[0]) } else { last_of(&current.concat()) }
    }

    /// All text that arrived before the first marker, for messages.
    pub fn unframed(&self) -> String {
        let mut bytes = self.current.tail().to_vec();
        bytes.extend_from_slice(&self.pending);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Joins both streams' parts; what came before the first marker is left out.
    pub fn join(stdout: Self, stderr: Self) -> Vec<CommandOutput> {
        let pairs = stdout.parts.into_iter().zip(stderr.parts).skip(1);
        pairs.map(|((stdout, exit), (stderr, _))| CommandOutput { exit, stdout, stderr }).collect()
    }

    /// How many bytes certainly belong to no marker.
    fn possible_start(&self) -> usize {
        let from = self.pending.len().saturating_sub(self.marker.len() - 1);
        let tail = &self.pending[from..];
        let start = (0..tail.len()).find(|i| self.marker.starts_with(&tail[*i..]));
        start.map_or(self.pending.len(), |i| from + i)
    }
}

/// The last line that is not empty. Secrets in it are masked: a line by itself would not tell that it is a part of one.
fn last_of(bytes: &[u8]) -> Option<String> {
    let text = redact_open(bytes, MAX_LINE_BYTES);
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

    fn frame(parts: usize) -> Frame {
        let mut frame = Frame::new();
        (0..parts).for_each(|_| frame.part("true".into()));
        frame
    }

    fn marker(frame: &Frame, status: i32) -> Vec<u8> {
        format!("\u{1}{} {status}\n", frame.nonce).into_bytes()
    }

    fn split(frame: &Frame, stream: &[u8], chunk: usize) -> Vec<(Vec<u8>, i32)> {
        let mut splitter = frame.splitter();
        stream.chunks(chunk).for_each(|bytes| assert!(splitter.push(bytes) == bytes.len()));
        assert!(splitter.complete());
        splitter.parts.into_iter().map(|(output, status)| (output.tail, status)).collect()
    }

    #[test]
    fn a_stream_is_cut_at_the_markers_however_it_arrives() {
        let frame = frame(2);
        let other = Frame::new();
        let nasty = [&b"no line break\0\x01\x01"[..], &marker(&other, 0), frame.nonce.as_bytes(), b"\x01"].concat();
        let stream =
            [b"banner".as_slice(), &marker(&frame, 0), &nasty, &marker(&frame, 3), &marker(&frame, 0)].concat();
        for chunk in [1, 2, 7, 33, 1000] {
            assert_eq!(
                split(&frame, &stream, chunk),
                [(b"banner".to_vec(), 0), (nasty.clone(), 3), (Vec::new(), 0)],
                "in chunks of {chunk}"
            );
        }
    }

    #[test]
    fn what_follows_the_last_marker_is_left_for_the_next_request() {
        let frame = frame(1);
        let stream = [b"a".as_slice(), &marker(&frame, 0), b"b", &marker(&frame, 0)].concat();
        for chunk in [1, 7, stream.len() + 4] {
            let mut splitter = frame.splitter();
            let more = [stream.as_slice(), b"next"].concat();
            let taken: usize = more.chunks(chunk).map(|bytes| splitter.push(bytes)).sum();
            assert_eq!(taken, stream.len(), "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_marker_without_a_status_is_not_waited_on() {
        let frame = frame(1);
        let torn = [&marker(&frame, 0)[..34], &[b'7'; 40], b"\n", &marker(&frame, 0)].concat();
        for chunk in [1, 12, 1000] {
            let mut splitter = frame.splitter();
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
        let frame = frame(1);
        let long: Vec<u8> = (0..5 * MAX_BYTES).map(|n| (n % 251) as u8).filter(|b| *b != MARK).collect();
        let mut splitter = frame.splitter();
        splitter.push(&marker(&frame, 0));
        long.chunks(10_000).for_each(|bytes| assert_eq!(splitter.push(bytes), bytes.len()));
        splitter.push(&marker(&frame, 0));
        let (output, _) = splitter.parts.pop().unwrap();
        assert_eq!(output.length, long.len() as u64);
        assert!(output.is_cut() && output.tail.len() <= MAX_BYTES && long.ends_with(&output.tail));
        assert_eq!(output.sha256, crate::connect::host::sha256(&long));
    }

    #[test]
    fn many_long_outputs_are_too_much_together() {
        let long = vec![b'x'; MAX_BYTES];
        let frame = frame(200);
        let mut splitter = frame.splitter();
        splitter.push(&marker(&frame, 0));
        let parts = (0..200).take_while(|_| {
            splitter.push(&long);
            splitter.push(&marker(&frame, 0));
            splitter.excess().is_none()
        });
        assert_eq!(parts.count(), 64);
        assert!(splitter.excess().unwrap().contains("more than 64 MiB to one request"));
    }

    #[test]
    fn what_was_printed_last_is_known_before_the_end() {
        let frame = frame(1);
        let mut splitter = frame.splitter();
        splitter.push(b"motd\n");
        splitter.push(&marker(&frame, 0));
        assert_eq!((splitter.accepted(), splitter.last_line()), (true, None));
        splitter.push(b"one\ntwo\n\n");
        assert_eq!(splitter.last_line().as_deref(), Some("two"));
        splitter.push(b"three");
        assert_eq!(splitter.last_line().as_deref(), Some("three"));
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
