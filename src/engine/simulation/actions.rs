//! The actions of simulated plans.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::actions::{Action, OnInterrupt, Registry, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe, host};
use crate::diff::Diff;
use crate::engine::testing::{OUTPUTS, output, read, spec, value as seen, write};
use crate::event::{Outputs, Problem};

pub fn registry() -> Registry {
    let mut registry = Registry::empty();
    registry.add::<Set>();
    registry.add::<Copy>();
    registry.add::<Do>();
    registry.add::<Check>();
    registry.add::<Wait>();
    registry
}

/// A command that writes a value as [`write`] does.
fn command(unit: &str, path: &str, value: &str) -> Effect {
    let argv = [unit, path, value].map(str::to_owned).to_vec();
    Effect::Host(host::Effect::Run(host::Run { command: host::Command::Argv(argv), ..host::Run::shell("") }))
}

/// Sets paths to a value, with one effect each.
#[derive(Deserialize, JsonSchema)]
struct Set {
    unit: String,
    paths: Vec<String>,
    value: String,
    commands: bool,
}

impl Action for Set {
    fn probes(&self) -> Vec<Probe> {
        self.paths.iter().map(|p| read(p)).collect()
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match facts.iter().find(|f| seen(f) != Some(&self.value)) {
            None => Verdict::Same { seen: String::new() },
            Some(_) => Verdict::Change(Diff::field(&self.unit, None, Some(self.value.clone()))),
        }
    }
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let mut missing = self.paths.iter().zip(facts).filter(|(_, f)| seen(f) != Some(&self.value));
        let effect = if self.commands { command } else { write };
        Ok(missing.nth(done.len()).map(|(path, _)| effect(&self.unit, path, &self.value)))
    }
    fn completes_at_once(&self) -> bool {
        self.unit.bytes().last().is_some_and(|last| last % 2 == 0)
    }
    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        output(&self.value)
    }
}

spec!(Set, "sim.set", Host, Change, {
    const OUTPUTS: &'static [crate::plan::Output] = OUTPUTS;
});

/// Copies the value of another path, which its definition does not have.
#[derive(Deserialize, JsonSchema)]
struct Copy {
    unit: String,
    from: String,
}

impl Action for Copy {
    fn probes(&self) -> Vec<Probe> {
        vec![read(&format!("{}.0", self.unit)), read(&self.from)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match (seen(&facts[0]), seen(&facts[1])) {
            (_, None) => Verdict::Blocked(Problem::new("nothing to copy")),
            (before, after) if before == after => Verdict::Same { seen: String::new() },
            (before, after) => {
                Verdict::Change(Diff::field(&self.unit, before.map(str::to_owned), after.map(str::to_owned)))
            }
        }
    }
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let path = format!("{}.0", self.unit);
        Ok(seen(&facts[1]).filter(|_| done.is_empty()).map(|value| write(&self.unit, &path, value)))
    }
}

spec!(Copy, "sim.copy", Host, Change);

/// Does something that leaves no trace to probe for.
#[derive(Deserialize, JsonSchema)]
struct Do {
    unit: String,
    value: String,
    on_interrupt: OnInterrupt,
}

impl Action for Do {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }
    fn verdict(&self, _: &[Fact]) -> Verdict {
        Verdict::Change(Diff::act(&self.value))
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(done.is_empty().then(|| command(&self.unit, "", &self.value)))
    }
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        Some(self.on_interrupt)
    }
    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        output(&self.value)
    }
}

spec!(Do, "sim.do", Host, Change, {
    const OUTPUTS: &'static [crate::plan::Output] = OUTPUTS;
});

/// Checks that a path has a value.
#[derive(Deserialize, JsonSchema)]
struct Check {
    path: String,
    value: String,
}

/// Waits until a path has a value.
#[derive(Deserialize, JsonSchema)]
struct Wait {
    path: String,
    value: String,
}

impl Action for Check {
    fn probes(&self) -> Vec<Probe> {
        vec![read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match seen(&facts[0]) {
            Some(value) if value == self.value => Verdict::Same { seen: String::new() },
            other => Verdict::Blocked(Problem::new(format!("{} is {other:?}, not {}", self.path, self.value))),
        }
    }
    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

spec!(Check, "sim.check", Host, Check);

impl Action for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match seen(&facts[0]) {
            Some(value) if value == self.value => Verdict::Same { seen: String::new() },
            other => Verdict::Wait { seen: format!("{} is {other:?}", self.path) },
        }
    }
    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

spec!(Wait, "sim.wait", Host, Check);
