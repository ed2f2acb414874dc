//! Secrets in environment variables: taken out of the environment before any other program is started, so that none
//! inherits them and nobody finds them in `/proc`.
//!
//! A process cannot safely change its own environment; it can replace itself by the same program without some variables,
//! and hand itself their values through a pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::LazyLock;

use rustix::io::{FdFlags, fcntl_setfd};

/// Says which process may read which descriptor; children inherit it, and are another process.
const VARIABLE: &str = "ROLLOUT_HANDED_OVER";

/// What a pipe surely takes without a reader, bytes.
const MAX_BYTES: usize = 64 * 1024;

static HANDED_OVER: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mark = std::env::var(VARIABLE).unwrap_or_default();
    let descriptor = mark.strip_prefix(&format!("{}:", std::process::id())).map(str::to_owned);
    let pipe = descriptor.and_then(|number| File::open(format!("/dev/fd/{number}")).ok());
    pipe.and_then(|pipe| serde_json::from_reader(pipe).ok()).unwrap_or_default()
});

/// Takes what was handed over. To be called before anything else is started.
pub fn receive() {
    LazyLock::force(&HANDED_OVER);
}

/// What was handed over, for programs that need all that the user gave.
pub fn handed_over() -> &'static BTreeMap<String, String> {
    &HANDED_OVER
}

/// The value of a variable.
///
/// # Errors
/// As [`std::env::var`].
pub fn var(name: &str) -> Result<String, std::env::VarError> {
    HANDED_OVER.get(name).cloned().map_or_else(|| std::env::var(name), Ok)
}

/// Goes on as a process whose environment lacks these variables: begins anew, or returns when none of them is set.
///
/// # Errors
/// When the program cannot be started once more; then they are still set.
pub fn hand_over(names: &BTreeSet<String>) -> io::Result<()> {
    let set: Vec<(&String, String)> = names.iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if set.is_empty() {
        return Ok(());
    }
    let mut values = HANDED_OVER.clone();
    values.extend(set.iter().map(|(name, value)| ((*name).clone(), value.clone())));
    let text = serde_json::to_vec(&values)?;
    if text.len() > MAX_BYTES {
        return Err(io::Error::other("they are too long to be handed over"));
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
