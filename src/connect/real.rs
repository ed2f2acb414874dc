//! The [`World`] of real runs: dispatches each probe and effect to its backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::{
    CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World, helm, host,
    http, kube, perform_sequentially, vault,
};
use crate::inventory::{Host, Inventory};
use crate::secret::Secret;

/// The backends for an inventory's hosts and endpoints.
pub struct RealWorld {
    hosts: host::Backend,
    kube: Arc<kube::Backend>,
    helm: helm::Backend,
    vault: vault::Backend,
    http: http::Backend,
}

impl RealWorld {
    /// Connects lazily: each backend when it is first used.
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

    /// Starts connecting to `hosts` in the background. A later call to the host reports any failure. Must run inside a
    /// tokio runtime.
    pub fn preconnect(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        self.hosts.preconnect(hosts);
    }

    /// Sets the passwords for sudo, by the names of their secrets.
    pub fn set_sudo_passwords(&self, passwords: BTreeMap<String, Secret>) {
        self.hosts.set_sudo_passwords(passwords);
    }

    pub async fn close(&self) {
        self.hosts.close().await;
    }

    async fn probe_one(&self, probe: &Probe, call: &CallContext) -> Result<Option<Fact>, ConnectError> {
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
impl World for RealWorld {
    async fn probe(&self, target: &Target, probes: &[Probe], call: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        let host_probes: Vec<host::Probe> =
            probes.iter().filter_map(|p| if let Probe::Host(p) = p { Some(p.clone()) } else { None }).collect();
        let host_facts = async {
            if host_probes.is_empty() { Ok(Vec::new()) } else { self.hosts.probe(target, &host_probes, call).await }
        };
        let others = try_join_all(probes.iter().map(|p| self.probe_one(p, call)));
        let (host_facts, others) = futures::try_join!(host_facts, others)?;
        let mut host_facts = host_facts.into_iter();
        let missing = || ConnectError::failed("the host answered fewer probes than were sent");
        others
            .into_iter()
            .map(|fact| match fact {
                Some(fact) => Ok(fact),
                None => host_facts.next().map(Fact::Host).ok_or_else(missing),
            })
            .collect()
    }

    async fn perform(
        &self,
        target: &Target,
        effect: &Effect,
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        Ok(match effect {
            Effect::Host(e) => EffectResult::Host(self.hosts.perform(target, e, call).await?),
            Effect::Fetch(e) => EffectResult::Host(self.hosts.fetch(target, e, call).await?),
            Effect::Kube(e) => EffectResult::Kube(self.kube.perform(e, call).await?),
            Effect::Helm(e) => EffectResult::Helm(self.helm.perform(e, call).await?),
            Effect::Vault(e) => EffectResult::Vault(self.vault.perform(e, call).await?),
            Effect::Expect(_) => {
                let expect = to_host_effect(effect)
                    .ok_or_else(|| ConnectError::failed("only a host's answers can be expected"))?;
                EffectResult::Host(self.hosts.perform(target, &expect, call).await?)
            }
        })
    }

    async fn perform_pipeline(&self, target: &Target, pipeline: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        let effects: Option<Vec<host::Effect>> = pipeline.effects.iter().map(to_host_effect).collect();
        let [on_success, on_failure] =
            [pipeline.on_success, pipeline.on_failure].map(|probes| probes.iter().map(to_host_probe).collect());
        let (Some(effects), Some(on_success), Some(on_failure)) = (effects, on_success, on_failure) else {
            return perform_sequentially(self, target, pipeline, call).await;
        };
        let on_result = |output| (pipeline.on_result)(EffectResult::Host(output));
        let pipeline =
            host::Pipeline { effects, timeouts: pipeline.timeouts, on_success, on_failure, on_result: &on_result };
        let (error, answers) = self.hosts.perform_pipeline(target, pipeline, call).await;
        let [on_success, on_failure] =
            answers.map(|facts| facts.map(|facts| facts.into_iter().map(Fact::Host).collect()));
        PipelineResult { error, on_success, on_failure }
    }
}

fn to_host_effect(effect: &Effect) -> Option<host::Effect> {
    match effect {
        Effect::Host(effect) => Some(effect.clone()),
        Effect::Expect(answers) => {
            let answer = |(probe, fact): &(Probe, Fact)| match fact {
                Fact::Host(fact) => to_host_probe(probe).map(|probe| (probe, fact.clone())),
                _ => None,
            };
            answers.iter().map(answer).collect::<Option<Vec<_>>>().map(host::Effect::Expect)
        }
        _ => None,
    }
}

fn to_host_probe(probe: &Probe) -> Option<host::Probe> {
    if let Probe::Host(probe) = probe { Some(probe.clone()) } else { None }
}
