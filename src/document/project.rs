//! The files of a project: the one way to open what a plan or an inventory names. Only regular files are opened, without
//! waiting for anybody, only so much of them is read, and no link leads out of the project unless that is allowed.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The folder that relative paths start from, and what may be reached from there.
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
    /// Whether links may lead out of it.
    #[must_use]
    pub fn allow_outside(self, outside: bool) -> Self {
        Self { outside, ..self }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens a file.
    ///
    /// # Errors
    /// With all that there is to say: that the path or a link leads out of the project, that it is no file, or cannot be
    /// read.
    pub fn open(&self, path: &str) -> Result<(PathBuf, File, Metadata)> {
        let full = self.locate(path)?;
        let (file, meta) = open_file(&full).map_err(|e| unread(&full, &e))?;
        Ok((full, file, meta))
    }

    /// A file's text, of at most so many bytes.
    ///
    /// # Errors
    /// As [`Self::open`]; also when it has more, or is not text.
    pub fn text(&self, path: &str, limit: u64) -> Result<String> {
        let full = self.locate(path)?;
        read_text(&full, limit).map_err(|e| unread(&full, &e))
    }

    /// Where a folder lies.
    ///
    /// # Errors
    /// When the path or a link leads out of the project, or nothing is there.
    pub fn folder(&self, path: &str) -> Result<PathBuf> {
        self.locate(path)
    }

    /// Where a file lies that is to be written, from the root of the file system.
    ///
    /// # Errors
    /// When the path or a link leads out of the project.
    pub fn path_for_writing(&self, path: &str) -> Result<PathBuf> {
        let full = std::path::absolute(self.below(path)?)?;
        let there = full.ancestors().find(|p| p.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
        if there.starts_with(std::path::absolute(&self.root)?) {
            self.keep_inside(path, there)?;
        }
        Ok(full)
    }

    fn locate(&self, path: &str) -> Result<PathBuf> {
        let full = self.below(path)?;
        self.keep_inside(path, &full)?;
        Ok(full)
    }

    fn below(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside {
            let message = format!("`{path}` is not a path below {}", self.root.display());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(super::below(&self.root, path))
    }

    /// Refuses what a link leads out to.
    fn keep_inside(&self, path: &str, full: &Path) -> Result<()> {
        if self.outside {
            return Ok(());
        }
        let real = full.canonicalize().map_err(|e| unread(full, &e))?;
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        if real.starts_with(root.canonicalize().map_err(|e| unread(root, &e))?) {
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

fn unread(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

/// Opens a regular file to read it; neither waits for anybody, nor does anything to a device.
///
/// # Errors
/// When it is something else, or cannot be read.
pub fn open_file(path: &Path) -> Result<(File, Metadata)> {
    // Looked at before as well: opening some devices does something.
    regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = file.metadata()?;
    regular(&meta)?;
    Ok((file, meta))
}

/// All bytes of a regular file, which has at most so many.
///
/// # Errors
/// When it has more, is something else, or cannot be read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, meta) = open_file(path)?;
    let mut bytes = Vec::new();
    // Some files say that they are smaller than they are.
    if meta.len() <= limit {
        file.take(limit + 1).read_to_end(&mut bytes)?;
    }
    if meta.len().max(bytes.len() as u64) > limit {
        let most = if limit.is_multiple_of(1 << 20) && limit > 1 << 20 {
            format!("{} MiB", limit >> 20)
        } else {
            format!("{limit} bytes")
        };
        return Err(Error::other(format!("it has more than {most}")));
    }
    Ok(bytes)
}

/// The same of a text.
///
/// # Errors
/// As [`read_file`]; also when it is not text.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read_file(path, limit)?).map_err(|_| Error::other("it is not text in UTF-8"))
}

fn regular(meta: &Metadata) -> Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    Err(Error::other(format!("it is {}, and not a file", name(meta.file_type()))))
}

fn name(kind: FileType) -> &'static str {
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

    /// A project with something next to it.
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
    fn a_link_leads_out_only_where_that_is_allowed() {
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
    fn nothing_is_written_through_a_link_that_leads_out() {
        let (_folder, project) = project();
        assert_eq!(project.path_for_writing("new/folder/file").unwrap(), project.root().join("new/folder/file"));
        assert!(project.path_for_writing("file").is_ok() && project.path_for_writing("in").is_ok());
        for path in ["folder-out/new", "folder-out/new/deep", "out", "dangling", "dangling/x"] {
            assert!(project.path_for_writing(path).is_err(), "{path}");
        }
        assert!(project.clone().allow_outside(true).path_for_writing("folder-out/new").is_ok());
    }

    #[test]
    fn only_files_are_opened_and_only_so_much_is_read() {
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
        // It says that it has none.
        assert!(read_file(Path::new("/proc/self/maps"), 5).is_err());
    }
}
