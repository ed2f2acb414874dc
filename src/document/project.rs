//! Opens the files that a plan or an inventory names. Only regular files are opened, without blocking; at most a given
//! number of bytes is read; and symbolic links may not point outside of the project unless that is allowed.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The folder that relative paths start from, and whether links may point outside of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
    outside: bool,
}

impl<P: Into<PathBuf>> From<P> for Project {
    fn from(root: P) -> Self {
        Self { root: root.into(), outside: false }
    }
}

impl Project {
    /// Sets whether links may point outside of the project.
    #[must_use]
    pub fn allow_outside(self, outside: bool) -> Self {
        Self { outside, ..self }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens a file of the project. Returns its full path too.
    ///
    /// # Errors
    /// With a complete message: when the path or a link points outside of the project, is not a regular file, or cannot
    /// be read.
    pub fn open(&self, path: &str) -> Result<(PathBuf, File, Metadata)> {
        let full = self.locate(path)?;
        let (file, metadata) = open_file(&full).map_err(|e| cannot_read(&full, &e))?;
        Ok((full, file, metadata))
    }

    /// The text of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::open`]; also when the file is larger or is not UTF-8.
    pub fn text(&self, path: &str, limit: u64) -> Result<String> {
        let full = self.locate(path)?;
        read_text(&full, limit).map_err(|e| cannot_read(&full, &e))
    }

    /// The full path of a folder.
    ///
    /// # Errors
    /// When the path or a link points outside of the project, or the folder does not exist.
    pub fn folder(&self, path: &str) -> Result<PathBuf> {
        self.locate(path)
    }

    /// The absolute path of a file that is to be written. The file need not exist.
    ///
    /// # Errors
    /// When the path or a link points outside of the project.
    pub fn path_for_writing(&self, path: &str) -> Result<PathBuf> {
        let full = std::path::absolute(self.below(path)?)?;
        let existing = full.ancestors().find(|p| p.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
        if existing.starts_with(std::path::absolute(&self.root)?) {
            self.keep_inside(path, existing)?;
        }
        Ok(full)
    }

    fn locate(&self, path: &str) -> Result<PathBuf> {
        let full = self.below(path)?;
        self.keep_inside(path, &full)?;
        Ok(full)
    }

    fn below(&self, path: &str) -> Result<PathBuf> {
        let is_below = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !is_below {
            let message = format!("`{path}` is not a path below {}", self.root.display());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(super::below(&self.root, path))
    }

    /// Refuses a path that leads outside of the project by a link, unless that is allowed.
    fn keep_inside(&self, path: &str, full: &Path) -> Result<()> {
        if self.outside {
            return Ok(());
        }
        let real = full.canonicalize().map_err(|e| cannot_read(full, &e))?;
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        if real.starts_with(root.canonicalize().map_err(|e| cannot_read(root, &e))?) {
            return Ok(());
        }
        let message = format!(
            "`{path}` leads out of the project by a link, to {}; the inventory can allow that: `allow_outside = true` \
             below [project]",
            real.display()
        );
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }
}

fn cannot_read(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

/// Opens a regular file for reading. Never blocks, and never opens a device.
///
/// # Errors
/// When the path is not a regular file, or cannot be read.
pub fn open_file(path: &Path) -> Result<(File, Metadata)> {
    // Checked before opening, too: opening some devices has side effects.
    require_regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = file.metadata()?;
    require_regular(&meta)?;
    Ok((file, meta))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// When the file is larger, is not a regular file, or cannot be read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, meta) = open_file(path)?;
    let mut bytes = Vec::new();
    // Some files report a size smaller than their content.
    if meta.len() <= limit {
        file.take(limit + 1).read_to_end(&mut bytes)?;
    }
    if meta.len().max(bytes.len() as u64) > limit {
        let limit_text = if limit.is_multiple_of(1 << 20) && limit > 1 << 20 {
            format!("{} MiB", limit >> 20)
        } else {
            format!("{limit} bytes")
        };
        return Err(Error::other(format!("it has more than {limit_text}")));
    }
    Ok(bytes)
}

/// Reads a regular file of at most `limit` bytes as text.
///
/// # Errors
/// As [`read_file`]; also when the file is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read_file(path, limit)?).map_err(|_| Error::other("it is not text in UTF-8"))
}

fn require_regular(meta: &Metadata) -> Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    Err(Error::other(format!("it is {}, and not a file", file_type_name(meta.file_type()))))
}

fn file_type_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A project, and a folder outside of it.
    fn project() -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        std::fs::create_dir_all(root.join("folder")).unwrap();
        std::fs::create_dir(folder.path().join("other")).unwrap();
        std::fs::write(folder.path().join("other/file"), "outside").unwrap();
        std::fs::write(root.join("file"), "inside").unwrap();
        symlink("../other/file", root.join("out")).unwrap();
        symlink("../other", root.join("folder-out")).unwrap();
        symlink("file", root.join("in")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("/dev/zero", root.join("endless")).unwrap();
        (folder, Project::from(root))
    }

    #[test]
    fn links_out_of_the_project_need_permission() {
        let (_folder, project) = project();
        assert_eq!(project.text("file", 10).unwrap(), "inside");
        assert_eq!(project.text("in", 10).unwrap(), "inside");
        for path in ["out", "folder-out/file"] {
            let error = project.text(path, 10).unwrap_err().to_string();
            assert!(error.contains(&format!("`{path}` leads out of the project by a link, to ")), "{error}");
            assert_eq!(project.clone().allow_outside(true).text(path, 10).unwrap(), "outside");
        }
        assert!(project.folder("folder").is_ok() && project.folder("folder-out").is_err());
        for path in ["../other/file", "/etc/passwd", "folder/../../other/file"] {
            let error = project.clone().allow_outside(true).text(path, 10).unwrap_err();
            assert!(error.to_string().contains("is not a path below"), "{error}");
        }
        assert_eq!(project.open("dangling").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn nothing_is_written_through_links_out_of_the_project() {
        let (_folder, project) = project();
        assert_eq!(project.path_for_writing("new/folder/file").unwrap(), project.root().join("new/folder/file"));
        assert!(project.path_for_writing("file").is_ok() && project.path_for_writing("in").is_ok());
        for path in ["folder-out/new", "folder-out/new/deep", "out", "dangling", "dangling/x"] {
            assert!(project.path_for_writing(path).is_err(), "{path}");
        }
        assert!(project.clone().allow_outside(true).path_for_writing("folder-out/new").is_ok());
    }

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let (_folder, project) = project();
        let project = project.allow_outside(true);
        let pipe = project.root().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = UnixListener::bind(project.root().join("socket")).unwrap();
        for (path, what) in [
            ("pipe", "it is a pipe, and not a file"),
            ("socket", "it is a socket, and not a file"),
            ("endless", "it is a device, and not a file"),
            ("folder", "it is a folder, and not a file"),
        ] {
            let error = project.open(path).unwrap_err().to_string();
            assert!(error.starts_with("cannot read ") && error.ends_with(what), "{error}");
        }
        assert!(project.text("file", 5).unwrap_err().to_string().ends_with("it has more than 5 bytes"));
        // The reported size is 0.
        assert!(read_file(Path::new("/proc/self/maps"), 5).is_err());
    }
}
