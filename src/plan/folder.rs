//! Reads all files of a folder, for parameters that name a folder of the project.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::document::{Project, open_file};

/// Maximum number of files, and of folders.
const MAX_FILES: usize = 1000;
/// Maximum size of all files together, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The files of the folder at `path` of the project, sorted by name: `path` below the folder, `content` in base64, and
/// whether the file is `executable`.
///
/// # Errors
/// When `path` is not a folder of the project, contains something other than files and folders, or is too large.
pub fn read(project: &Project, path: &str) -> Result<Vec<Value>, String> {
    let folder = project.folder(path).map_err(|e| e.to_string())?;
    let mut folders = 0;
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut todo = vec![String::new()];
    while let Some(relative) = todo.pop() {
        folders += 1;
        let directory = folder.join(&relative);
        let cannot_read = |error: std::io::Error| format!("cannot read {}: {error}", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(cannot_read)? {
            let entry = entry.map_err(cannot_read)?;
            let name = entry.file_name();
            let name = name.to_str().filter(|name| !name.contains('\n'));
            let name = name.ok_or_else(|| {
                format!("{} has a name that is not UTF-8 or contains a line break", entry.path().display())
            })?;
            let relative = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            let kind = entry.file_type().map_err(cannot_read)?;
            if kind.is_dir() {
                todo.push(relative);
                continue;
            }
            if !kind.is_file() {
                return Err(format!("{} is neither a file nor a folder", entry.path().display()));
            }
            bytes += usize::try_from(entry.metadata().map_err(cannot_read)?.len()).unwrap_or(usize::MAX);
            if files.len() == MAX_FILES || folders > MAX_FILES || bytes > MAX_BYTES {
                return Err(format!(
                    "{} has more than {MAX_FILES} files, {MAX_FILES} folders or {} MiB: copy large files with `node.file` and \
                     `source`, and many files as one archive with `node.archive`",
                    folder.display(),
                    MAX_BYTES >> 20
                ));
            }
            files.push((relative, entry));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let read = |(path, entry): (String, std::fs::DirEntry)| {
        let cannot_read = |error: std::io::Error| format!("cannot read {}: {error}", entry.path().display());
        let (file, meta) = open_file(&entry.path()).map_err(cannot_read)?;
        let mut content = Vec::new();
        file.take(meta.len()).read_to_end(&mut content).map_err(cannot_read)?;
        let executable = meta.permissions().mode() & 0o100 != 0;
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        Ok(json!({ "path": path, "content": content, "executable": executable }))
    };
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_read_sorted_and_with_their_execute_bit() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("f/b")).unwrap();
        std::fs::write(root.path().join("f/b/x"), b"\xff").unwrap();
        std::fs::write(root.path().join("f/a"), "").unwrap();
        std::fs::set_permissions(root.path().join("f/a"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let files = read(&root.path().into(), "f").unwrap();
        let wanted = [
            json!({ "path": "a", "content": "", "executable": true }),
            json!({ "path": "b/x", "content": "/w==", "executable": false }),
        ];
        assert_eq!(files, wanted);
    }

    #[test]
    fn paths_outside_of_the_project_are_refused() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(&root.path().into(), "../x").unwrap_err().contains("not a path below"));
        assert!(read(&root.path().into(), "/etc").unwrap_err().contains("not a path below"));
        assert!(read(&root.path().into(), "no").unwrap_err().contains("cannot read"));
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        assert!(read(&root.path().into(), ".").unwrap_err().contains("neither a file nor a folder"));
    }
}
