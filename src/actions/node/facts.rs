//! `node.facts`: facts about a host, and requirements on them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, System};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};
use crate::template::{Context, Templates};

/// Collects facts about a host for later steps, and checks the requirements of the plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Expressions over the facts, all of which must hold, such as "arch in ['aarch64', 'x86_64']" or "memory_total >=
    /// 3500".
    #[serde(default)]
    pub require: Vec<String>,
}

impl Spec for Facts {
    const NAME: &'static str = "node.facts";
    const SUMMARY: &'static str = "facts about a host, and whether it meets the plan's requirements";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Check;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "hostname", about: "the host's own name" },
        Output { name: "os_id", about: "ID of /etc/os-release: debian" },
        Output { name: "os_version", about: "VERSION_ID of /etc/os-release: \"12\"" },
        Output { name: "os_name", about: "PRETTY_NAME of /etc/os-release" },
        Output { name: "kernel", about: "kernel release" },
        Output { name: "arch", about: "machine: aarch64, x86_64" },
        Output { name: "model", about: "hardware model, as on a Raspberry Pi; else empty" },
        Output { name: "page_size", about: "size of a memory page in bytes" },
        Output { name: "cpus", about: "number of processors" },
        Output { name: "memory_total", about: "memory in MiB" },
        Output { name: "memory_available", about: "memory available without swapping, in MiB" },
        Output { name: "swap_total", about: "swap space in MiB" },
        Output { name: "boot_id", about: "identifier of this boot; changes with each boot" },
        Output { name: "uptime", about: "seconds since boot" },
        Output { name: "init", about: "name of process 1, such as systemd" },
        Output { name: "cgroup", about: "version of control groups in use: 1 or 2" },
        Output { name: "virtualization", about: "virtualization that systemd detects: kvm, docker, none" },
        Output { name: "user", about: "user that the step runs as" },
        Output { name: "uid", about: "number of that user" },
    ];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "facts"
action = "node.facts"
hosts = "pis"
require = ["arch in ['aarch64', 'x86_64']", "page_size == 4096", "memory_total >= 3500"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let known = values(&System::default());
        for (index, expression) in self.require.iter().enumerate() {
            let parameter = format!("require/{index}");
            let names = match Templates::new("").names_in_expression(expression) {
                Ok(names) => names,
                Err(error) => return refuse(&parameter, error.to_string()),
            };
            if let Some(name) = names.iter().find(|name| !known.contains_key(*name)) {
                let facts = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return refuse(&parameter, format!("there is no fact {name}; there are {facts}"));
            }
        }
        Ok(())
    }
}

impl Action for Facts {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Host(host::Probe::System)]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let Some(system) = system(facts) else {
            return Verdict::Blocked(Problem::new("the host did not answer the question for its facts"));
        };
        let values = values(system);
        let context = Context::new(&values);
        let templates = Templates::new("");
        for expression in &self.require {
            match templates.is_true(expression, &context) {
                Ok(true) => {}
                Ok(false) => {
                    let names = templates.names_in_expression(expression).ok();
                    let used = |name: &&String| names.as_ref().is_some_and(|n| n.iter().any(|n| n == *name));
                    let seen = values.keys().filter(used).map(|name| format!("{name} = {}", values[name]));
                    let seen = seen.collect::<Vec<_>>().join(", ");
                    return Verdict::Blocked(
                        Problem::new(format!("`{expression}` does not hold: {seen}"))
                            .hint("choose other hosts for the plan, or change what it requires"),
                    );
                }
                Err(error) => {
                    return Verdict::Blocked(Problem::new(format!("`{expression}` cannot be evaluated: {error}")));
                }
            }
        }
        let System { os_name, kernel, arch, cpus, memory_total, .. } = system;
        Verdict::Same { seen: format!("{os_name}, {kernel} {arch}, {cpus} CPUs, {memory_total} MiB") }
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }

    fn outputs(&self, facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        system(facts).map(values).unwrap_or_default()
    }
}

fn system(facts: &[Fact]) -> Option<&System> {
    match facts.first() {
        Some(Fact::Host(host::Fact::System(system))) => Some(system),
        _ => None,
    }
}

fn values(system: &System) -> Map<String, Value> {
    match serde_json::to_value(system) {
        Ok(Value::Object(values)) => values,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{blocked, build, refused};
    use super::*;

    fn facts() -> [Fact; 1] {
        let system = System {
            arch: "aarch64".into(),
            page_size: 16384,
            memory_total: 7800,
            os_name: "Debian".into(),
            kernel: "6.12".into(),
            cpus: 4,
            ..System::default()
        };
        [Fact::Host(host::Fact::System(Box::new(system)))]
    }

    #[test]
    fn what_is_required_and_holds_is_no_news() {
        let step = build::<Facts>("require = [\"arch in ['aarch64', 'x86_64']\", 'memory_total >= 3500']").unwrap();
        assert_eq!(step.verdict(&facts()), Verdict::Same { seen: "Debian, 6.12 aarch64, 4 CPUs, 7800 MiB".into() });
        assert_eq!(step.outputs(&facts(), &[])["page_size"], 16384);
        assert!(step.next_effect(&facts(), &[]).unwrap().is_none());
    }

    #[test]
    fn what_does_not_hold_blocks_with_the_values_seen() {
        let step = build::<Facts>("require = [\"page_size == 4096 and arch == 'aarch64'\"]").unwrap();
        let message = blocked(&step.verdict(&facts()));
        assert_eq!(
            message,
            "`page_size == 4096 and arch == 'aarch64'` does not hold: arch = \"aarch64\", page_size = 16384"
        );
    }

    #[test]
    fn wrong_expressions_are_found_without_a_host() {
        assert_eq!(refused::<Facts>("require = ['cpus > 1', 'pagesize == 4096']"), "/require/1");
        assert_eq!(refused::<Facts>("require = ['cpus >']"), "/require/0");
    }

    #[test]
    fn every_fact_is_a_documented_output() {
        let documented: Vec<&str> = Facts::OUTPUTS.iter().map(|output| output.name).collect();
        let mut values: Vec<String> = values(&System::default()).keys().cloned().collect();
        values.retain(|name| !documented.contains(&name.as_str()));
        assert_eq!((values, documented.len()), (Vec::<String>::new(), 19));
    }
}
