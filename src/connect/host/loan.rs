//! Shells lent to requests; a shell that is not returned is ended.

use std::sync::Arc;

use super::frame::Frame;
use super::link::Link;
use super::payload::Content;
use super::pool::{Idle, Pool};
use super::reply::{ExchangeError, ExchangeOptions};
use super::slots::ShellSlot;
use super::terminate::terminate;
use super::types::CommandOutput;
use crate::sync::lock;

/// A shell in use. If dropped without [`ShellLoan::give_back`], the shell and everything that runs in it are ended.
pub struct ShellLoan {
    pool: Arc<Pool>,
    /// The shell's connection and its number.
    pub link: (u64, Link),
    /// `None` after [`ShellLoan::give_back`].
    borrowed: Option<(Idle, ShellSlot)>,
}

impl ShellLoan {
    pub fn new(pool: &Arc<Pool>, idle: Idle, slot: ShellSlot) -> Self {
        Self { pool: pool.clone(), link: idle.link.clone(), borrowed: Some((idle, slot)) }
    }

    /// See [`Shell::exchange`](super::shell::Shell::exchange).
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        options: ExchangeOptions<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        match &mut self.borrowed {
            Some((idle, _)) => idle.shell.exchange(frame, payload, options).await,
            None => Err(ExchangeError::default()),
        }
    }

    /// Returns the shell to the pool, if the shell can take another request and its connection is still current.
    pub fn give_back(mut self) {
        if let Some((idle, _place)) = self.borrowed.take()
            && idle.shell.is_reusable()
            && self.pool.connector.is_current(idle.link.0)
        {
            self.pool.put(idle);
        }
    }
}

impl Drop for ShellLoan {
    fn drop(&mut self) {
        let Some((idle, slot)) = self.borrowed.take() else { return };
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
            drop(slot);
            pool.ending.send_modify(|count| *count -= 1);
        });
    }
}
