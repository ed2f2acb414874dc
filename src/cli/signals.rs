//! Signals that stop a run early.
//!
//! The first Ctrl-C lets running steps finish, the second cancels them, the third quits at once. SIGTERM and a lost
//! lock count as the first Ctrl-C; so does SIGHUP (the terminal was closed), unless the run is detached.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::terminal::{Terminal, YELLOW};

/// Counts the signals from now on. `lost` carries the reason if the run's lock is lost. With `ignore_hangup`, for
/// detached runs, SIGHUP is ignored.
///
/// # Errors
/// When a signal handler cannot be installed.
pub fn watch(
    terminal: Terminal,
    mut lost: watch::Receiver<Option<String>>,
    ignore_hangup: bool,
) -> std::io::Result<watch::Receiver<u8>> {
    let (sender, receiver) = watch::channel(0);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut count: u8 = 0;
        loop {
            let mut why = String::new();
            tokio::select! {
                Some(()) = interrupt.recv() => count += 1,
                Some(()) = terminate.recv() => count = count.max(1),
                Some(()) = hangup.recv() => {
                    if ignore_hangup {
                        continue;
                    }
                    count = count.max(1);
                }
                Ok(()) = lost.changed() => {
                    count = count.max(1);
                    why = lost.borrow().as_ref().map(|why| format!("the lock is lost: {why}; ")).unwrap_or_default();
                }
                else => return,
            }
            let action = match count {
                1 => "running steps finish, no new ones start; press Ctrl-C again to cancel the running ones",
                2 => "cancelling the running steps; press Ctrl-C again to quit at once",
                _ => std::process::exit(Exit::Interrupted as i32),
            };
            terminal.note(&format!("{YELLOW}stopping:{YELLOW:#} {why}{action}\n"));
            if sender.send(count).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
