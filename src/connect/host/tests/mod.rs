//! Tests with real shells and a real sshd.

mod effects;
mod guard;
mod limits;
mod local;
mod persistent;
mod pipelines;
mod preconnect;
mod protocol;
mod sandbox;
mod secrets;
mod ssh;
mod sshd;
mod staged;
mod sudo;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::connect::{CallContext, Target};

/// A call with a deadline that only a hanging test reaches.
fn call() -> CallContext {
    CallContext::silent(Duration::from_secs(20))
}

fn run(script: &str) -> Effect {
    Effect::Run(Run::shell(script))
}

/// A call, and the progress lines that it reports.
fn listening(timeout: Duration) -> (CallContext, Lines) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut call = CallContext::silent(timeout);
    call.progress = Arc::new(move |line| drop(sender.send(line)));
    (call, Lines(receiver))
}

/// Progress lines, as they arrive.
struct Lines(tokio::sync::mpsc::UnboundedReceiver<String>);

impl Lines {
    async fn recv(&mut self) -> Option<String> {
        let line = tokio::time::timeout(Duration::from_secs(20), self.0.recv()).await;
        line.expect("no line within 20 s, and no end")
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not so after 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is running; a zombie is not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Starts a command that prints its process id and hangs, drops the call, and checks that the process is gone.
async fn ends_when_dropped(backend: &Backend, target: &Target, script: &str) {
    let (call, mut lines) = listening(Duration::from_secs(30));
    let effect = run(script);
    let pid: u32 = {
        let mut running = Box::pin(backend.perform(target, &effect, &call));
        tokio::select! {
            done = &mut running => panic!("it ended: {done:?}"),
            line = lines.recv() => line.unwrap().parse().unwrap(),
        }
    };
    until("the cancelled process is gone", || !runs(pid)).await;
    let done = backend.perform(target, &run("echo again"), &self::call()).await.unwrap();
    assert_eq!(done.stdout.text(), "again");
}

/// Checks that a hanging process is gone after the call's deadline.
async fn ends_at_the_deadline(backend: &Backend, target: &Target) {
    let (call, mut lines) = listening(Duration::from_millis(1500));
    let started = Instant::now();
    let error = backend.perform(target, &run("echo $$; exec sleep 1000"), &call).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3));
    let pid = lines.recv().await.unwrap();
    assert!(matches!(&error, ConnectError::Lost { message, .. } if message.contains(&pid)), "{error:?}");
    until("the late process is gone", || !runs(pid.parse().unwrap())).await;
}
