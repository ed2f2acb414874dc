//! Files of this machine that are too large to be held in memory.

use std::path::PathBuf;

use serde::Deserialize;

/// A file of this machine, as it was when it was looked at. It is read when it is sent, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of all of them, lower-case hex.
    pub sha256: String,
}
