//! Shells that are lent out, and ended when they are not given back.

use std::sync::Arc;

use super::frame::Frame;
use super::link::Link;
use super::payload::Content;
use super::pool::{Idle, Pool};
use super::shell::{ExchangeError, Pace};
use super::slots::ShellSlot;
use super::terminate::terminate;
use super::types::CommandOutput;
use crate::sync::lock;

/// A shell that is in use. Dropped without being given back, it is ended with all that runs in it.
pub struct ShellLoan {
    pool: Arc<Pool>,
    /// Its connection.
    pub link: (u64, Link),
    /// `None` once given back.
    borrowed: Option<(Idle, ShellSlot)>,
}

impl ShellLoan {
    /// Of an idle shell, or a new one.
    pub fn new(pool: &Arc<Pool>, idle: Idle, place: ShellSlot) -> Self {
        Self { pool: pool.clone(), link: idle.link.clone(), borrowed: Some((idle, place)) }
    }

    /// See [`Shell::exchange`](super::shell::Shell::exchange).
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        pace: Pace<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        match &mut self.borrowed {
            Some((idle, _)) => idle.shell.exchange(frame, payload, pace).await,
            None => Err(ExchangeError::default()),
        }
    }

    /// Returns the shell to the pool, unless its connection was given up.
    pub fn give_back(mut self) {
        if let Some((idle, _place)) = self.borrowed.take()
            && idle.shell.takes_more()
            && self.pool.connector.is_current(idle.link.0)
        {
            self.pool.put(idle);
        }
    }
}

impl Drop for ShellLoan {
    fn drop(&mut self) {
        let Some((idle, place)) = self.borrowed.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let pool = self.pool.clone();
        pool.ending.send_modify(|count| *count += 1);
        runtime.spawn(async move {
            let Idle { as_root, link: (_, link), shell } = idle;
            let identity = shell.identity;
            if link.alive().await {
                terminate(&pool.connector, &link, shell, as_root).await;
            } else {
                lock(&pool.lost).push((identity, as_root));
            }
            drop(place);
            pool.ending.send_modify(|count| *count -= 1);
        });
    }
}
