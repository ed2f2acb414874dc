//! A world that is a map from path to text, with faults, and actions that live in it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::guarded_host::{FakeGuard, GuardedHost};
use crate::actions::{Action, ActionRef, OnInterrupt, Registry, Resource, Spec, Verdict};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World, host,
    perform_sequentially,
};
use crate::diff::Diff;
use crate::engine::testing;
use crate::event::{EventKind, Outputs, Problem};
use crate::journal::read;
use crate::plan::{Output, Role, RunsOn};

#[derive(Clone, Default)]
pub struct FakeWorld(Arc<Mutex<State>>);

impl From<FakeWorld> for Arc<dyn World> {
    fn from(world: FakeWorld) -> Self {
        Arc::new(world)
    }
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    values: HashMap<String, String>,
    writes: usize,
    acts: HashMap<String, usize>,
    refuses: HashMap<String, usize>,
    loses: HashMap<String, bool>,
    hangs: Vec<String>,
    appears: HashMap<String, (String, usize)>,
    silent_looks: Vec<usize>,
    looks: usize,
    rows: usize,
    unreadable: HashSet<String>,
    panics_at: HashSet<String>,
    hooks: HashMap<String, Hook>,
    journal: Option<PathBuf>,
    seen: Vec<String>,
    host: GuardedHost,
}

impl FakeWorld {
    /// The host with all that is on it; what is due on it has happened.
    fn host<T>(&self, act: impl FnOnce(&mut GuardedHost, &mut HashMap<String, String>) -> T) -> T {
        let mut state = self.state();
        let State { host, values, .. } = &mut *state;
        host.pass(values);
        act(host, values)
    }
    pub fn has_guard(&self) -> bool {
        self.host(|host, _| host.guard.is_some())
    }
    /// How often a guard was set up by a run.
    pub fn armed(&self) -> usize {
        self.state().host.armed
    }
    /// How often a new connection was made.
    pub fn logins(&self) -> usize {
        self.state().host.logins
    }
    /// A guard that somebody has left.
    pub fn arm(&self, unit: &str, time: Duration) {
        self.host(|host, values| host.guard = Some(FakeGuard::new("left", unit, time, values)));
    }
    pub fn reboot(&self) {
        self.host(|host, _| host.guard.as_mut().unwrap().alive = false);
    }
    pub fn restores_in_part(&self) {
        self.state().host.in_part = true;
    }
    /// A guard is taken away, and the answer is lost.
    pub fn lose_disarm(&self) {
        self.state().host.loses_disarm = true;
    }
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
    pub fn get(&self, path: &str) -> Option<String> {
        self.state().values.get(path).cloned()
    }
    pub fn put(&self, path: &str, value: &str) {
        self.state().values.insert(path.into(), value.into());
    }
    pub fn remove(&self, path: &str) {
        self.state().values.remove(path);
    }
    pub fn writes(&self) -> usize {
        self.state().writes
    }
    /// How often something was done that leaves no state behind.
    pub fn acts(&self, path: &str) -> usize {
        self.state().acts.get(path).copied().unwrap_or_default()
    }
    pub fn refuse(&self, path: &str) {
        self.refuse_times(path, usize::MAX);
    }
    pub fn refuse_times(&self, path: &str, times: usize) {
        self.state().refuses.insert(path.into(), times);
    }
    pub fn allow(&self, path: &str) {
        self.state().refuses.remove(path);
    }
    /// The connection breaks at the next write, after or before it took effect.
    pub fn lose(&self, path: &str, takes_effect: bool) {
        self.state().loses.insert(path.into(), takes_effect);
    }
    pub fn hang(&self, path: &str) {
        self.state().hangs.push(path.into());
    }
    pub fn appears_after(&self, path: &str, value: &str, looks: usize) {
        self.state().appears.insert(path.into(), (value.into(), looks));
    }
    /// Looks, counted from 1, that get no answer.
    pub fn silent_at(&self, looks: &[usize]) {
        self.state().silent_looks = looks.to_vec();
    }
    /// How often it was asked.
    pub fn looks(&self) -> usize {
        self.state().looks
    }
    /// How often several effects were sent together.
    pub fn rows(&self) -> usize {
        self.state().rows
    }
    /// To ask for it is an error.
    pub fn unreadable(&self, path: &str) {
        self.state().unreadable.insert(path.into());
    }
    /// Over its answer, who reads it panics.
    pub fn panics_at(&self, path: &str) {
        self.state().panics_at.insert(path.into());
    }
    pub fn on_write(&self, path: &str, hook: impl FnOnce() + Send + 'static) {
        self.state().hooks.insert(path.into(), Box::new(hook));
    }
    pub fn watch_journal(&self, path: &Path) {
        self.state().journal = Some(path.to_owned());
    }
    pub fn seen_in_journal(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    fn look(&self, path: &str) -> Option<String> {
        let mut state = self.state();
        if let Some((value, looks)) = state.appears.get_mut(path) {
            *looks -= 1;
            if *looks == 0 {
                let value = value.clone();
                state.values.insert(path.into(), value);
                state.appears.remove(path);
            }
        }
        state.values.get(path).cloned()
    }

    fn write(&self, path: &str, value: &str) -> Result<EffectResult, ConnectError> {
        let mut state = self.state();
        if let Some(journal) = &state.journal {
            let started = read(journal).unwrap().into_iter().filter_map(|e| match e.kind {
                EventKind::UnitStarted { unit, .. } => Some(format!("{unit} started")),
                _ => None,
            });
            state.seen = started.collect();
        }
        if let Some(times) = state.refuses.get_mut(path).filter(|t| **t > 0) {
            *times -= 1;
            return Err(ConnectError::failed("refused"));
        }
        let lost = state.loses.remove(path);
        if lost != Some(false) {
            if value.is_empty() {
                *state.acts.entry(path.into()).or_default() += 1;
            } else {
                state.values.insert(path.into(), value.into());
            }
            state.writes += 1;
        }
        match lost {
            Some(_) => Err(ConnectError::lost("the connection broke")),
            None => Ok(EffectResult::Host(host::CommandOutput::new(0, "", ""))),
        }
    }
}

#[async_trait]
impl World for FakeWorld {
    async fn probe(&self, target: &Target, probes: &[Probe], _: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        self.host(|host, _| host.reached(target))?;
        {
            let mut state = self.state();
            state.looks += 1;
            if state.silent_looks.contains(&state.looks) {
                return Err(ConnectError::unreachable("nobody there"));
            }
            let read = |probe: &Probe| testing::read_path(probe).is_some_and(|path| state.unreadable.contains(path));
            if probes.iter().any(read) {
                return Err(ConnectError::failed("permission denied"));
            }
        }
        let answer = |probe: &Probe| match probe {
            Probe::Host(host::Probe::Guard) => Fact::Host(host::Fact::Guard(self.host(|host, _| host.standing()))),
            Probe::Host(host::Probe::Run(run)) => {
                let path = run.command.to_string();
                let there = self.look(&path).is_some();
                Fact::Host(host::Fact::Run(host::CommandOutput::new(i32::from(!there), "", "")))
            }
            other => {
                let Some(path) = testing::read_path(other) else { panic!("this world knows no {other:?}") };
                let panics = self.state().panics_at.contains(path);
                assert!(!panics, "nonsense");
                testing::fact(self.look(path).as_deref())
            }
        };
        Ok(probes.iter().map(answer).collect())
    }

    async fn perform_pipeline(&self, target: &Target, row: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        if row.has_several() {
            self.state().rows += 1;
        }
        perform_sequentially(self, target, row, call).await
    }

    async fn perform(&self, target: &Target, effect: &Effect, _: &CallContext) -> Result<EffectResult, ConnectError> {
        self.host(|host, _| host.reached(target))?;
        let effect = &match effect {
            Effect::Host(host::Effect::Guard(host::GuardCommand::Within { effect, .. })) => {
                Effect::Host((**effect).clone())
            }
            Effect::Host(host::Effect::Guard(guard)) => {
                return self.host(|host, values| host.perform(guard, values)).map(EffectResult::Host);
            }
            other => other.clone(),
        };
        let [_, path, value] = testing::written(effect).expect("an effect of this world");
        let (hook, hangs) = {
            let mut state = self.state();
            (state.hooks.remove(&path), state.hangs.contains(&path))
        };
        if let Some(hook) = hook {
            hook();
        }
        if hangs {
            std::future::pending::<()>().await;
        }
        self.write(&path, &value)
    }
}

pub fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.add::<Act>();
    registry.add::<Set>();
    registry.add::<Told>();
    registry.add::<Wait>();
    registry.add::<Leave>();
    registry.add::<NeedsThing>();
    registry.add::<super::defects::Panics>();
    registry
}

fn seen(facts: &[Fact]) -> Option<&str> {
    testing::value(&facts[0])
}

/// Sets a path to a value.
#[derive(Deserialize, JsonSchema)]
struct Set {
    path: String,
    value: String,
    #[serde(default)]
    brings: Option<String>,
    #[serde(default)]
    only_looks: bool,
}

fn kind(kind: &str) -> Resource {
    Resource::Kind { group: "example".into(), kind: kind.into() }
}

impl Action for Set {
    fn probes(&self) -> Vec<Probe> {
        vec![testing::read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let before = seen(facts);
        if before == Some(&self.value) {
            return Verdict::Same { seen: String::new() };
        }
        Verdict::Change(Diff::field(&self.path, before.map(str::to_owned), Some(self.value.clone())))
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(done.is_empty().then(|| testing::write("", &self.path, &self.value)))
    }
    fn is_read_only(&self) -> bool {
        self.only_looks
    }
    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        [("value".to_owned(), json!(self.value))].into_iter().collect()
    }
    fn provides(&self, _: &[Fact]) -> Vec<Resource> {
        self.brings.iter().map(|k| kind(k)).collect()
    }
}

impl Spec for Set {
    const NAME: &'static str = "test.set";
    const SUMMARY: &'static str = "sets a path";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "value", about: "what was set" }];
    const EXAMPLE: &'static str = "";
}

/// Has its path set to a value, and looks whether that came about.
#[derive(Deserialize, JsonSchema)]
struct Told {
    path: String,
    value: String,
    /// What its path is set to in fact.
    #[serde(default)]
    sets: Option<String>,
}

impl Action for Told {
    fn probes(&self) -> Vec<Probe> {
        vec![testing::read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let before = seen(facts);
        if before == Some(&self.value) {
            return Verdict::Same { seen: String::new() };
        }
        Verdict::Change(Diff::field(&self.path, before.map(str::to_owned), Some(self.value.clone())))
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let value = self.sets.as_ref().unwrap_or(&self.value);
        Ok(done.is_empty().then(|| testing::write("", &self.path, value)))
    }
    fn is_verified(&self) -> bool {
        true
    }
    fn verdict_after(&self, facts: &[Fact]) -> Verdict {
        match seen(facts) {
            Some("soon") => Verdict::Wait { seen: "it is on its way".into() },
            _ => self.verdict(facts),
        }
    }
}

impl Spec for Told {
    const NAME: &'static str = "test.told";
    const SUMMARY: &'static str = "sets a path and looks at it";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = "";
}

/// Does something that leaves no trace to look for.
#[derive(Deserialize, JsonSchema)]
struct Act {
    path: String,
    #[serde(default)]
    rerun: bool,
    /// It tells afterwards that it changed nothing.
    #[serde(default)]
    idle: bool,
}

impl Action for Act {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }
    fn verdict(&self, _: &[Fact]) -> Verdict {
        Verdict::Change(Diff::act(&self.path))
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(done.is_empty().then(|| testing::write("", &self.path, "")))
    }
    fn changed(&self, done: &[EffectResult]) -> bool {
        !self.idle || done.is_empty()
    }
    fn on_interrupt(&self) -> Option<OnInterrupt> {
        Some(if self.rerun { OnInterrupt::Rerun } else { OnInterrupt::Stop })
    }
}

impl Spec for Act {
    const NAME: &'static str = "test.act";
    const SUMMARY: &'static str = "does something";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = "";
}

/// Waits until a path has a value.
#[derive(Deserialize, JsonSchema)]
struct Wait {
    path: String,
    value: String,
}

impl Action for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![testing::read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match seen(facts) {
            Some(value) if value == self.value => Verdict::Same { seen: String::new() },
            Some(value) => Verdict::Wait { seen: format!("{} is {value}", self.path) },
            None => Verdict::Wait { seen: format!("{} is absent", self.path) },
        }
    }
    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

impl Spec for Wait {
    const NAME: &'static str = "test.wait";
    const SUMMARY: &'static str = "waits for a value";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Check;
    const EXAMPLE: &'static str = "";
}

/// Asks its host to leave, and takes a note once it is back.
#[derive(Clone, Deserialize, JsonSchema)]
struct Leave {
    path: String,
    #[serde(skip)]
    #[schemars(skip)]
    asked: bool,
}

impl Leave {
    fn back(&self, facts: &[Fact]) -> bool {
        self.asked && seen(facts) == Some("back")
    }
    fn asked(&self) -> Option<ActionRef> {
        Some(Arc::new(Self { asked: true, ..self.clone() }))
    }
}

impl Action for Leave {
    fn probes(&self) -> Vec<Probe> {
        vec![testing::read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        if self.asked && !self.back(facts) {
            return Verdict::Wait { seen: "still here".into() };
        }
        Verdict::Change(Diff::act("leave"))
    }
    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let (path, value) =
            if self.back(facts) { (format!("{}.done", self.path), "1") } else { ("ask".to_owned(), "") };
        Ok(done.is_empty().then(|| testing::write("", &path, value)))
    }
    fn resumed(&self) -> Option<ActionRef> {
        self.asked()
    }
    fn after_disconnect(&self, facts: &[Fact]) -> Option<ActionRef> {
        if self.back(facts) { None } else { self.asked() }
    }
}

impl Spec for Leave {
    const NAME: &'static str = "test.leave";
    const SUMMARY: &'static str = "its host leaves";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = "";
}

/// Needs a kind to exist.
#[derive(Deserialize, JsonSchema)]
struct NeedsThing {
    kind: String,
}

impl Action for NeedsThing {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }
    fn verdict(&self, _: &[Fact]) -> Verdict {
        Verdict::Missing(kind(&self.kind))
    }
    fn next_effect(&self, _: &[Fact], _: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

impl Spec for NeedsThing {
    const NAME: &'static str = "test.thing";
    const SUMMARY: &'static str = "needs a kind";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = "";
}
