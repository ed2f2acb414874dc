//! `vault.secrets_engine`: a secrets engine is mounted at a path.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::path;
use crate::actions::lifetime::Lifetime;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::vault::Data;
use crate::connect::{Effect, EffectResult, Fact, Probe, vault};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// A secrets engine of this type is mounted at the path, with these settings. If an engine of another type is mounted
/// there, the step fails and changes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsEngine {
    /// Path of the mount, such as `pki_int`.
    pub path: String,
    /// Type of the engine: `pki`, `kv`, `transit` …
    pub r#type: String,
    /// Description for people. Default: left as it is.
    #[serde(default)]
    pub description: Option<String>,
    /// Lifetime of leases that ask for none. Default: left as it is.
    #[serde(default)]
    pub default_lease_ttl: Option<Lifetime>,
    /// Longest lifetime of a lease or certificate. Default: left as it is.
    #[serde(default)]
    pub max_lease_ttl: Option<Lifetime>,
    /// For `kv`: version of the engine, 1 or 2. Default: left as it is.
    #[serde(default)]
    pub version: Option<u8>,
}

impl Spec for SecretsEngine {
    const NAME: &'static str = "vault.secrets_engine";
    const SUMMARY: &'static str = "a secrets engine is mounted at a path";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "where it is mounted" }];
    const EXAMPLE: &'static str = r#"
[[phase.pki.step]]
id = "pki-mount"
action = "vault.secrets_engine"
path = "pki_int"
type = "pki"
max_lease_ttl = "43800h"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        match self.version {
            Some(_) if self.r#type != "kv" => refuse("version", "only a kv engine has a version"),
            Some(0 | 3..) => refuse("version", "a kv engine's version is 1 or 2"),
            _ if self.path.trim_matches('/').is_empty() => refuse("path", "it cannot be empty"),
            _ => Ok(()),
        }
    }
}

impl SecretsEngine {
    fn path(&self) -> &str {
        path(&self.path)
    }

    /// The settings: name, current value and wanted value, each as people read it.
    fn settings(&self, now: Option<&Map<String, Value>>) -> Vec<(&'static str, Option<String>, Option<String>)> {
        let config = |key: &str| now.and_then(|data| data.get("config")?.get(key)?.as_u64());
        let ttl = |key, wanted: Option<Lifetime>| {
            (key, config(key).map(|s| Lifetime::seconds(s).to_string()), wanted.map(|w| w.to_string()))
        };
        let text = |key: &str| now.and_then(|data| data.get(key)?.as_str()).map(str::to_owned);
        let version = now.and_then(|data| data.get("options")?.get("version")?.as_str()).map(str::to_owned);
        vec![
            ("description", text("description"), self.description.clone()),
            ttl("default_lease_ttl", self.default_lease_ttl),
            ttl("max_lease_ttl", self.max_lease_ttl),
            // A kv engine without this option has version 1.
            ("version", version.or(now.map(|_| "1".to_owned())), self.version.map(|v| v.to_string())),
        ]
    }

    fn create(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("type".into(), json!(self.r#type));
        if let Some(description) = &self.description {
            body.insert("description".into(), json!(description));
        }
        body.insert("config".into(), Value::Object(self.ttls()));
        body.extend(self.options());
        body
    }

    fn tune(&self) -> Map<String, Value> {
        let mut body = self.ttls();
        if let Some(description) = &self.description {
            body.insert("description".into(), json!(description));
        }
        body.extend(self.options());
        body
    }

    fn ttls(&self) -> Map<String, Value> {
        let mut config = Map::new();
        for (key, ttl) in [("default_lease_ttl", self.default_lease_ttl), ("max_lease_ttl", self.max_lease_ttl)] {
            if let Some(ttl) = ttl {
                config.insert(key.into(), json!(format!("{}s", ttl.as_seconds())));
            }
        }
        config
    }

    fn options(&self) -> Option<(String, Value)> {
        self.version.map(|version| ("options".to_owned(), json!({ "version": version.to_string() })))
    }
}

impl Action for SecretsEngine {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Vault(vault::Probe::Read { path: format!("sys/mounts/{}", self.path()) })]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let (path, wanted) = (self.path(), &self.r#type);
        let mut diff = Diff::default();
        let Some(now) = found(facts) else {
            diff.push_field(format!("secrets engine {path} type"), None, Some(wanted.clone()));
            for (name, _, wanted) in self.settings(None) {
                diff.push_field(format!("secrets engine {path} {name}"), None, wanted);
            }
            return Verdict::Change(diff);
        };
        let there = now.text("type").unwrap_or_default();
        if there != wanted {
            let problem = Problem::new(format!("the secrets engine at {path} is of type {there}, not {wanted}"));
            return Verdict::Blocked(problem.hint(format!(
                "choose another path; or, if nobody needs what is in it, remove it: vault secrets disable {path}"
            )));
        }
        for (name, now, wanted) in self.settings(Some(&now.0)) {
            let Some(wanted) = wanted else { continue };
            if name == "version" && now.as_deref() == Some("2") && wanted == "1" {
                let problem = Problem::new(format!("the kv engine at {path} is of version 2 and cannot go back to 1"));
                return Verdict::Blocked(problem.hint("set version = 2, or choose another path"));
            }
            diff.push_field(format!("secrets engine {path} {name}"), now, Some(wanted));
        }
        Verdict::judged(Ok(diff), || format!("{there} engine at {path}"))
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if !done.is_empty() {
            return Ok(None);
        }
        let path = self.path();
        let (path, body) = match found(facts) {
            None => (format!("sys/mounts/{path}"), self.create()),
            Some(_) => (format!("sys/mounts/{path}/tune"), self.tune()),
        };
        Ok(Some(Effect::Vault(vault::Effect::Write { path, body: Data(body) })))
    }

    /// Vault's answer to the write is empty.
    fn is_verified(&self) -> bool {
        true
    }

    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path()))])
    }
}

fn found(facts: &[Fact]) -> Option<&Data> {
    match facts {
        [Fact::Vault(vault::Fact::Found { data, .. })] => Some(data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::certificate::testing::{absent_fact, now};

    fn engine(toml: &str) -> SecretsEngine {
        toml::from_str(toml).unwrap()
    }

    fn mounted(data: Value) -> [Fact; 1] {
        let Value::Object(map) = data else { panic!("an object") };
        [Fact::Vault(vault::Fact::Found { data: Data(map), at: now() })]
    }

    fn lines(verdict: &Verdict) -> Vec<String> {
        let Verdict::Change(diff) = verdict else { panic!("{verdict:?} is no change") };
        diff.0.iter().flat_map(crate::diff::Delta::lines).collect()
    }

    fn write(engine: &SecretsEngine, facts: &[Fact]) -> (String, Value) {
        let effect = engine.next_effect(facts, &[]).unwrap();
        let Some(Effect::Vault(vault::Effect::Write { path, body })) = effect else { panic!("a write") };
        assert!(
            engine
                .next_effect(facts, &[EffectResult::Vault(vault::EffectResult::Written(Data::default()))])
                .unwrap()
                .is_none()
        );
        (path, Value::Object(body.0))
    }

    #[test]
    fn it_is_mounted_where_nothing_is() {
        let engine = engine("path = 'pki_int/'\ntype = 'pki'\nmax_lease_ttl = '43800h'");
        let facts = [absent_fact()];
        assert_eq!(
            lines(&engine.verdict(&facts)),
            ["+ secrets engine pki_int type: pki", "+ secrets engine pki_int max_lease_ttl: 1825d"]
        );
        let (path, body) = write(&engine, &facts);
        assert_eq!(path, "sys/mounts/pki_int");
        assert_eq!(body, json!({ "type": "pki", "config": { "max_lease_ttl": "157680000s" } }));
    }

    #[test]
    fn only_settings_that_differ_are_a_change() {
        let engine = engine("path = 'pki'\ntype = 'pki'\nmax_lease_ttl = '10h'\ndescription = 'root'");
        let facts = mounted(json!({ "type": "pki", "description": "root", "config": { "max_lease_ttl": 3600 } }));
        assert_eq!(lines(&engine.verdict(&facts)), ["~ secrets engine pki max_lease_ttl: 1h → 10h"]);
        let (path, body) = write(&engine, &facts);
        assert_eq!(path, "sys/mounts/pki/tune");
        assert_eq!(body, json!({ "max_lease_ttl": "36000s", "description": "root" }));
    }

    #[test]
    fn what_is_not_asked_for_is_left_alone() {
        let facts = mounted(json!({ "type": "pki", "description": "theirs", "config": { "max_lease_ttl": 3600 } }));
        let verdict = engine("path = 'pki'\ntype = 'pki'").verdict(&facts);
        assert_eq!(verdict, Verdict::Same { seen: "pki engine at pki".into() });
    }

    #[test]
    fn another_type_is_never_touched() {
        let facts = mounted(json!({ "type": "kv", "config": {} }));
        let Verdict::Blocked(problem) = engine("path = 'pki'\ntype = 'pki'").verdict(&facts) else { panic!("blocked") };
        assert_eq!(problem.message, "the secrets engine at pki is of type kv, not pki");
    }

    #[test]
    fn a_kv_engine_goes_up_a_version_but_not_down() {
        let two = engine("path = 'secret'\ntype = 'kv'\nversion = 2");
        let old = mounted(json!({ "type": "kv", "config": {}, "options": null }));
        assert_eq!(lines(&two.verdict(&old)), ["~ secrets engine secret version: 1 → 2"]);
        assert_eq!(write(&two, &old).1, json!({ "options": { "version": "2" } }));
        let new = mounted(json!({ "type": "kv", "config": {}, "options": { "version": "2" } }));
        assert!(matches!(two.verdict(&new), Verdict::Same { .. }));
        let one = engine("path = 'secret'\ntype = 'kv'\nversion = 1");
        assert!(matches!(one.verdict(&new), Verdict::Blocked(_)));
    }

    #[test]
    fn a_version_is_for_kv_only() {
        let error = engine("path = 'pki'\ntype = 'pki'\nversion = 2").rules().unwrap_err();
        assert_eq!(error.pointer, "/version");
    }
}
