//! Hosts, over ssh or on this machine: one connection per host, a pool of persistent `sh` processes on it, typed probes
//! and effects.
//!
//! Protocol, the same for ssh and the local machine: a plain `sh` reads requests from its standard input. A request
//! ([`frame`]; its reply: [`reply`]) is one compound command `{ …; }`, so that a shell runs either all of it or, when
//! the connection breaks, nothing. Its parts call the functions of `lib.sh`, `place.sh` and `files.sh`, which each
//! shell receives when it starts. After each part the shell prints a marker on standard output and standard error: a
//! byte that text hardly ever contains, the request's random 128-bit nonce, and the exit status. Everything between two
//! markers is output of the part, whatever its bytes. The first marker of a request says that the shell has begun;
//! anything before it (a banner, late output of an earlier command) is dropped.
//!
//! User scripts run in a subshell by `eval`, without the nonce, and with the payload or nothing on standard input:
//! neither `exit`, a syntax error nor reading all input harms the parts that follow. All probes of a call are one
//! request. Effects and their follow-up probes are one request too; the probes may go unanswered. The first request of
//! a new shell is sent along with the functions if it is read-only. Payloads are sent in base64 as words of a builtin,
//! large ones unencoded on a channel of their own; no payload is ever in an argument or an environment variable.
//!
//! Root's shells are started by sudo, which may need a password before the shell may be sent anything ([`sudo`]). The
//! connection is an ssh master of this run ([`master`]), or one kept by an earlier run ([`persistent`]).
//!
//! When a call is dropped or misses its deadline, a second channel ends the process group of its shell, and the shell
//! is discarded. The next call to the host waits for that. Commands left running by a lost connection are ended when
//! the host is reached again.
//!
//! Knows the inventory; never plans or actions, never prints.

mod command;
mod config;
mod connector;
mod effects;
mod expect;
mod exposed;
mod facts;
mod fetch;
mod frame;
mod guard;
mod handshakes;
mod link;
mod loan;
mod master;
mod may_change;
mod messages;
mod output;
mod output_budget;
mod payload;
mod persistent;
mod pipeline;
mod pool;
mod predict;
mod probes;
pub mod quote;
mod refusal;
mod remote;
mod replay;
mod reply;
mod request;
mod route;
mod shared;
mod shell;
mod slots;
mod splitter;
mod sudo;
mod terminate;
mod types;

#[cfg(test)]
mod tests;

pub use command::sysctl_file;
pub use effects::needs_own_channel;
pub use expect::is_comparable;
pub use facts::System;
pub use fetch::Fetch;
pub use output::Output;
pub use payload::{Bytes, Content};
pub use pipeline::Pipeline;
#[doc(hidden)]
pub use replay::replay;
pub use types::{
    Attributes, CONTENT_LIMIT, Command, CommandOutput, Effect, Fact, File, FileKind, GuardCommand, GuardPhase,
    GuardState, Module, Probe, Read, Run, WriteFile,
};

pub use crate::digest::sha256;
pub use crate::document::LocalFile;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use remote::Remote;
use request::Purpose;
use shared::Shared;

use super::{CallContext, ConnectError, Target};
use crate::inventory::{Connection, Host, Inventory};
use crate::secret::Secret;
use crate::sync::lock;

/// Access to all hosts of an inventory; connects to each on first use.
pub struct Backend {
    shared: Arc<Shared>,
    hosts: Mutex<HashMap<String, Arc<Remote>>>,
}

impl Backend {
    pub fn new(inventory: &Inventory) -> Self {
        Self { shared: Arc::new(Shared::new(inventory, None)), hosts: Mutex::default() }
    }

    /// A backend that keeps persistent connections in `folder`.
    #[cfg(test)]
    fn keeping_in(inventory: &Inventory, folder: std::path::PathBuf) -> Self {
        Self { shared: Arc::new(Shared::new(inventory, Some(folder))), hosts: Mutex::default() }
    }

    /// Starts connecting to `hosts` in the background. A later call to the host reports any failure.
    pub fn preconnect(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        hosts.into_iter().for_each(|host| self.remote_for_host(host).preconnect());
    }

    /// Sets the passwords for sudo, by the names of their secrets.
    pub fn set_sudo_passwords(&self, passwords: BTreeMap<String, Secret>) {
        self.shared.set_sudo_passwords(passwords);
    }

    /// Answers all probes in one round trip; a second one follows only for the hashes of files that are too large to be
    /// read whole.
    ///
    /// # Errors
    /// When the host cannot be reached or does not answer in time, a probe cannot be answered (no permission), or a
    /// probe would show a secret to other users of the host.
    pub async fn probe(
        &self,
        target: &Target,
        probes: &[Probe],
        call: &CallContext,
    ) -> Result<Vec<Fact>, ConnectError> {
        exposed::check_probes(probes)?;
        let batch = probes::Batch::new(probes);
        let done = self.remote(target).call(target.as_root, batch.request(), Purpose::ReadOnly, call).await?;
        self.facts(target, &batch, &done, call).await
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// When the host refuses the effect, or when the effect would show a secret to other users of the host. A failed
    /// [`Effect::Run`] is no error: the exit status is in the result.
    pub async fn perform(
        &self,
        target: &Target,
        effect: &Effect,
        call: &CallContext,
    ) -> Result<CommandOutput, ConnectError> {
        exposed::check_effect(effect)?;
        let remote = self.remote(target);
        let mut done = remote.call(target.as_root, effects::request(effect), Purpose::Change, call).await?;
        if let Effect::Guard(guard) = effect {
            return guard.judge(done);
        }
        let done = done.pop().ok_or_else(|| ConnectError::lost("the host gave no answer"))?;
        effects::judge(effect, done)
    }

    /// Parses the answers; a second request gets the hashes of files that were too large to be read whole.
    async fn facts(
        &self,
        target: &Target,
        batch: &probes::Batch<'_>,
        done: &[CommandOutput],
        call: &CallContext,
    ) -> Result<Vec<Fact>, ConnectError> {
        let mut facts = Vec::new();
        if let Some(rest) = batch.read(done, &mut facts)? {
            let done = self.remote(target).call(target.as_root, rest.request(), Purpose::ReadOnly, call).await?;
            rest.fill(&done, &mut facts)?;
        }
        Ok(facts)
    }

    /// Copies a file of a host to this machine.
    ///
    /// # Errors
    /// When the file cannot be read on the host or written here, or it changed since it was probed; nothing on this
    /// machine has changed then.
    pub async fn fetch(
        &self,
        target: &Target,
        fetch: &Fetch,
        call: &CallContext,
    ) -> Result<CommandOutput, ConnectError> {
        exposed::check([fetch.path.as_str()])?;
        fetch.perform(&self.remote(target), target.as_root, call).await
    }

    pub async fn close(&self) {
        let hosts = std::mem::take(&mut *lock(&self.hosts));
        futures::future::join_all(hosts.values().map(|remote| remote.close())).await;
    }

    fn remote(&self, target: &Target) -> Arc<Remote> {
        let remote = self.remote_for_host(target.host.clone().unwrap_or_else(controller));
        if target.reconnect {
            remote.reconnect();
        }
        remote
    }

    fn remote_for_host(&self, host: Arc<Host>) -> Arc<Remote> {
        let mut hosts = lock(&self.hosts);
        let name = host.name.clone();
        hosts.entry(name).or_insert_with(|| Arc::new(Remote::new(host, self.shared.clone()))).clone()
    }
}

/// The machine that runs rollout, for steps without `hosts`.
fn controller() -> Arc<Host> {
    Arc::new(Host {
        name: String::new(),
        address: "localhost".to_owned(),
        connection: Connection::Local,
        ..Host::default()
    })
}
