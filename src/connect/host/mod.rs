//! Hosts, over ssh or on this machine: one connection each, a persistent `sh` on it, typed probes and effects.
//!
//! The protocol, the same for both: a plain `sh` reads requests from its standard input. A request ([`frame`]) is one
//! compound command `{ …; }`, so that a shell runs all of it or, when the connection breaks, nothing. Its parts are calls
//! of the functions in `lib.sh`, which a shell is taught when it starts; after each part a marker goes to standard output
//! and standard error: a byte that text hardly has, the request's 128-bit random nonce, the exit status. All that lies
//! between two markers is output, whatever its bytes. The first marker of a request says that the shell has begun; what
//! came before it (a banner, a straggler's output) is dropped. Scripts of the user run in a subshell by `eval`, without
//! the nonce, with the payload or nothing on standard input; so neither `exit`, a syntax error nor a greedy reader hurts
//! what follows. All probes of a call are one request; effects and the probes of what follows them are one too, of which only
//! the effects must be answered. The first request of a shell that only looks goes out with the functions. Payloads are sent in base64 as words of a builtin, large ones as
//! they are on a channel of their own; nothing of them is in an argument, an environment or a file.
//!
//! Root's shells are started by sudo, which may have to be given a password before the shell may be given anything
//! ([`sudo`]). The connection is an ssh master of ours ([`master`]), or one that an earlier run kept ([`kept`]).
//!
//! A call that is dropped or out of time has its shell's process group ended by a second channel; the shell is then
//! thrown away. The next call waits for that. What a lost connection left running is ended when the host is reached again.
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
mod held;
mod link;
mod loan;
mod master;
mod may_change;
mod output;
mod payload;
mod persistent;
mod pipeline;
mod pool;
mod probes;
pub mod quote;
mod refusal;
mod remote;
mod replay;
mod request;
mod result;
mod route;
mod shared;
mod shell;
mod slots;
mod sudo;
mod terminate;
mod text;
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

/// The hosts; connects to each when it is first asked of.
pub struct Backend {
    shared: Arc<Shared>,
    hosts: Mutex<HashMap<String, Arc<Remote>>>,
}

impl Backend {
    /// For the hosts of an inventory.
    pub fn new(inventory: &Inventory) -> Self {
        Self { shared: Arc::new(Shared::new(inventory, None)), hosts: Mutex::default() }
    }

    /// The same, with a folder for the connections that are kept.
    #[cfg(test)]
    fn keeping_in(inventory: &Inventory, folder: std::path::PathBuf) -> Self {
        Self { shared: Arc::new(Shared::new(inventory, Some(folder))), hosts: Mutex::default() }
    }

    /// Begins to connect to hosts that will be asked of. What fails is told to who asks.
    pub fn warm(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        hosts.into_iter().for_each(|host| self.of(host).warm());
    }

    /// Tells sudo's passwords, by the names of the secrets that they are.
    pub fn know(&self, passwords: BTreeMap<String, Secret>) {
        self.shared.know(passwords);
    }

    /// Asks all questions in one round trip; a second one follows only when a file is too large to be read whole.
    ///
    /// # Errors
    /// When the host cannot be reached or does not answer in time, a question cannot be answered (no permission), or a
    /// secret would be seen by others there.
    pub async fn probe(
        &self,
        target: &Target,
        probes: &[Probe],
        call: &CallContext,
    ) -> Result<Vec<Fact>, ConnectError> {
        exposed::check_probes(probes)?;
        let asked = probes::Batch::new(probes);
        let done = self.remote(target).call(target.as_root, asked.request(), Purpose::Look, call).await?;
        self.facts(target, &asked, &done, call).await
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// All but [`Effect::Run`] fail when the host says no; its exit status is in the result. Nothing is done that would
    /// show a secret to others there.
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

    /// What the answers say, and those that were too large to be read whole.
    async fn facts(
        &self,
        target: &Target,
        asked: &probes::Batch<'_>,
        done: &[CommandOutput],
        call: &CallContext,
    ) -> Result<Vec<Fact>, ConnectError> {
        let mut facts = Vec::new();
        if let Some(rest) = asked.read(done, &mut facts)? {
            let done = self.remote(target).call(target.as_root, rest.request(), Purpose::Look, call).await?;
            rest.fill(&done, &mut facts)?;
        }
        Ok(facts)
    }

    /// Copies a file of a host to this machine.
    ///
    /// # Errors
    /// When the host or this machine says no, or the file is not what it was; then nothing has changed.
    pub async fn fetch(
        &self,
        target: &Target,
        fetch: &Fetch,
        call: &CallContext,
    ) -> Result<CommandOutput, ConnectError> {
        exposed::check([fetch.path.as_str()])?;
        fetch.perform(&self.remote(target), target.as_root, call).await
    }

    /// Ends all connections.
    pub async fn close(&self) {
        let hosts = std::mem::take(&mut *lock(&self.hosts));
        futures::future::join_all(hosts.values().map(|remote| remote.close())).await;
    }

    fn remote(&self, target: &Target) -> Arc<Remote> {
        let remote = self.of(target.host.clone().unwrap_or_else(controller));
        if target.reconnect {
            remote.renew();
        }
        remote
    }

    fn of(&self, host: Arc<Host>) -> Arc<Remote> {
        let mut hosts = lock(&self.hosts);
        let name = host.name.clone();
        hosts.entry(name).or_insert_with(|| Arc::new(Remote::new(host, self.shared.clone()))).clone()
    }
}

/// The machine that runs the tool, for steps without `hosts`.
fn controller() -> Arc<Host> {
    Arc::new(Host {
        name: String::new(),
        address: "localhost".to_owned(),
        connection: Connection::Local,
        ..Host::default()
    })
}
