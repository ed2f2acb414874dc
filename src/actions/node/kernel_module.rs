//! `node.kernel_module`: loaded kernel modules, now and after each boot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::content::DesiredFile;
use super::effects::nth_effect;
use super::params::check_name;
use super::probes::{file_at, file_probe};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, Module, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Loads kernel modules, and makes each boot load them by one file per module in /etc/modules-load.d. A module that is
/// built into the kernel needs neither.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelModule {
    /// Names of the modules, such as "br_netfilter".
    pub modules: Vec<String>,
    /// Whether the modules are loaded at each boot, too.
    #[serde(default = "yes")]
    pub persist: bool,
}

fn yes() -> bool {
    true
}

impl Spec for KernelModule {
    const NAME: &'static str = "node.kernel_module";
    const SUMMARY: &'static str = "loaded kernel modules, now and after each boot";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "modules"
action = "node.kernel_module"
hosts = "pis"
become = true
modules = ["br_netfilter", "overlay"]
"#;

    fn rules(&self) -> Result<(), ParamError> {
        if self.modules.is_empty() {
            return refuse("modules", "give at least one module");
        }
        for (index, name) in self.modules.iter().enumerate() {
            check_name(&format!("modules/{index}"), name)?;
        }
        Ok(())
    }
}

/// State of one module.
struct ModuleState<'a> {
    name: &'a str,
    state: Module,
    file: Option<&'a host::File>,
}

impl KernelModule {
    fn states<'a>(&'a self, facts: &'a [Fact]) -> impl Iterator<Item = ModuleState<'a>> {
        let step = if self.persist { 2 } else { 1 };
        self.modules.iter().enumerate().map(move |(index, name)| {
            let state = match facts.get(index * step) {
                Some(Fact::Host(host::Fact::Module(state))) => *state,
                _ => Module::Absent,
            };
            let file = if self.persist { file_at(facts, index * step + 1) } else { None };
            ModuleState { name, state, file }
        })
    }

    fn diff(&self, facts: &[Fact]) -> Result<Diff, Problem> {
        let mut diff = Diff::default();
        for module in self.states(facts) {
            match module.state {
                Module::Absent => {
                    let message = format!(
                        "the kernel has no module {}: it is neither loaded nor built in, and modprobe does not find it",
                        module.name
                    );
                    return Err(Problem::new(message).hint(
                        "is the name right, is kmod installed, and does /lib/modules match the running kernel (a kernel update needs a reboot)?",
                    ));
                }
                Module::Available => {
                    diff.push_field(format!("module {}", module.name), None, Some("loaded".to_owned()))
                }
                Module::BuiltIn | Module::Loaded => {}
            }
            if let Some(change) = self.with_drop_in(&module, |wanted| wanted.diff(module.file)) {
                diff.0.extend(change?.0);
            }
        }
        Ok(diff)
    }

    fn with_drop_in<R>(&self, module: &ModuleState<'_>, with: impl FnOnce(&DesiredFile<'_>) -> R) -> Option<R> {
        if !self.persist || module.state == Module::BuiltIn {
            return None;
        }
        let attributes = Attributes { mode: Some(0o644), ..Attributes::default() };
        let (path, content) = (file_of(module.name), format!("{}\n", module.name));
        Some(with(&DesiredFile::text(&path, &content, attributes)))
    }
}

fn file_of(module: &str) -> String {
    format!("/etc/modules-load.d/{module}.conf")
}

impl Action for KernelModule {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for name in &self.modules {
            probes.push(Probe::Host(host::Probe::Module { name: name.clone() }));
            if self.persist {
                probes.push(file_probe(&file_of(name), Read::Content));
            }
        }
        probes
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        Verdict::judged(self.diff(facts), || {
            let built_in =
                self.states(facts).filter(|module| module.state == Module::BuiltIn).map(|module| module.name);
            let names: Vec<&str> = built_in.collect();
            if names.is_empty() { String::new() } else { format!("built in: {}", names.join(", ")) }
        })
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let mut effects = Vec::new();
        for module in self.states(facts) {
            if module.state == Module::Available {
                effects.push(host::Effect::LoadModule { name: module.name.to_owned() });
            }
            let write = self.with_drop_in(&module, |wanted| {
                wanted.diff(module.file).is_ok_and(|diff| !diff.is_empty()).then(|| wanted.effect(module.file))
            });
            effects.extend(write.flatten());
        }
        nth_effect(&effects, done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, blocked, build, change, effects, file, is_same, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::FileKind;

    fn state(state: Module) -> Fact {
        Fact::Host(host::Fact::Module(state))
    }

    fn step() -> KernelModule {
        build("modules = ['overlay', 'br_netfilter']").unwrap()
    }

    #[test]
    fn loaded_and_persistent_or_built_in_is_right() {
        let drop_in = file(Some(regular("br_netfilter\n", 0o644)));
        let facts = [state(Module::BuiltIn), file(None), state(Module::Loaded), drop_in];
        assert_eq!(step().verdict(&facts), Verdict::Same { seen: "built in: overlay".into() });
    }

    #[test]
    fn what_is_only_available_is_loaded_and_made_persistent() {
        let facts = [state(Module::BuiltIn), file(None), state(Module::Available), file(None)];
        let lines = change(&step().verdict(&facts));
        assert_eq!(lines[..2], ["+ module br_netfilter: loaded", "~ /etc/modules-load.d/br_netfilter.conf"]);
        let effects = effects(&step(), &facts);
        let [host::Effect::LoadModule { name }, host::Effect::WriteFile(write)] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((name.as_str(), write.content.as_slice()), ("br_netfilter", &b"br_netfilter\n"[..]));
    }

    #[test]
    fn what_is_loaded_already_is_only_made_persistent_unless_that_is_not_wanted() {
        let facts = [state(Module::Loaded), file(None), state(Module::BuiltIn), file(None)];
        assert!(matches!(&effects(&step(), &facts)[..], [host::Effect::WriteFile(_)]));
        let step = build::<KernelModule>("modules = ['overlay']\npersist = false").unwrap();
        assert_eq!(step.probes().len(), 1);
        assert!(is_same(&step.verdict(&[state(Module::Loaded)])));
        assert_eq!(change(&step.verdict(&[state(Module::Available)])), ["+ module overlay: loaded"]);
    }

    #[test]
    fn what_the_kernel_has_not_blocks() {
        let facts = [state(Module::Absent), file(None), state(Module::Loaded), file(None)];
        assert!(blocked(&step().verdict(&facts)).contains("no module overlay"));
        let directory = file(Some(at(FileKind::Directory, 0o755)));
        let facts = [state(Module::Loaded), directory, state(Module::Loaded), file(None)];
        assert!(blocked(&step().verdict(&facts)).contains("is a directory"));
    }

    #[test]
    fn names_are_names() {
        assert_eq!(refused::<KernelModule>("modules = []"), "/modules");
        assert_eq!(refused::<KernelModule>("modules = ['overlay', '../x']"), "/modules/1");
    }
}
