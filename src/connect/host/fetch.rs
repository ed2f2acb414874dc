//! Brings a file of a host to the machine that runs the tool: piece by piece, so that its size costs no memory, and put
//! in place by renaming, so that there is always either the old file or the new one.

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

/// Bytes that `dd` reads at a time, and how often it does so for one piece: together what is kept of an answer.
const BLOCK_BYTES: u64 = 64 * 1024;
const BLOCKS_PER_PIECE: u64 = super::output::MAX_BYTES as u64 / BLOCK_BYTES;

/// A file of a host that is to be copied to the machine that runs the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Absolute path on the host, of a regular file.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// SHA-256 of these, lower-case hex. What arrives must have it.
    pub sha256: String,
    /// Absolute path on this machine. Folders that are missing are made.
    pub to: PathBuf,
    /// Permission bits of the copy: `0o600`.
    pub mode: u32,
}

impl Fetch {
    /// Whether the answer to `probe` may be another one after this, be it asked of the host or of this machine, which may
    /// be the same.
    pub fn may_change(&self, probe: &Probe) -> bool {
        match probe {
            Probe::File { path, .. } => may_overlap(&self.to.to_string_lossy(), path),
            _ => true,
        }
    }

    /// Carries it out.
    ///
    /// # Errors
    /// When the host cannot be reached or read, the file is not the one that was asked for any more, or it cannot be
    /// written here; then there is still what was there before.
    pub(super) async fn perform(
        &self,
        remote: &Arc<Remote>,
        as_root: bool,
        call: &CallContext,
    ) -> Result<CommandOutput, ConnectError> {
        let mut copy = self.begin().map_err(|e| self.unwritten(&e))?;
        let (mut hash, mut read) = (Sha256::new(), 0);
        while read < self.size {
            let piece = self.piece(remote, as_root, read / BLOCK_BYTES, call).await?;
            // A log may have grown meanwhile: what is asked for are its first bytes.
            let rest = usize::try_from(self.size - read).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(rest)];
            read += piece.len() as u64;
            if piece.is_empty() || (read < self.size && piece.len() as u64 != BLOCKS_PER_PIECE * BLOCK_BYTES) {
                return Err(self.moved());
            }
            hash.update(piece);
            copy.write_all(piece).map_err(|e| self.unwritten(&e))?;
            if read < self.size {
                (call.progress)(format!("{} of {} MiB", read >> 20, self.size >> 20));
            }
        }
        if hex(&hash.finalize()) != self.sha256 {
            return Err(self.moved());
        }
        self.end(copy).map_err(|e| self.unwritten(&e))?;
        Ok(CommandOutput::new(0, "", ""))
    }

    /// Some of the file, from a block on.
    async fn piece(
        &self,
        remote: &Arc<Remote>,
        as_root: bool,
        block: u64,
        call: &CallContext,
    ) -> Result<Vec<u8>, ConnectError> {
        let part = format!("dd if={} bs={BLOCK_BYTES} skip={block} count={BLOCKS_PER_PIECE}", quote::word(&self.path));
        let request = Request { parts: vec![part], ..Request::default() };
        let mut done = remote.call(as_root, request, Purpose::Look, call).await?;
        match done.pop() {
            Some(done) if done.exit == 0 => Ok(done.stdout.tail),
            Some(done) => {
                let said = done.stderr.last_lines(1);
                Err(ConnectError::failed(format!("cannot read {} on the host: {said}", self.path)))
            }
            None => Err(ConnectError::failed("the host gave no answer")),
        }
    }

    fn folder(&self) -> &Path {
        self.to.parent().unwrap_or(Path::new("/"))
    }

    fn begin(&self) -> std::io::Result<NamedTempFile> {
        std::fs::create_dir_all(self.folder())?;
        let name = self.to.file_name().unwrap_or_default().to_string_lossy();
        tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(self.folder())
    }

    fn end(&self, copy: NamedTempFile) -> std::io::Result<()> {
        copy.as_file().set_permissions(Permissions::from_mode(self.mode))?;
        copy.as_file().sync_all()?;
        copy.persist(&self.to)?;
        std::fs::File::open(self.folder())?.sync_all()
    }

    fn unwritten(&self, error: &std::io::Error) -> ConnectError {
        ConnectError::failed(format!("cannot write {} on this machine: {error}", self.to.display()))
            .hint("is there room on the disk, and may you write there?")
    }

    fn moved(&self) -> ConnectError {
        ConnectError::failed(format!("{} changed on the host while it was fetched", self.path))
            .hint("run it again; of a file that never rests, have a step make a copy there, and fetch that")
    }
}
