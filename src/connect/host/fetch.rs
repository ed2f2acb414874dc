//! Copies a file of a host to the machine that runs rollout. The file is read piece by piece, so that its size costs no
//! memory, and renamed into place, so that there is always either the old file or the new one.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::may_change::may_overlap;
use super::quote;
use super::remote::Remote;
use super::request::{Purpose, Request};
use super::types::{CommandOutput, Probe};
use crate::connect::{CallContext, ConnectError};
use crate::digest::hex;

/// Block size of `dd`, and number of blocks per piece: together the longest output that is kept whole.
const BLOCK_BYTES: u64 = 64 * 1024;
const BLOCKS_PER_PIECE: u64 = super::output::MAX_BYTES as u64 / BLOCK_BYTES;

/// A file to copy from a host to the machine that runs rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Absolute path on the host, of a regular file.
    pub path: String,
    /// Its size in bytes, as probed.
    pub size: u64,
    /// Its SHA-256 as probed, lower-case hex; the copy must have the same.
    pub sha256: String,
    /// Absolute path on this machine. Missing folders are created.
    pub to: PathBuf,
    /// Permission bits of the copy: `0o600`.
    pub mode: u32,
}

impl Fetch {
    /// Whether the copy may change the answer to `probe`, asked of the host or of this machine, which may be the same.
    pub fn may_change(&self, probe: &Probe) -> bool {
        match probe {
            Probe::File { path, .. } => may_overlap(&self.to.to_string_lossy(), path),
            _ => true,
        }
    }

    /// Copies the file.
    ///
    /// # Errors
    /// When the host cannot be reached or read, the file no longer has the expected content, or the copy cannot be
    /// written. An existing file at the target is then unchanged.
    pub(super) async fn perform(
        &self,
        remote: &Arc<Remote>,
        as_root: bool,
        call: &CallContext,
    ) -> Result<CommandOutput, ConnectError> {
        let mut copy = self.create_temporary().map_err(|e| self.write_error(&e))?;
        let (mut hash, mut read) = (Sha256::new(), 0);
        while read < self.size {
            let piece = self.read_piece(remote, as_root, read / BLOCK_BYTES, call).await?;
            // A log may have grown meanwhile: only the first `size` bytes were requested.
            let rest = usize::try_from(self.size - read).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(rest)];
            read += piece.len() as u64;
            if piece.is_empty() || (read < self.size && piece.len() as u64 != BLOCKS_PER_PIECE * BLOCK_BYTES) {
                return Err(self.changed_meanwhile());
            }
            hash.update(piece);
            copy.write_all(piece).map_err(|e| self.write_error(&e))?;
            if read < self.size {
                (call.progress)(format!("{} of {} MiB", read >> 20, self.size >> 20));
            }
        }
        if hex(&hash.finalize()) != self.sha256 {
            return Err(self.changed_meanwhile());
        }
        self.put_in_place(copy).map_err(|e| self.write_error(&e))?;
        Ok(CommandOutput::new(0, "", ""))
    }

    /// Reads one piece of the file, starting at a block.
    async fn read_piece(
        &self,
        remote: &Arc<Remote>,
        as_root: bool,
        block: u64,
        call: &CallContext,
    ) -> Result<Vec<u8>, ConnectError> {
        let part = format!("dd if={} bs={BLOCK_BYTES} skip={block} count={BLOCKS_PER_PIECE}", quote::word(&self.path));
        let request = Request { parts: vec![part], ..Request::default() };
        let mut done = remote.call(as_root, request, Purpose::ReadOnly, call).await?;
        match done.pop() {
            Some(done) if done.exit == 0 => Ok(done.stdout.tail),
            Some(done) => {
                let stderr = done.stderr.last_lines(1);
                Err(ConnectError::failed(format!("cannot read {} on the host: {stderr}", self.path)))
            }
            None => Err(ConnectError::failed("the host gave no answer")),
        }
    }

    fn folder(&self) -> &Path {
        self.to.parent().unwrap_or(Path::new("/"))
    }

    fn create_temporary(&self) -> std::io::Result<NamedTempFile> {
        std::fs::create_dir_all(self.folder())?;
        let name = self.to.file_name().unwrap_or_default().to_string_lossy();
        tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(self.folder())
    }

    fn put_in_place(&self, copy: NamedTempFile) -> std::io::Result<()> {
        copy.as_file().set_permissions(Permissions::from_mode(self.mode))?;
        copy.as_file().sync_all()?;
        copy.persist(&self.to)?;
        std::fs::File::open(self.folder())?.sync_all()
    }

    fn write_error(&self, error: &std::io::Error) -> ConnectError {
        ConnectError::failed(format!("cannot write {} on this machine: {error}", self.to.display()))
            .hint("check that the disk has room and that you may write there")
    }

    fn changed_meanwhile(&self) -> ConnectError {
        ConnectError::failed(format!("{} changed on the host while it was fetched", self.path)).hint(
            "run the plan again; if the file changes all the time, let a step copy it on the host, and fetch the copy",
        )
    }
}
