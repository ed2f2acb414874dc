//! The real world: sends each probe and effect to the backend it is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::{Call, ConnectError, Done, Effect, Fact, Probe, Target, World, helm, host, http, kube, one_by_one, vault};
use crate::inventory::{Host, Inventory};
use crate::secret::Secret;

/// Everything an inventory leads to.
pub struct Real {
    hosts: host::Backend,
    kube: Arc<kube::Backend>,
    helm: helm::Backend,
    vault: vault::Backend,
    http: http::Backend,
}

impl Real {
    /// Nothing is connected before it is asked of.
    pub fn new(inventory: &Inventory) -> Self {
        let kube = Arc::new(kube::Backend::new(inventory));
        Self {
            hosts: host::Backend::new(inventory),
            helm: helm::Backend::new(inventory, Arc::clone(&kube)),
            kube,
            vault: vault::Backend::new(inventory),
            http: http::Backend::new(inventory),
        }
    }

    /// Begins to connect to hosts that will be asked of. What fails is told to who asks. Needs a runtime around it.
    pub fn warm(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        self.hosts.warm(hosts);
    }

    /// Tells sudo's passwords, by the names of the secrets that they are.
    pub fn know(&self, passwords: BTreeMap<String, Secret>) {
        self.hosts.know(passwords);
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.hosts.close().await;
    }

    async fn probe_one(&self, probe: &Probe, call: &Call) -> Result<Option<Fact>, ConnectError> {
        Ok(Some(match probe {
            Probe::Host(_) => return Ok(None),
            Probe::Controller(p) => {
                let mut facts = self.hosts.probe(&Target::default(), std::slice::from_ref(p), call).await?;
                Fact::Host(facts.pop().ok_or_else(|| ConnectError::failed("this machine gave no answer"))?)
            }
            Probe::Kube(p) => Fact::Kube(self.kube.probe(p, call).await?),
            Probe::Helm(p) => Fact::Helm(self.helm.probe(p, call).await?),
            Probe::Vault(p) => Fact::Vault(self.vault.probe(p, call).await?),
            Probe::Http(p) => Fact::Http(self.http.probe(p, call).await?),
        }))
    }
}

#[async_trait]
impl World for Real {
    async fn probe(&self, target: &Target, probes: &[Probe], call: &Call) -> Result<Vec<Fact>, ConnectError> {
        let of_host: Vec<host::Probe> =
            probes.iter().filter_map(|p| if let Probe::Host(p) = p { Some(p.clone()) } else { None }).collect();
        let host_facts =
            async { if of_host.is_empty() { Ok(Vec::new()) } else { self.hosts.probe(target, &of_host, call).await } };
        let others = try_join_all(probes.iter().map(|p| self.probe_one(p, call)));
        let (host_facts, others) = futures::try_join!(host_facts, others)?;
        let mut host_facts = host_facts.into_iter();
        let missing = || ConnectError::failed("the host answered fewer questions than were asked");
        others
            .into_iter()
            .map(|fact| match fact {
                Some(fact) => Ok(fact),
                None => host_facts.next().map(Fact::Host).ok_or_else(missing),
            })
            .collect()
    }

    async fn perform(&self, target: &Target, effect: &Effect, call: &Call) -> Result<Done, ConnectError> {
        Ok(match effect {
            Effect::Host(e) => Done::Host(self.hosts.perform(target, e, call).await?),
            Effect::Fetch(e) => Done::Host(self.hosts.fetch(target, e, call).await?),
            Effect::Kube(e) => Done::Kube(self.kube.perform(e, call).await?),
            Effect::Helm(e) => Done::Helm(self.helm.perform(e, call).await?),
            Effect::Vault(e) => Done::Vault(self.vault.perform(e, call).await?),
        })
    }

    async fn perform_all(&self, target: &Target, effects: &[Effect], call: &Call) -> (Vec<Done>, Option<ConnectError>) {
        let of_host: Option<Vec<host::Effect>> =
            effects.iter().map(|e| if let Effect::Host(e) = e { Some(e.clone()) } else { None }).collect();
        if let Some(effects) = of_host {
            let (done, error) = self.hosts.perform_all(target, &effects, call).await;
            return (done.into_iter().map(Done::Host).collect(), error);
        }
        one_by_one(self, target, effects, call).await
    }
}
