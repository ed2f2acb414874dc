//! Data sent to a host besides scripts: bytes in memory, and files of this machine that may be too large for memory.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::document::{LocalFile, open_file};
use crate::secret::Secret;

/// Size of the buffer for sending a file, bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes for a host. They travel over the channel only, never in an argument, an environment variable or a message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(Arc<[u8]>);

impl Bytes {
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&Secret> for Bytes {
    fn from(secret: &Secret) -> Self {
        Self(secret.expose().as_bytes().into())
    }
}

/// Content of a file to write, or of a command's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Bytes),
    /// The content of a file on this machine.
    File(LocalFile),
}

impl Content {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.as_slice().len() as u64,
            Self::File(file) => file.size,
        }
    }

    /// The bytes in memory; empty for a file.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_slice(),
            Self::File(_) => &[],
        }
    }

    /// Writes the content to `to`. A file that has grown since it was hashed is cut at its old size; the host, which
    /// has size and hash, reports any difference.
    ///
    /// # Errors
    /// When the file cannot be read, or the channel is closed.
    pub async fn write_to(&self, to: &mut (impl AsyncWrite + Unpin + ?Sized)) -> std::io::Result<()> {
        match self {
            Self::Bytes(bytes) => to.write_all(bytes.as_slice()).await,
            Self::File(file) => {
                let (whole, _) = open_file(&file.path)?;
                let whole = tokio::fs::File::from_std(whole).take(file.size);
                tokio::io::copy_buf(&mut BufReader::with_capacity(PIECE_BYTES, whole), to).await.map(drop)
            }
        }
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}
