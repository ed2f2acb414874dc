//! Ctrl-C: once finishes what runs, twice cancels it, a third time quits at once. SIGTERM counts as the first, and so does
//! SIGHUP (the terminal was closed), unless the run is detached from it.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::detach;
use super::exit::Exit;
use super::terminal::{Terminal, YELLOW};

/// Counts the signals from now on.
///
/// # Errors
/// When the system gives no signal handler.
pub fn count(terminal: Terminal) -> std::io::Result<watch::Receiver<u8>> {
    let (sender, receiver) = watch::channel(0);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut count: u8 = 0;
        loop {
            tokio::select! {
                Some(()) = interrupt.recv() => count += 1,
                Some(()) = terminate.recv() => count = count.max(1),
                Some(()) = hangup.recv() => {
                    if detach::is_detached() {
                        continue;
                    }
                    count = count.max(1);
                }
                else => return,
            }
            let says = match count {
                1 => "running steps finish, no more are started; again to cancel them",
                2 => "cancelling what runs; again to quit at once",
                _ => std::process::exit(Exit::Interrupted as i32),
            };
            terminal.note(&format!("{YELLOW}stopping:{YELLOW:#} {says}\n"));
            if sender.send(count).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
