//! Removes secrets from the environment before any other program starts, so that no child inherits them and nobody
//! finds them in `/proc`.
//!
//! A process cannot safely change its own environment. Instead it re-executes itself without these variables, and
//! passes their values to itself through a pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::LazyLock;

use rustix::io::{FdFlags, fcntl_setfd};

/// Holds the process id and the pipe's descriptor. Children inherit the variable, but have another process id.
const VARIABLE: &str = "ROLLOUT_HANDED_OVER";

/// The most bytes that any pipe takes before someone reads.
const MAX_BYTES: usize = 64 * 1024;

static HANDED_OVER: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mark = std::env::var(VARIABLE).unwrap_or_default();
    let descriptor = mark.strip_prefix(&format!("{}:", std::process::id())).map(str::to_owned);
    let pipe = descriptor.and_then(|number| File::open(format!("/dev/fd/{number}")).ok());
    pipe.and_then(|pipe| serde_json::from_reader(pipe).ok()).unwrap_or_default()
});

/// Reads the values from the pipe. Must be called before anything else starts.
pub fn receive() {
    LazyLock::force(&HANDED_OVER);
}

/// The removed variables, for programs that need the user's full environment.
pub fn handed_over() -> &'static BTreeMap<String, String> {
    &HANDED_OVER
}

/// The value of a variable, also of a removed one.
///
/// # Errors
/// As [`std::env::var`].
pub fn var(name: &str) -> Result<String, std::env::VarError> {
    HANDED_OVER.get(name).cloned().map_or_else(|| std::env::var(name), Ok)
}

/// Re-executes the program without these variables; returns if none of them is set.
///
/// # Errors
/// When the program cannot be executed again; the variables are then still set.
pub fn hand_over(names: &BTreeSet<String>) -> io::Result<()> {
    let set: Vec<(&String, String)> = names.iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if set.is_empty() {
        return Ok(());
    }
    let mut values = HANDED_OVER.clone();
    values.extend(set.iter().map(|(name, value)| ((*name).clone(), value.clone())));
    let text = serde_json::to_vec(&values)?;
    if text.len() > MAX_BYTES {
        return Err(io::Error::other("together they are longer than 64 KiB"));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&text)?;
    drop(writer);
    fcntl_setfd(&reader, FdFlags::empty())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    command.env(VARIABLE, format!("{}:{}", std::process::id(), reader.as_raw_fd()));
    for (name, _) in &set {
        command.env_remove(name);
    }
    Err(command.exec())
}
