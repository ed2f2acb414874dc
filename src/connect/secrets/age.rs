//! Decrypts files that were encrypted with age, binary or armored.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use age::armor::ArmoredReader;
use age::{Decryptor, Identity, IdentityFile};

use super::refusal::{Refusal, cannot_read};

/// The identity file from `$ROLLOUT_AGE_IDENTITY`, for secrets that name none.
pub fn standard_identity() -> Option<PathBuf> {
    std::env::var_os("ROLLOUT_AGE_IDENTITY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Decrypts `file` with the keys in `identity`.
pub fn decrypt(file: &Path, identity: &Path) -> Result<Vec<u8>, Refusal> {
    let encrypted = std::fs::read(file)
        .map_err(|e| Refusal::new(cannot_read(file, &e), "encrypt the value with `age -r RECIPIENT -o FILE`"))?;
    let identities = identities(identity)?;
    let refused = |why: &dyn std::fmt::Display| {
        let hint = format!("check with `age -d -i {} {}`", identity.display(), file.display());
        Refusal::new(format!("{} cannot be decrypted with {}: {why}", file.display(), identity.display()), hint)
    };
    let decryptor = Decryptor::new(ArmoredReader::new(&encrypted[..])).map_err(|e| refused(&e))?;
    let keys = identities.iter().map(|key| &**key as &dyn Identity);
    let mut value = Vec::new();
    let mut reader = decryptor.decrypt(keys).map_err(|e| refused(&e))?;
    reader.read_to_end(&mut value).map_err(|e| refused(&e))?;
    Ok(value)
}

fn identities(path: &Path) -> Result<Vec<Box<dyn Identity + Send + Sync>>, Refusal> {
    let hint = "`age-keygen -o FILE` creates one; keys begin with AGE-SECRET-KEY-";
    let text = std::fs::read(path).map_err(|e| Refusal::new(cannot_read(path, &e), hint))?;
    // The parser's error is dropped: it would quote the bad line, which may be part of a key.
    let file = IdentityFile::from_buffer(&text[..]);
    let keys = file.ok().and_then(|file| file.into_identities().ok()).filter(|keys| !keys.is_empty());
    keys.ok_or_else(|| Refusal::new(format!("{} is not a file of age keys", path.display()), hint))
}
