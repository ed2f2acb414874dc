//! Where a journal's bytes go: a file, or in tests something that fails when it is told to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::private;

/// An append-only store of bytes.
pub trait Disk: Send {
    /// Appends; a part of `bytes` may be there after a failure.
    ///
    /// # Errors
    /// What the system says, for example that no space is left.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was appended durable. After a failure nobody knows which part of it is.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a new file, whose name is durable too.
///
/// # Errors
/// When it exists or cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    let file = private::file().write(true).create_new(true).open(path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}
