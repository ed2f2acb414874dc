//! A file of the project that is taken as it is, of any size: a short text whole, of all else size and hash.

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

/// Texts up to this many bytes are read whole, so that a change of one can be shown.
const MAX_TEXT_BYTES: u64 = 256 * 1024;
/// How much of a file is in memory while it is hashed, bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Reads files; one that is the same as before is not hashed again for each host.
#[derive(Default)]
pub struct Sources(Mutex<HashMap<PathBuf, (Stamp, String)>>);

/// What tells a file from what lay there before.
type Stamp = [i64; 6];

impl Sources {
    /// The file at `path` of the project: `path` and `content`, or `path` and `file` with its own `path`, `size` and `sha256`.
    ///
    /// # Errors
    /// When it is no file of the project, or cannot be read.
    pub fn read(&self, project: &Project, path: &str) -> Result<Value, String> {
        let (full, mut file, meta) = project.open(path).map_err(|e| e.to_string())?;
        let wrong = |error: std::io::Error| format!("cannot read {}: {error}", full.display());
        let mut start = Vec::new();
        if meta.len() <= MAX_TEXT_BYTES {
            (&mut file).take(MAX_TEXT_BYTES + 1).read_to_end(&mut start).map_err(wrong)?;
            let text = String::from_utf8(start).map_err(std::string::FromUtf8Error::into_bytes);
            match text {
                Ok(content) if content.len() as u64 <= MAX_TEXT_BYTES => {
                    return Ok(json!({ "path": path, "content": content }));
                }
                Ok(content) => start = content.into_bytes(),
                Err(bytes) => start = bytes,
            }
        }
        let stamp = stamp(&meta);
        let mut known = lock(&self.0);
        let hash = match known.get(&full) {
            Some((of, hash)) if *of == stamp => hash.clone(),
            // No more than it had when it was looked at: some have no end.
            _ => hash(&start, file.take(meta.len().saturating_sub(start.len() as u64))).map_err(wrong)?,
        };
        known.insert(full.clone(), (stamp, hash.clone()));
        Ok(json!({ "path": path, "file": { "path": full, "size": meta.len(), "sha256": hash } }))
    }
}

fn stamp(meta: &Metadata) -> Stamp {
    let number = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
    [number(meta.ino()), number(meta.size()), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]
}

fn hash(start: &[u8], mut rest: Take<File>) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(start);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match rest.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_read_and_all_else_only_hashed() {
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
            // From memory.
            assert_eq!(sources.read(&root.path().into(), "f").unwrap()["file"], file);
        }
    }

    #[test]
    fn what_is_no_file_of_the_project_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let refused = |path: &str| Sources::default().read(&root.path().into(), path).unwrap_err();
        assert!(refused("../x").contains("not a path below") && refused("/etc/passwd").contains("not a path below"));
        assert!(refused("no").contains("cannot read") && refused(".").contains("is a folder, and not a file"));
    }
}
