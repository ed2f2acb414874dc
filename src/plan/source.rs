//! Reads files of the project that are used unchanged and may have any size: short texts as a whole, all others by size
//! and hash.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{Read as _, Take};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest::hex;
use crate::document::Project;
use crate::sync::lock;

/// Texts up to this size in bytes are read as a whole, so that a diff can be shown.
const MAX_TEXT_BYTES: u64 = 256 * 1024;
/// Buffer size for hashing, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads files and caches their hashes, so that an unchanged file is not hashed again for each host.
#[derive(Default)]
pub struct Sources(Mutex<HashMap<PathBuf, (Stamp, String)>>);

/// Metadata that changes when a file is modified or replaced: inode, size, mtime, ctime.
type Stamp = [i64; 6];

impl Sources {
    /// Reads the file at `path` of the project. Returns `path` and `content` for a short text, else `path` and `file`
    /// with the full `path`, `size` and `sha256`.
    ///
    /// # Errors
    /// When `path` is not a file of the project, or cannot be read.
    pub fn read(&self, project: &Project, path: &str) -> Result<Value, String> {
        let (full, mut file, metadata) = project.open(path).map_err(|e| e.to_string())?;
        let cannot_read = |error: std::io::Error| format!("cannot read {}: {error}", full.display());
        let mut start = Vec::new();
        if metadata.len() <= MAX_TEXT_BYTES {
            (&mut file).take(MAX_TEXT_BYTES + 1).read_to_end(&mut start).map_err(cannot_read)?;
            let text = String::from_utf8(start).map_err(std::string::FromUtf8Error::into_bytes);
            match text {
                Ok(content) if content.len() as u64 <= MAX_TEXT_BYTES => {
                    return Ok(json!({ "path": path, "content": content }));
                }
                Ok(content) => start = content.into_bytes(),
                Err(bytes) => start = bytes,
            }
        }
        let stamp = stamp(&metadata);
        let mut cache = lock(&self.0);
        let hash = match cache.get(&full) {
            Some((cached, hash)) if *cached == stamp => hash.clone(),
            // Reads at most the size found before: some files have no end.
            _ => hash(&start, file.take(metadata.len().saturating_sub(start.len() as u64))).map_err(cannot_read)?,
        };
        cache.insert(full.clone(), (stamp, hash.clone()));
        Ok(json!({ "path": path, "file": { "path": full, "size": metadata.len(), "sha256": hash } }))
    }
}

fn stamp(meta: &Metadata) -> Stamp {
    let number = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
    [number(meta.ino()), number(meta.size()), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]
}

fn hash(start: &[u8], mut rest: Take<File>) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(start);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_read_and_other_files_hashed() {
        let root = tempfile::tempdir().unwrap();
        let sources = Sources::default();
        let put = |content: &[u8]| {
            std::fs::write(root.path().join("f"), content).unwrap();
            sources.read(&root.path().into(), "f").unwrap()
        };
        let limit = usize::try_from(MAX_TEXT_BYTES).unwrap();
        for content in [Vec::new(), b"text".to_vec(), vec![b'x'; limit]] {
            let text = String::from_utf8(content.clone()).unwrap();
            assert_eq!(put(&content), json!({ "path": "f", "content": text }));
        }
        for content in [b"\xff".to_vec(), vec![b'x'; limit + 1], vec![b'y'; limit + 1], vec![0xff; 3 * limit]] {
            let (size, sha256) = (content.len(), crate::digest::sha256(&content));
            let file = json!({ "path": root.path().join("f"), "size": size, "sha256": sha256 });
            assert_eq!(put(&content), json!({ "path": "f", "file": file }));
            // Answered from the cache.
            assert_eq!(sources.read(&root.path().into(), "f").unwrap()["file"], file);
        }
    }

    #[test]
    fn only_files_of_the_project_are_read() {
        let root = tempfile::tempdir().unwrap();
        let refused = |path: &str| Sources::default().read(&root.path().into(), path).unwrap_err();
        assert!(refused("../x").contains("not a path below") && refused("/etc/passwd").contains("not a path below"));
        assert!(refused("no").contains("cannot read") && refused(".").contains("is a folder, and not a file"));
    }
}
