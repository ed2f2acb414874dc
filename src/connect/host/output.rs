//! The output of a command, cut to what a person reads or a later step can use.

use sha2::{Digest as _, Sha256};

use crate::secret::{redact, safe_end, safe_start};

/// Bytes kept at the end of an output.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Bytes kept at the beginning of an output that is cut.
pub const MAX_FIRST_BYTES: usize = 128 * 1024;

/// One output stream of a command; without its middle if it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The first bytes if the middle was left out; else empty.
    pub head: Vec<u8>,
    /// The last bytes, or the whole output.
    pub tail: Vec<u8>,
    /// Length of the whole output, bytes.
    pub length: u64,
    /// SHA-256 of the whole output, lower-case hex.
    pub sha256: String,
}

impl Output {
    pub fn whole(bytes: &[u8]) -> Self {
        Self {
            head: Vec::new(),
            tail: bytes.to_vec(),
            length: bytes.len() as u64,
            sha256: crate::digest::sha256(bytes),
        }
    }

    pub fn is_cut(&self) -> bool {
        self.length > self.tail.len() as u64
    }

    /// The output as text without trailing line breaks, with a note where the middle was left out. Bytes that are not
    /// UTF-8 are replaced.
    pub fn text(&self) -> String {
        let tail = String::from_utf8_lossy(&self.tail);
        let tail = tail.trim_end_matches('\n');
        if !self.is_cut() {
            return tail.to_owned();
        }
        let left_out = self.length - (self.head.len() + self.tail.len()) as u64;
        let note = format!("[… {left_out} of {} bytes are left out here …]", self.length);
        format!("{}\n{note}\n{tail}", String::from_utf8_lossy(&self.head))
    }

    /// The first line of [`Self::text`], with secrets masked.
    pub fn first_line(&self) -> String {
        redact(&self.text()).lines().next().unwrap_or_default().to_owned()
    }

    /// The last `count` lines, for messages. Secrets are masked before the text is cut: a part of a secret would not be
    /// recognised.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let text = redact(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// Collects output as it arrives: its first and last bytes, and the length and hash of all.
#[derive(Default)]
pub struct Capture {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
    hash: Sha256,
}

impl Capture {
    pub fn push(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        self.hash.update(data);
        self.tail.extend_from_slice(data);
        if self.tail.len() > 2 * MAX_BYTES {
            self.trim();
        }
    }

    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    fn trim(&mut self) {
        let excess = self.tail.len().saturating_sub(MAX_BYTES);
        let room = MAX_FIRST_BYTES - self.head.len();
        self.head.extend_from_slice(&self.tail[..excess.min(room)]);
        self.tail.drain(..excess);
    }

    /// Ends the collection.
    pub fn finish(mut self) -> Output {
        self.trim();
        if self.length == (self.head.len() + self.tail.len()) as u64 {
            self.tail.splice(..0, self.head.drain(..));
        } else {
            // A secret that lies across a cut is removed with its bytes on both sides: its remaining part would not be
            // recognised and masked.
            self.head.truncate(safe_end(&self.head));
            self.tail.drain(..safe_start(&self.tail));
        }
        let sha256 = crate::digest::hex(&self.hash.finalize());
        Output { head: self.head, tail: self.tail, length: self.length, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes: &[u8]) -> Output {
        let mut capture = Capture::default();
        bytes.chunks(10_000).for_each(|chunk| capture.push(chunk));
        capture.finish()
    }

    #[test]
    fn as_much_as_is_kept_is_whole_and_of_more_the_middle_goes() {
        let long: Vec<u8> = (0..=250).cycle().take(5 * MAX_BYTES).collect();
        for size in [0, MAX_BYTES + 1, MAX_BYTES + MAX_FIRST_BYTES] {
            assert_eq!(captured(&long[..size]), Output::whole(&long[..size]), "{size}");
        }
        for size in [MAX_BYTES + MAX_FIRST_BYTES + 1, 3 * MAX_BYTES] {
            let output = captured(&long[..size]);
            let Output { head, tail, .. } = &output;
            // Secrets registered by other tests may lie across the cuts.
            assert!(head.len() <= MAX_FIRST_BYTES && tail.len() <= MAX_BYTES && tail.len() > MAX_BYTES / 2, "{size}");
            assert!(long.starts_with(head) && long[..size].ends_with(tail) && output.is_cut());
            let left_out = size - head.len() - tail.len();
            let note = format!("\n[… {left_out} of {size} bytes are left out here …]\n");
            assert!(output.text().contains(&note), "{size}");
        }
    }

    #[test]
    fn no_part_of_a_secret_stays_at_a_cut() {
        const POISON: &str = "poison-of-cut-outputs";
        crate::secret::register(POISON);
        // Each cut lies in the middle of a secret.
        let long = POISON.repeat(5 * MAX_BYTES / POISON.len());
        assert!(MAX_FIRST_BYTES % POISON.len() > 3 && (long.len() - MAX_BYTES) % POISON.len() > 3);
        let Output { head, tail, .. } = captured(long.as_bytes());
        // The text from the beginning of a secret to the first cut, and from the second cut to the end of a secret.
        let ends =
            [&head[head.len() / POISON.len() * POISON.len() - POISON.len()..], &tail[..tail.len() % POISON.len()]];
        for end in ends.map(|end| redact(&String::from_utf8_lossy(end)).into_owned()) {
            assert!(end.is_empty() || end == crate::secret::MASK, "{end}");
        }
    }
}
