//! Requests as text for `sh`. No I/O; [`super::splitter`] parses the replies.

use base64::Engine as _;

use super::quote;
use super::splitter::{MARK, Splitter};

/// Prefix of scripts that often print nothing: they call `_ro_flush` themselves before they print, so that the markers
/// of silent parts are sent together.
const QUIET: &str = "_ro_read ";

/// One request: scripts that run in order, each answered by its exit status and output.
pub struct Frame {
    nonce: String,
    parts: Vec<Part>,
    required: usize,
}

struct Part {
    script: String,
    when: When,
}

/// When a follow-up part of a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// Only if all effects of the pipeline succeeded.
    AllSucceeded,
    /// Only if one of the effects failed.
    AnyFailed,
}

impl Frame {
    pub fn new() -> Self {
        Self { nonce: nonce(), parts: Vec::new(), required: 0 }
    }

    /// Adds a required part. The script must be one of rollout's own: well-formed, and never calling `exit`. Its
    /// standard input is empty.
    pub fn add_part(&mut self, script: String) {
        self.parts.push(Part { script, when: When::Always });
        self.required = self.parts.len();
    }

    /// Adds a part that may go unanswered, after all required ones. If `when` does not apply, it is skipped and reports
    /// status 1.
    pub fn add_follow_up(&mut self, script: String, when: When) {
        self.parts.push(Part { script, when });
    }

    /// The number of parts, counted from the first, that must be answered.
    pub fn required_parts(&self) -> usize {
        self.required
    }

    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// The request as text for the shell: one compound command, so that nothing runs before all of it has arrived. The
    /// scripts' standard input is empty, or, with `payload`, the rest of the channel.
    pub fn text(&self, payload: bool) -> String {
        let (watched, input) = if payload { ("n", "") } else { ("y", "9<&0 </dev/null") };
        let mut text = format!("_ro_n={} _ro_c9={watched}\n{{ _ro_mark\n", self.nonce);
        for (index, part) in self.parts.iter().enumerate() {
            match part.when {
                When::Always => {}
                When::AllSucceeded => text.push_str("if [ \"$_ro_f\" != 0 ]; then _ro_skip; else\n"),
                When::AnyFailed => text.push_str("if [ \"$_ro_f\" = 0 ]; then _ro_skip; else\n"),
            }
            if !part.script.starts_with(QUIET) {
                text.push_str("_ro_flush\n");
            }
            text.push_str(&part.script);
            if part.when != When::Always {
                text.push_str("\nfi");
            }
            // After the last answer, the caller may send the next request; the watch must not read that.
            text.push_str(if index + 1 == self.parts.len() { "\n_ro_unwatch\n_ro_mark\n" } else { "\n_ro_mark\n" });
        }
        text.push_str("_ro_flush\n} ");
        text.push_str(input);
        text.push('\n');
        text
    }

    /// A recorded stream with the nonce inserted: after each byte 1 that is followed by `N`, the `N` is replaced by
    /// this request's nonce.
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

    /// A parser for one of the two output streams.
    pub fn splitter(&self) -> Splitter {
        Splitter::new(&self.nonce, self.parts.len())
    }
}

/// Wraps a user's script so that it cannot harm the parts that follow, even if it is malformed, calls `exit` or reads
/// all of its standard input (`payload`). The script is ended when the connection breaks.
pub fn user_script(script: &str, cwd: Option<&str>, payload: &[u8]) -> String {
    let cd = cwd.map(|dir| format!("cd -- {} || exit 126; ", quote::word(dir))).unwrap_or_default();
    let script = format!("( exec 9<&-; unset _ro_n _ro_s _ro_c9; {cd}eval {} )", quote::word(script));
    let script = if payload.is_empty() { script } else { with_stdin(payload, &script) };
    format!("{{ _ro_watch; {script}; }}")
}

/// `script` with `payload` on its standard input. Only builtins handle the payload: it is in no argument, file or
/// variable.
pub fn with_stdin(payload: &[u8], script: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
    format!("printf %s '{encoded}' | base64 -d | {script}")
}

/// 128 random bits in hex: no output can contain a marker by chance or on purpose.
pub fn nonce() -> String {
    crate::digest::hex(&rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
