//! The key for the hashes in a plan's journals. Without the key, nobody can test guesses of a secret against the
//! hashes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::NamedTempFile;

use super::JournalError;
use crate::digest;
use crate::secret;

/// Length of a hash in hex digits.
const HASH_DIGITS: usize = 32;

/// 256 random bits. The default is a new random key, for hashes that are not compared with anything on disk.
#[derive(Clone)]
pub struct DefinitionKey([u8; 32]);

impl Default for DefinitionKey {
    fn default() -> Self {
        Self(rand::random())
    }
}

impl DefinitionKey {
    /// Reads the key in a folder, or creates one.
    pub(super) fn load_or_create(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join("key");
        let io = |source| JournalError::Io { path: path.clone(), source };
        if !path.exists() {
            // Written to a temporary file and renamed, so that nobody reads a partial key. If two processes do this at
            // once, both use the key of the first.
            let mut file = NamedTempFile::new_in(folder).map_err(io)?;
            file.write_all(&rand::random::<[u8; 32]>()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
            match file.persist_noclobber(&path) {
                Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(io(error.error)),
                _ => {}
            }
        }
        let mut key = Self([0; 32]);
        File::open(&path).and_then(|mut file| file.read_exact(&mut key.0)).map_err(io)?;
        Ok(key)
    }

    /// Uses the key for the marks of masked values, so that every process for this plan creates the same marks.
    pub fn use_for_marks(&self) {
        secret::mark_with(self.0);
    }

    /// Hashes the content of a saved plan. The prefix keeps these hashes apart from those of definitions.
    pub fn seal(&self, content: &str) -> String {
        self.hash(&format!("saved plan\0{content}"))
    }

    /// HMAC-SHA-256 of a text, truncated to 128 bits, as hex.
    pub fn hash(&self, text: &str) -> String {
        // HMAC accepts keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(text.as_bytes());
        digest::hex(&mac.finalize().into_bytes())[..HASH_DIGITS].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_keeps_its_key_which_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let hash = DefinitionKey::load_or_create(folder.path()).unwrap().hash("a weak secret");
        assert_eq!(DefinitionKey::load_or_create(folder.path()).unwrap().hash("a weak secret"), hash);
        assert_ne!(DefinitionKey::load_or_create(folder.path()).unwrap().hash("another"), hash);
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, hash.len()), (0o600, HASH_DIGITS));
        assert_ne!(DefinitionKey::default().hash("a weak secret"), hash);
    }

    /// RFC 4231, test case 2, truncated to 128 bits. HMAC pads the shorter key with zeros, as the test does.
    #[test]
    fn the_hash_is_an_hmac() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(DefinitionKey(key).hash("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
    }
}
