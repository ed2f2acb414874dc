//! The name of a unit of work, and matching it against what a person writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A unit: a step, on one host if it has `hosts`, and for one item if it has `for_each`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct UnitRef {
    /// Name of the phase.
    pub phase: String,
    /// Id of the step.
    pub step: String,
    /// Name of the item, for steps with `for_each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Name of the host, for steps with `hosts` but not `run_once`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl UnitRef {
    /// Whether the name that a person wrote matches this unit: `step`, `phase/step`, `step[item]`, `step@host` or
    /// `phase/step[item]@host`.
    pub fn is_meant_by(&self, name: &str) -> bool {
        // Only item names may contain `[`, `]`, `@` or `/`.
        let (name, item, rest) =
            match name.split_once('[').and_then(|(name, rest)| Some((name, rest.rsplit_once(']')?))) {
                Some((name, (item, rest))) => (name, Some(item), rest),
                None => name.find('@').map_or((name, None, ""), |at| (&name[..at], None, &name[at..])),
            };
        let (phase, step) = name.split_once('/').map_or((None, name), |(phase, step)| (Some(phase), step));
        let on_host = match rest.strip_prefix('@') {
            Some(host) => self.host.as_deref() == Some(host),
            None => rest.is_empty(),
        };
        self.step == step
            && on_host
            && phase.is_none_or(|phase| self.phase == phase)
            && item.is_none_or(|item| self.item.as_deref() == Some(item))
    }
}

impl std::fmt::Display for UnitRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.phase, self.step)?;
        self.item.as_ref().map_or(Ok(()), |item| write!(f, "[{item}]"))?;
        self.host.as_ref().map_or(Ok(()), |host| write!(f, "@{host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_meant_by_its_own_name_and_by_its_parts() {
        let unit = |item: Option<&str>| UnitRef {
            phase: "p".into(),
            step: "users".into(),
            item: item.map(str::to_owned),
            host: Some("pi-1".into()),
        };
        for item in ["ada", "a@b", "/etc/x", "a]b[c", "x=1", "[", "]"] {
            let unit = unit(Some(item));
            let named = [format!("users[{item}]"), format!("users[{item}]@pi-1"), unit.to_string()];
            for name in named.iter().map(String::as_str).chain(["users", "p/users", "users@pi-1", "p/users@pi-1"]) {
                assert!(unit.is_meant_by(name), "{name}");
            }
            for name in
                ["users[bob]", "users[]", "p/users[ada2]@pi-1", "users[ada]@pi-2", "q/users", "user", "users[ada]x"]
            {
                assert!(!unit.is_meant_by(name), "{name} is not {unit}");
            }
        }
        assert!(unit(None).is_meant_by("users@pi-1") && !unit(None).is_meant_by("users[ada]"));
    }
}
