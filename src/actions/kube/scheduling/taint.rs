//! Taints of nodes and tolerations of pods. Pure.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::connect::kube::manifest::{list, text};

/// Taint of a cordoned node.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// Taints that every pod of a DaemonSet tolerates.
const DAEMON_TOLERATIONS: &[&str] = &[
    CORDONED,
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
];

/// A taint that a pod tolerates, written as in a pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint. Without a key, `Exists` matches all taints.
    #[serde(default)]
    key: String,
    /// How key and value are compared. Default: `Equal`.
    #[serde(default)]
    operator: Operator,
    /// Value of the taint.
    #[serde(default)]
    value: String,
    /// Effect of the taint. Default: all effects.
    #[serde(default)]
    effect: String,
    /// How long the pod tolerates the taint, seconds. Accepted and ignored: it does not affect where a pod may start.
    #[serde(default)]
    #[expect(dead_code, reason = "read, so that a pod's tolerations can be given as they are")]
    toleration_seconds: Option<i64>,
}

/// How a toleration matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Operator {
    /// Key and value are equal.
    #[default]
    Equal,
    /// The keys are equal.
    Exists,
}

impl Toleration {
    fn covers(&self, taint: &Taint) -> bool {
        let key = self.key == taint.key || (self.key.is_empty() && self.operator == Operator::Exists);
        let value = self.operator == Operator::Exists || self.value == taint.value;
        key && value && (self.effect.is_empty() || self.effect == taint.effect)
    }
}

/// A taint that keeps pods off its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    /// The taints of a node; a cordon counts as one.
    pub fn of(node: &Value) -> Vec<Self> {
        let mut taints: Vec<Self> = list(node, "/spec/taints")
            .iter()
            .map(|t| Self {
                key: text(t, "/key").to_owned(),
                value: text(t, "/value").to_owned(),
                effect: text(t, "/effect").to_owned(),
            })
            .filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"))
            .collect();
        let cordoned = node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or_default();
        if cordoned && !taints.iter().any(|t| t.key == CORDONED) {
            taints.push(Self { key: CORDONED.to_owned(), value: String::new(), effect: "NoSchedule".to_owned() });
        }
        taints
    }

    /// Whether pods with these tolerations may start on the node; `daemon`: they belong to a DaemonSet.
    pub fn is_tolerated(&self, tolerations: &[Toleration], daemon: bool) -> bool {
        (daemon && DAEMON_TOLERATIONS.contains(&self.key.as_str())) || tolerations.iter().any(|t| t.covers(self))
    }
}

impl std::fmt::Display for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, value, effect } = self;
        match (key.as_str(), value.as_str()) {
            (CORDONED, _) => write!(f, "is cordoned"),
            (_, "") => write!(f, "has the taint {key}:{effect}"),
            _ => write!(f, "has the taint {key}={value}:{effect}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tolerated(toleration: Value, taint: Value) -> bool {
        let taints = Taint::of(&json!({"spec": {"taints": [taint]}}));
        taints.iter().all(|t| t.is_tolerated(&[serde_json::from_value(toleration.clone()).unwrap()], false))
    }

    #[test]
    fn key_value_and_effect_must_match_where_they_are_given() {
        let taint = || json!({"key": "k", "value": "v", "effect": "NoSchedule"});
        assert!(tolerated(json!({"key": "k", "value": "v"}), taint()));
        assert!(!tolerated(json!({"key": "k"}), taint()));
        assert!(!tolerated(json!({"key": "k", "value": "other"}), taint()));
        assert!(tolerated(json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}), taint()));
        assert!(!tolerated(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), taint()));
        assert!(!tolerated(json!({"key": "other", "operator": "Exists"}), taint()));
        assert!(tolerated(json!({"operator": "Exists", "tolerationSeconds": 30}), taint()));
    }

    #[test]
    fn a_preference_keeps_nobody_off() {
        assert!(tolerated(json!({"key": "other"}), json!({"key": "k", "effect": "PreferNoSchedule"})));
    }

    #[test]
    fn daemons_run_on_cordoned_nodes_too() {
        let taints = Taint::of(&json!({"spec": {"unschedulable": true}}));
        assert_eq!(taints[0].to_string(), "is cordoned");
        assert!(!taints[0].is_tolerated(&[], false));
        assert!(taints[0].is_tolerated(&[], true));
    }
}
