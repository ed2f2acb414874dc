//! The actions of the tests' plans.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::actions::{Action, ActionRef, OnInterrupt, Registry, Resource, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::engine::testing::{OUTPUTS, output, read, spec, value, write};
use crate::event::{Outputs, Problem};
use crate::plan::ParamError;

pub fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.add::<Set>();
    registry.add::<Act>();
    registry.add::<Wait>();
    registry.add::<Leave>();
    registry
}

/// Sets a path to a value.
#[derive(Deserialize, JsonSchema)]
struct Set {
    path: String,
    value: String,
    /// What the path is set to in fact. Given, the action verifies its change.
    sets: Option<String>,
    #[serde(default)]
    read_only: bool,
    provides: Option<String>,
    /// A kind without which it cannot start.
    requires: Option<String>,
    /// The function in which the action panics; `end` is the call for an effect behind the last one.
    panics_in: Option<String>,
}

spec!(Set, "test.set", Controller, Change, {
    const OUTPUTS: &'static [crate::plan::Output] = OUTPUTS;
    fn rules(&self) -> Result<(), ParamError> {
        self.reach("rules");
        Ok(())
    }
});

impl Set {
    fn reach(&self, place: &str) {
        assert!(self.panics_in.as_deref() != Some(place), "the host answered nonsense, seen in {place}");
    }
}

fn kind(kind: &str) -> Resource {
    Resource::Kind { group: "example".into(), kind: kind.into() }
}

impl Action for Set {
    fn probes(&self) -> Vec<Probe> {
        self.reach("probes");
        vec![read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.reach("verdict");
        match (&self.requires, value(&facts[0])) {
            (Some(missing), _) => Verdict::Missing(kind(missing)),
            (_, Some(before)) if before == self.value => Verdict::Same { seen: String::new() },
            (_, before) => {
                Verdict::Change(Diff::field(&self.path, before.map(str::to_owned), Some(self.value.clone())))
            }
        }
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.reach(if done.is_empty() { "effect" } else { "end" });
        let value = self.sets.as_ref().unwrap_or(&self.value);
        Ok(done.is_empty().then(|| write("", &self.path, value)))
    }
    fn is_verified(&self) -> bool {
        self.sets.is_some()
    }
    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        match value(&facts[0]) {
            Some("soon") => Verdict::Wait { seen: "it is on its way".into() },
            _ => self.verdict(facts),
        }
    }
    fn is_read_only(&self) -> bool {
        self.read_only
    }
    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        self.reach("outputs");
        output(&self.value)
    }
    fn changed(&self, _: &[EffectResult]) -> bool {
        self.reach("changed");
        true
    }
    fn printed(&self, _: &[EffectResult]) -> String {
        self.reach("printed");
        String::new()
    }
    fn provides(&self, _: &[Fact]) -> Vec<Resource> {
        self.provides.iter().map(|name| kind(name)).collect()
    }
}

/// Does something that leaves no trace to probe for.
#[derive(Deserialize, JsonSchema)]
struct Act {
    path: String,
    #[serde(default)]
    rerun: bool,
    /// Whether it reports afterwards that it has changed nothing.
    #[serde(default)]
    idle: bool,
}

spec!(Act, "test.act", Controller, Change);

impl Action for Act {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }
    fn verdict(&self, _: &[Fact]) -> Verdict {
        Verdict::Change(Diff::act(&self.path))
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(done.is_empty().then(|| write("", &self.path, "")))
    }
    fn changed(&self, done: &[EffectResult]) -> bool {
        !self.idle || done.is_empty()
    }
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        Some(if self.rerun { OnInterrupt::Rerun } else { OnInterrupt::Stop })
    }
}

/// Waits until a path has a value.
#[derive(Deserialize, JsonSchema)]
struct Wait {
    path: String,
    value: String,
}

spec!(Wait, "test.wait", Controller, Check);

impl Action for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match value(&facts[0]) {
            Some(value) if value == self.value => Verdict::Same { seen: String::new() },
            Some(value) => Verdict::Wait { seen: format!("{} is {value}", self.path) },
            None => Verdict::Wait { seen: format!("{} is absent", self.path) },
        }
    }
    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

/// Asks its host to go away, as a reboot does, and leaves a mark once the host is back.
#[derive(Clone, Deserialize, JsonSchema)]
struct Leave {
    path: String,
    #[serde(skip)]
    #[schemars(skip)]
    asked: bool,
}

spec!(Leave, "test.leave", Controller, Change);

impl Leave {
    fn is_back(&self, facts: &[Fact]) -> bool {
        self.asked && value(&facts[0]) == Some("back")
    }
    fn after_request(&self) -> ActionRef {
        Arc::new(Self { asked: true, ..self.clone() })
    }
}

impl Action for Leave {
    fn probes(&self) -> Vec<Probe> {
        vec![read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.asked && !self.is_back(facts) {
            return Verdict::Wait { seen: "still here".into() };
        }
        Verdict::Change(Diff::act("leave"))
    }
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let (path, value) = if self.is_back(facts) { ("returned", "1") } else { ("ask", "") };
        Ok(done.is_empty().then(|| write("", path, value)))
    }
    fn resumed(&self) -> Option<ActionRef> {
        Some(self.after_request())
    }
    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        (!self.is_back(facts)).then(|| self.after_request())
    }
}
