//! What goes to a host besides its scripts: bytes in memory, and files of this machine that may be too large for that.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::document::{LocalFile, open_file};
use crate::secret::Secret;

/// How much of a file is in memory while it is sent, bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes that go to a host: over the channel only, never into an argument, an environment or a message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(Arc<[u8]>);

impl Bytes {
    /// The bytes.
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

/// What is to be in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// What a file of this machine holds.
    File(LocalFile),
}

impl Content {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.as_slice().len() as u64,
            Self::File(file) => file.size,
        }
    }

    /// What is in memory: nothing of a file.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_slice(),
            Self::File(_) => &[],
        }
    }

    /// Sends all of it. Of a file that has become another one since, no more than it had is sent: the other side, which
    /// knows size and hash, tells.
    ///
    /// # Errors
    /// When the file cannot be read, or nobody takes it.
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
