//! Limits on the size of YAML, so that aliases cannot exhaust memory. They are far above any bundle that people write.

use super::error::Error;

/// Maximum number of values in all documents together. Values of aliases count each time.
pub const MAX_VALUES: usize = 1_000_000;
/// Maximum size of all texts and keys together, in bytes. Texts of aliases count each time.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Maximum nesting of lists and tables.
pub const MAX_DEPTH: usize = 250;

/// The size of a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
    /// Levels of nested lists and tables.
    pub(super) depth: usize,
}

/// The total size so far.
#[derive(Debug, Default)]
pub(super) struct Usage {
    values: usize,
    bytes: usize,
}

impl Usage {
    /// Adds a value that is nested `depth` levels deep.
    pub(super) fn add(&mut self, size: Size, depth: usize, at: (usize, usize)) -> Result<(), Error> {
        let refuse = |message: String| Err(Error { line: at.0, column: at.1, message });
        self.values = self.values.saturating_add(size.values);
        self.bytes = self.bytes.saturating_add(size.bytes);
        if self.values > MAX_VALUES {
            return refuse(format!("more than {MAX_VALUES} values, with aliases counted each time"));
        }
        if self.bytes > MAX_BYTES {
            let limit = MAX_BYTES / 1024 / 1024;
            return refuse(format!("more than {limit} MiB of text, with aliases counted each time"));
        }
        if depth + size.depth > MAX_DEPTH {
            return refuse(format!("more than {MAX_DEPTH} nested lists and tables"));
        }
        Ok(())
    }
}
