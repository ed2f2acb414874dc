//! `rollout run --detach`: the run goes on in a session of its own, so that a closed terminal or laptop lid does not end it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::setsid;

use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::options::Options;
use super::selection::Selection;
use super::terminal::{CYAN, Terminal};
use crate::event::Problem;
use crate::journal::{RunInfo, Store};
use crate::private;
use crate::secret::environment;

/// The flag by which a child knows that it is the detached one.
pub const FLAG: &str = "--detached";

static DETACHED: AtomicBool = AtomicBool::new(false);

/// Whether this process is detached.
pub fn is_detached() -> bool {
    DETACHED.load(Ordering::Relaxed)
}

/// Leaves the terminal's session; for the child.
///
/// # Errors
/// When the system refuses.
pub fn leave_terminal() -> Result<(), Failure> {
    DETACHED.store(true, Ordering::Relaxed);
    match setsid() {
        // It has left before, and then began anew without the secrets in its environment. To ask for the session instead
        // would not do: one of another PID namespace has no number here, which `getsid` cannot say.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(e) => Err(Failure::Output(e.into())),
    }
}

/// Starts the same command again, away from the terminal, and returns once its run has begun.
///
/// # Errors
/// When it cannot be started.
pub fn start(selection: &Selection, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let loaded = load::checked(&selection.plan, options, terminal)?;
    let io = |e: std::io::Error| Failure::Problem(Problem::new(format!("cannot detach: {e}")), Exit::Failed);
    let store = loaded.store()?;
    let before = store.newest_id();
    let log = store.folder().join(format!("{}.log", store.new_run_id()));
    let file = private::file().write(true).create_new(true).open(&log).map_err(io)?;
    let arguments = std::env::args_os().skip(1).map(|a| if a == "--detach" { FLAG.into() } else { a });
    let mut child = Command::new(std::env::current_exe().map_err(io)?)
        .args(arguments)
        // As the user gave them: it takes them out of its own environment, too.
        .envs(environment::handed_over())
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(io)?)
        .stderr(file)
        .spawn()
        .map_err(io)?;
    let Some(run) = begun(&mut child, &store, before.as_deref())? else {
        return ended_at_once(&mut child, &log, terminal);
    };
    let (id, pid) = (&run.id, child.id());
    terminal.data(&format!("run {CYAN}{id}{CYAN:#} of {} goes on in the background, process {pid}\n", run.plan))?;
    terminal
        .note(&format!("how it stands: rollout show {id}; what it prints: {}; to end it: kill {pid}\n", log.display()));
    Ok(Exit::Ok)
}

/// Waits until the child's run has begun; `None` when the child ended before that. It may wait for a lock as long as it
/// was told to, and so does this.
fn begun(child: &mut Child, store: &Store, before: Option<&str>) -> Result<Option<RunInfo>, Failure> {
    loop {
        let ended = child.try_wait()?.is_some();
        match store.started_after(before) {
            Some(run) => return Ok(Some(run)),
            None if ended => return Ok(None),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn ended_at_once(child: &mut Child, log: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
    terminal.note(&std::fs::read_to_string(log)?);
    let code = child.wait()?.code();
    let _ = std::fs::remove_file(log);
    let known = [Exit::Ok, Exit::Usage, Exit::Unreachable, Exit::Locked, Exit::Interrupted];
    Ok(known.into_iter().find(|exit| Some(*exit as i32) == code).unwrap_or(Exit::Failed))
}
