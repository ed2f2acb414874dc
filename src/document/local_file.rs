//! Files of this machine that are too large to keep in memory.

use std::path::PathBuf;

use serde::Deserialize;

/// A file of this machine, with size and hash. The content is streamed when the file is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFile {
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, in lower-case hex.
    pub sha256: String,
}
