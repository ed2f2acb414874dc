//! The storage behind a journal: a file, or in tests a fake that fails on demand.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::private;

pub trait Disk: Send {
    /// Appends bytes. After a failure, a part of them may have been written.
    ///
    /// # Errors
    /// The error of the system, for example that no space is left.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all appended bytes durable. After a failure it is unknown which part of them is durable.
    ///
    /// # Errors
    /// The error of the system.
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

/// Creates a new file and makes its directory entry durable.
///
/// # Errors
/// When the file exists or cannot be created.
pub fn create(path: &Path) -> io::Result<File> {
    let file = private::open_options().write(true).create_new(true).open(path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}
