//! `vault.health`: every node is unsealed, and one of them is active.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::actions::{Action, Spec, Verdict};
use crate::connect::vault::{Node, State};
use crate::connect::{Effect, EffectResult, Fact, Probe, vault};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, Role, RunsOn};

/// Every configured node is initialised and unsealed; one is active, the others are on standby.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Number of nodes that there must be. Default: the number of addresses in the inventory.
    #[serde(default)]
    pub nodes: Option<usize>,
}

impl Spec for Health {
    const NAME: &'static str = "vault.health";
    const SUMMARY: &'static str = "every Vault node is unsealed and one is active";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "active", about: "address of the active node" },
        Output { name: "version", about: "version of the active node" },
        Output { name: "nodes", about: "number of healthy nodes" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.prereq-vault.step]]
id = "vault-up"
action = "vault.health"
nodes = 3
timeout = "1m"
"#;
}

impl Action for Health {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Vault(vault::Probe::Health)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let nodes = nodes(facts);
        let wanted = self.nodes.unwrap_or(nodes.len());
        if nodes.len() != wanted {
            let message = format!("the inventory lists {} Vault nodes, {wanted} are asked for", nodes.len());
            return Verdict::Blocked(
                Problem::new(message).hint("correct [vault] addresses in the inventory, or nodes"),
            );
        }
        let bad: Vec<&Node> = nodes.iter().filter(|n| n.state != State::Active && !n.state.is_standby()).collect();
        if !bad.is_empty() {
            return Verdict::Blocked(Problem {
                defect: false,
                message: bad.iter().map(|n| format!("{} is {}", n.address, n.state)).collect::<Vec<_>>().join("; "),
                hint: bad.iter().find_map(|n| advice(n)),
                unreachable: bad.len() == nodes.len() && bad.iter().all(|n| matches!(n.state, State::Unreachable(_))),
            });
        }
        let active: Vec<&Node> = nodes.iter().filter(|n| n.state == State::Active).collect();
        match active[..] {
            [] => Verdict::Wait { seen: format!("{} nodes are unsealed, none is active yet: they elect", nodes.len()) },
            [active] => {
                Verdict::Same { seen: format!("{} nodes, active {} ({})", nodes.len(), active.address, active.version) }
            }
            _ => {
                let names = active.iter().map(|n| n.address.as_str()).collect::<Vec<_>>().join(" and ");
                let hint = "they are not one cluster: look at vault operator raft list-peers on each";
                Verdict::Blocked(Problem::new(format!("{names} are both active")).hint(hint))
            }
        }
    }

    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _: &[EffectResult]) -> Outputs {
        let nodes = nodes(facts);
        let mut outputs = Outputs::new();
        if let Some(active) = nodes.iter().find(|n| n.state == State::Active) {
            outputs.insert("active".into(), json!(active.address));
            outputs.insert("version".into(), json!(active.version));
        }
        outputs.insert("nodes".into(), json!(nodes.len()));
        outputs
    }
}

fn nodes(facts: &[Fact]) -> &[Node] {
    match facts {
        [Fact::Vault(vault::Fact::Health(nodes))] => nodes,
        _ => &[],
    }
}

fn advice(node: &Node) -> Option<String> {
    let address = &node.address;
    match &node.state {
        State::Sealed => Some(format!("unseal it: vault operator unseal -address={address}")),
        State::Uninitialised => Some(format!(
            "initialise the cluster once with vault operator init -address={address}; \
             a node that joins says this until it has reached the active one"
        )),
        State::Unreachable(why) if why.contains("certificate") => {
            Some("[vault] ca_cert in the inventory must be the CA that signed the API's certificate".to_owned())
        }
        State::Unreachable(_) => Some(format!("start it, or check that {address} can be reached from here")),
        State::RecoverySecondary => Some("list the primary cluster's nodes in [vault] addresses".to_owned()),
        State::Active | State::Standby | State::PerformanceStandby | State::UnexpectedStatus(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(states: &[State]) -> Verdict {
        judge_of(None, states)
    }

    fn judge_of(wanted: Option<usize>, states: &[State]) -> Verdict {
        let nodes = states.iter().zip(0..).map(|(state, n)| Node {
            address: format!("https://v{n}:8200"),
            state: state.clone(),
            version: "2.7.2".into(),
        });
        Health { nodes: wanted }.verdict(&[Fact::Vault(vault::Fact::Health(nodes.collect()))])
    }

    fn problem(verdict: Verdict) -> Problem {
        let Verdict::Blocked(problem) = verdict else { panic!("{verdict:?} is not blocked") };
        problem
    }

    #[test]
    fn one_active_and_the_rest_standing_by_is_right() {
        let verdict = judge(&[State::Standby, State::Active, State::PerformanceStandby]);
        assert_eq!(verdict, Verdict::Same { seen: "3 nodes, active https://v1:8200 (2.7.2)".into() });
    }

    #[test]
    fn an_election_is_waited_for() {
        let Verdict::Wait { seen } = judge(&[State::Standby, State::Standby]) else { panic!("waits") };
        assert_eq!(seen, "2 nodes are unsealed, none is active yet: they elect");
    }

    #[test]
    fn every_bad_node_is_named_and_the_first_advised_on() {
        let problem = problem(judge(&[State::Active, State::Sealed, State::Unreachable("connection refused".into())]));
        assert_eq!(problem.message, "https://v1:8200 is sealed; https://v2:8200 is unreachable: connection refused");
        assert_eq!(problem.hint.as_deref(), Some("unseal it: vault operator unseal -address=https://v1:8200"));
        assert!(!problem.unreachable);
    }

    #[test]
    fn only_a_cluster_that_is_gone_as_a_whole_is_unreachable() {
        let down = State::Unreachable("connection refused".into());
        assert!(problem(judge(&[down.clone(), down.clone()])).unreachable);
        assert!(!problem(judge(&[State::Uninitialised, down])).unreachable);
    }

    #[test]
    fn two_active_nodes_are_two_clusters() {
        let problem = problem(judge(&[State::Active, State::Active]));
        assert_eq!(problem.message, "https://v0:8200 and https://v1:8200 are both active");
    }

    #[test]
    fn the_number_of_nodes_counts() {
        let problem = problem(judge_of(Some(3), &[State::Active, State::Standby]));
        assert_eq!(problem.message, "the inventory lists 2 Vault nodes, 3 are asked for");
    }
}
