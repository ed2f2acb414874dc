//! How large a text may be: enough for any bundle that people write, and an end for one that was made to exhaust memory.

use super::error::Error;

/// Values in all documents together, those that aliases bring counted each time.
pub const MAX_VALUES: usize = 1_000_000;
/// Bytes of all texts and keys in them, likewise.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Lists and tables that lie in each other.
pub const MAX_DEPTH: usize = 250;

/// What a value takes up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
    /// Levels of lists and tables in it.
    pub(super) depth: usize,
}

/// What was taken up so far.
#[derive(Debug, Default)]
pub(super) struct Spent {
    values: usize,
    bytes: usize,
}

impl Spent {
    /// Counts something that lies `depth` levels down.
    pub(super) fn add(&mut self, size: Size, depth: usize, at: (usize, usize)) -> Result<(), Error> {
        let refuse = |message: String| Err(Error { line: at.0, column: at.1, message });
        self.values = self.values.saturating_add(size.values);
        self.bytes = self.bytes.saturating_add(size.bytes);
        if self.values > MAX_VALUES {
            return refuse(format!("here it has more than {MAX_VALUES} values, those of aliases counted each time"));
        }
        if self.bytes > MAX_BYTES {
            let most = MAX_BYTES / 1024 / 1024;
            return refuse(format!("here its texts come to more than {most} MiB, those of aliases counted each time"));
        }
        if depth + size.depth > MAX_DEPTH {
            return refuse(format!("more than {MAX_DEPTH} lists and tables lie in each other"));
        }
        Ok(())
    }
}
