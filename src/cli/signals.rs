//! Why a run stops early. Ctrl-C: once finishes what runs, twice cancels it, a third time quits at once. SIGTERM counts as
//! the first, and so do SIGHUP (the terminal was closed), unless the run is detached from it, and a lock that was lost.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::terminal::{Terminal, YELLOW};

/// Counts the signals from now on; `lost` tells why the run's lock is lost, if it comes to that. A run that is detached
/// from its terminal ignores that the terminal hangs up.
///
/// # Errors
/// When the system gives no signal handler.
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
            let says = match count {
                1 => "running steps finish, no more are started; again to cancel them",
                2 => "cancelling what runs; again to quit at once",
                _ => std::process::exit(Exit::Interrupted as i32),
            };
            terminal.note(&format!("{YELLOW}stopping:{YELLOW:#} {why}{says}\n"));
            if sender.send(count).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
