//! Shells that are lent out, and ended when they are not given back.

use std::sync::Arc;

use super::end::end;
use super::frame::Frame;
use super::link::Link;
use super::payload::Content;
use super::places::Place;
use super::remote::Remote;
use super::shell::{Broken, Pace, Shell};
use super::types::Done;
use crate::sync::lock;

/// A shell that nobody uses.
pub struct Idle {
    /// Whether it is root's.
    pub r#become: bool,
    /// Its connection, with that one's number.
    pub link: (u64, Link),
    /// It.
    pub shell: Shell,
}

/// A shell that is in use. Dropped without being given back, it is ended with all that runs in it.
pub struct Lease {
    remote: Arc<Remote>,
    /// Its connection.
    pub link: (u64, Link),
    /// `None` once given back.
    borrowed: Option<(Idle, Place)>,
}

impl Lease {
    /// Of an idle shell, or a new one.
    pub fn new(remote: &Arc<Remote>, idle: Idle, place: Place) -> Self {
        Self { remote: remote.clone(), link: idle.link.clone(), borrowed: Some((idle, place)) }
    }

    /// See [`Shell::exchange`].
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        pace: Pace<'_>,
    ) -> Result<Vec<Done>, Broken> {
        match &mut self.borrowed {
            Some((idle, _)) => idle.shell.exchange(frame, payload, pace).await,
            None => Err(Broken::default()),
        }
    }

    /// For the next one.
    pub fn give_back(mut self) {
        if let Some((idle, _place)) = self.borrowed.take()
            && idle.shell.takes_more()
            // One of a connection that was given up ends.
            && self.remote.is_current(idle.link.0)
        {
            lock(&self.remote.idle).push(idle);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((idle, place)) = self.borrowed.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let remote = self.remote.clone();
        remote.ending.send_modify(|count| *count += 1);
        runtime.spawn(async move {
            let Idle { r#become, link: (_, link), shell } = idle;
            let identity = shell.identity;
            if link.alive().await {
                end(&remote, &link, shell, r#become).await;
            } else {
                lock(&remote.lost).push((identity, r#become));
            }
            drop(place);
            remote.ending.send_modify(|count| *count -= 1);
        });
    }
}
