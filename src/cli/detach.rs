//! `rollout run --detach`: the run continues in a session of its own, so that closing the terminal does not end it.

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

/// Tells the spawned process that it is the detached run.
pub const FLAG: &str = "--detached";

static DETACHED: AtomicBool = AtomicBool::new(false);

/// Whether this process is the detached run.
pub fn is_detached() -> bool {
    DETACHED.load(Ordering::Relaxed)
}

/// Starts a new session, so that the terminal's hangup does not reach this process. Called by the detached run.
///
/// # Errors
/// When `setsid` fails.
pub fn leave_terminal() -> Result<(), Failure> {
    DETACHED.store(true, Ordering::Relaxed);
    match setsid() {
        // `EPERM`: this process already leads its session, since it re-executed itself to drop secrets from its
        // environment. Asking `getsid` instead would not work: in another PID namespace the session has no number.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(e) => Err(Failure::Output(e.into())),
    }
}

/// Spawns the same command in a new session, and returns once its run has started.
///
/// # Errors
/// When the process cannot be spawned.
pub fn start(selection: &Selection, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let loaded = load::load_checked(&selection.plan, options, terminal)?;
    let io = |e: std::io::Error| Failure::Problem(Problem::new(format!("cannot detach: {e}")), Exit::Failed);
    let store = loaded.store()?;
    let before = store.newest_id();
    let log = store.folder().join(format!("{}.log", store.new_run_id()));
    let file = private::open_options().write(true).create_new(true).open(&log).map_err(io)?;
    let arguments = std::env::args_os().skip(1).map(|a| if a == "--detach" { FLAG.into() } else { a });
    let mut child = Command::new(std::env::current_exe().map_err(io)?)
        .args(arguments)
        // The environment as the user set it; the child removes secrets from its own environment again.
        .envs(environment::handed_over())
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(io)?)
        .stderr(file)
        .spawn()
        .map_err(io)?;
    let Some(run) = wait_for_start(&mut child, &store, before.as_deref())? else {
        return report_early_end(&mut child, &log, terminal);
    };
    let (id, pid) = (&run.id, child.id());
    terminal.data(&format!("run {CYAN}{id}{CYAN:#} of {} continues in the background as process {pid}\n", run.plan))?;
    terminal.note(&format!("its state: rollout show {id}; its output: {}; to stop it: kill {pid}\n", log.display()));
    Ok(Exit::Ok)
}

/// Waits until the child's run has started; `None` if the child ended before. No timeout of its own: the child may be
/// waiting for a lock with `--wait-lock`.
fn wait_for_start(child: &mut Child, store: &Store, before: Option<&str>) -> Result<Option<RunInfo>, Failure> {
    loop {
        let ended = child.try_wait()?.is_some();
        match store.started_after(before) {
            Some(run) => return Ok(Some(run)),
            None if ended => return Ok(None),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn report_early_end(child: &mut Child, log: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
    terminal.note(&std::fs::read_to_string(log)?);
    let code = child.wait()?.code();
    let _ = std::fs::remove_file(log);
    let exits = [Exit::Ok, Exit::Usage, Exit::Unreachable, Exit::Locked, Exit::Interrupted];
    Ok(exits.into_iter().find(|exit| Some(*exit as i32) == code).unwrap_or(Exit::Failed))
}
