//! The key of the hashes in a plan's journals: without it, nobody can try out values of a secret against them.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::NamedTempFile;

use super::JournalError;
use crate::digest;
use crate::secret;

/// Length of a hash, hex digits.
const HASH_DIGITS: usize = 32;

/// 256 random bits. The default is a new key, for what is compared with nothing on disk.
#[derive(Clone)]
pub struct DefinitionKey([u8; 32]);

impl Default for DefinitionKey {
    fn default() -> Self {
        Self(rand::random())
    }
}

impl DefinitionKey {
    /// The key in a folder, made when there is none.
    pub(super) fn keep(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join("key");
        let io = |source| JournalError::Io { path: path.clone(), source };
        if !path.exists() {
            // Beside and renamed, so that nobody sees half of a key. Who comes second takes that of the first.
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

    /// Makes the marks of hidden values with it, so that another process of the plan makes the same.
    pub fn use_for_marks(&self) {
        secret::mark_with(self.0);
    }

    /// Its own key for saved plans: what is hashed for another end proves nothing here.
    pub fn seal(&self, content: &str) -> String {
        self.hash(&format!("saved plan\0{content}"))
    }

    /// HMAC-SHA-256 of a text, its first 128 bits as hex.
    pub fn hash(&self, text: &str) -> String {
        // HMAC takes keys of any length.
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
    fn a_folder_keeps_its_key_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let hash = DefinitionKey::keep(folder.path()).unwrap().hash("a weak secret");
        assert_eq!(DefinitionKey::keep(folder.path()).unwrap().hash("a weak secret"), hash);
        assert_ne!(DefinitionKey::keep(folder.path()).unwrap().hash("another"), hash);
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, hash.len()), (0o600, HASH_DIGITS));
        assert_ne!(DefinitionKey::default().hash("a weak secret"), hash);
    }

    /// RFC 4231, test case 2, cut to 128 bits; its key is shorter than ours, and HMAC fills it up with zeros.
    #[test]
    fn the_hash_is_an_hmac() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(DefinitionKey(key).hash("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
    }
}
