//! A world that is a map from path to value, the same on all hosts, with faults that a test orders.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::guarded_host::{FakeGuard, GuardedHost};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World, host,
    perform_sequentially,
};
use crate::engine::testing::{fact, read_path, written};

#[derive(Clone, Default)]
pub struct FakeWorld(Arc<Mutex<State>>);

impl From<FakeWorld> for Arc<dyn World> {
    fn from(world: FakeWorld) -> Self {
        Arc::new(world)
    }
}

#[derive(Default)]
struct State {
    values: HashMap<String, String>,
    writes: usize,
    acts: HashMap<String, usize>,
    /// How many more writes are refused.
    refused: HashMap<String, usize>,
    /// Whether the next write takes effect, whose answer is lost.
    lost: HashMap<String, bool>,
    hanging: HashSet<String>,
    /// Values that appear by themselves, and at which read.
    appearing: HashMap<String, (String, usize)>,
    silent_probes: Vec<usize>,
    probes: usize,
    pipelines: usize,
    unreadable: HashSet<String>,
    panicking: HashSet<String>,
    hooks: HashMap<String, Box<dyn FnOnce() + Send>>,
    host: GuardedHost,
}

/// What a test does to the world, and asks it.
impl FakeWorld {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
    /// The state of the guarded host after all that is due by now.
    pub fn host<T>(&self, act: impl FnOnce(&mut GuardedHost, &mut HashMap<String, String>) -> T) -> T {
        let mut state = self.state();
        let State { host, values, .. } = &mut *state;
        host.pass(values);
        act(host, values)
    }
    pub fn has_guard(&self) -> bool {
        self.host(|host, _| host.guard.is_some())
    }
    /// How often a run has armed a guard.
    pub fn armed(&self) -> usize {
        self.state().host.armed
    }
    /// Arms a guard that an earlier run has left.
    pub fn arm(&self, unit: &str, time: Duration) {
        self.host(|host, values| host.guard = Some(FakeGuard::new("left", unit, time, values)));
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
    /// How often something was done that leaves no trace.
    pub fn acts(&self, path: &str) -> usize {
        self.state().acts.get(path).copied().unwrap_or_default()
    }
    pub fn refuse(&self, path: &str) {
        self.refuse_times(path, usize::MAX);
    }
    pub fn refuse_times(&self, path: &str, times: usize) {
        self.state().refused.insert(path.into(), times);
    }
    pub fn allow(&self, path: &str) {
        self.state().refused.remove(path);
    }
    /// The connection breaks at the next write, before or after it has taken effect.
    pub fn lose(&self, path: &str, takes_effect: bool) {
        self.state().lost.insert(path.into(), takes_effect);
    }
    /// Writes at the path get no answer.
    pub fn hang(&self, path: &str) {
        self.state().hanging.insert(path.into());
    }
    /// A value appears by itself when the path is read for the `reads`th time.
    pub fn appears_at(&self, path: &str, value: &str, reads: usize) {
        self.state().appearing.insert(path.into(), (value.into(), reads));
    }
    /// Round trips of probes, counted from 1, for which the host is unreachable.
    pub fn silent_at(&self, probes: impl IntoIterator<Item = usize>) {
        self.state().silent_probes = probes.into_iter().collect();
    }
    /// The number of round trips for probes alone.
    pub fn probes(&self) -> usize {
        self.state().probes
    }
    /// The number of round trips with the effects of several units.
    pub fn pipelines(&self) -> usize {
        self.state().pipelines
    }
    /// Probes of the path fail.
    pub fn unreadable(&self, path: &str) {
        self.state().unreadable.insert(path.into());
    }
    /// The connection's code panics over the path's value.
    pub fn panic_at(&self, path: &str) {
        self.state().panicking.insert(path.into());
    }
    /// Calls `hook` at the next write at the path, before it takes effect.
    pub fn on_write(&self, path: &str, hook: impl FnOnce() + Send + 'static) {
        self.state().hooks.insert(path.into(), Box::new(hook));
    }
}

impl FakeWorld {
    fn read(&self, path: &str) -> Option<String> {
        let mut state = self.state();
        if let Some((value, reads)) = state.appearing.get_mut(path) {
            *reads -= 1;
            if *reads == 0 {
                let value = value.clone();
                state.values.insert(path.into(), value);
                state.appearing.remove(path);
            }
        }
        state.values.get(path).cloned()
    }

    fn write(&self, path: &str, value: &str) -> Result<EffectResult, ConnectError> {
        let mut state = self.state();
        if let Some(times) = state.refused.get_mut(path).filter(|times| **times > 0) {
            *times -= 1;
            return Err(ConnectError::failed("refused"));
        }
        let lost = state.lost.remove(path);
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
        self.host(|host, _| host.connect(target))?;
        {
            let mut state = self.state();
            state.probes += 1;
            if state.silent_probes.contains(&state.probes) {
                return Err(ConnectError::unreachable("nobody there"));
            }
            let mut paths = probes.iter().filter_map(read_path);
            if paths.any(|path| state.unreadable.contains(path)) {
                return Err(ConnectError::failed("permission denied"));
            }
        }
        let answer = |probe: &Probe| match probe {
            Probe::Host(host::Probe::Guard) => Fact::Host(host::Fact::Guard(self.host(|host, _| host.guard_state()))),
            Probe::Host(host::Probe::Run(run)) => {
                let exit = i32::from(self.read(&run.command.to_string()).is_none());
                Fact::Host(host::Fact::Run(host::CommandOutput::new(exit, "", "")))
            }
            other => {
                let Some(path) = read_path(other) else { panic!("this world knows no {other:?}") };
                let panics = self.state().panicking.contains(path);
                assert!(!panics, "nonsense");
                fact(self.read(path).as_deref())
            }
        };
        Ok(probes.iter().map(answer).collect())
    }

    async fn perform_pipeline(&self, target: &Target, pipeline: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        self.state().pipelines += usize::from(pipeline.has_several());
        perform_sequentially(self, target, pipeline, call).await
    }

    async fn perform(&self, target: &Target, effect: &Effect, _: &CallContext) -> Result<EffectResult, ConnectError> {
        self.host(|host, _| host.connect(target))?;
        let effect = match effect {
            Effect::Host(host::Effect::Guard(host::GuardCommand::Within { effect, .. })) => {
                &Effect::Host((**effect).clone())
            }
            Effect::Host(host::Effect::Guard(guard)) => {
                return self.host(|host, values| host.perform(guard, values)).map(EffectResult::Host);
            }
            other => other,
        };
        let [_, path, value] = written(effect).expect("an effect of this world");
        let hook = self.state().hooks.remove(&path);
        if let Some(hook) = hook {
            hook();
        }
        let hangs = self.state().hanging.contains(&path);
        if hangs {
            std::future::pending::<()>().await;
        }
        self.write(&path, &value)
    }
}
