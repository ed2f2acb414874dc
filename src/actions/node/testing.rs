//! Helpers for the tests of this folder.

use std::time::Duration;

use serde_json::Value;

use crate::actions::{Action, Registry, Spec, Verdict};
use crate::connect::host::{self, CommandOutput, FileKind};
use crate::connect::{self, CallContext, Effect, Fact, RealWorld, Target, World as _};
use crate::diff::Delta;
use crate::inventory::Inventory;
use crate::plan::ParamError;

/// Parses the parameters of a step, written as TOML.
pub fn build<T: Spec>(toml: &str) -> Result<T, ParamError> {
    let params: Value = toml::from_str(toml).unwrap();
    let action: T = serde_path_to_error::deserialize(&params)
        .map_err(|e| ParamError { pointer: e.path().to_string(), message: e.inner().to_string() })?;
    action.rules()?;
    Ok(action)
}

/// The parameter that is refused.
pub fn refused<T: Spec>(toml: &str) -> String {
    build::<T>(toml).err().unwrap_or_else(|| panic!("{toml} was taken")).pointer
}

/// The answer to a file probe.
pub fn file(file: Option<host::File>) -> Fact {
    Fact::Host(host::Fact::File(file))
}

/// An empty file of this kind, which root owns.
pub fn at(kind: FileKind, mode: u32) -> host::File {
    host::File { kind, ..super::content::tests::regular("", mode) }
}

/// The answer to a probe that runs a command.
pub fn ran(exit: i32, stdout: &str, stderr: &str) -> Fact {
    Fact::Host(host::Fact::Run(CommandOutput::new(exit, stdout, stderr)))
}

/// The lines of the diff; panics unless the verdict is a change.
pub fn change(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Change(diff) => diff.0.iter().flat_map(Delta::lines).collect(),
        other => panic!("no change: {other:?}"),
    }
}

/// The message of the problem; panics unless the verdict is blocked.
pub fn blocked(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Blocked(problem) => problem.message.clone(),
        other => panic!("not blocked: {other:?}"),
    }
}

pub fn is_same(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Same { .. })
}

/// All effects of a change, each of which succeeds.
pub fn effects(action: &dyn Action, facts: &[Fact]) -> Vec<host::Effect> {
    let (mut effects, mut done) = (Vec::new(), Vec::new());
    while let Some(effect) = action.next_effect(facts, &done).unwrap() {
        let Effect::Host(effect) = effect else { panic!("not an effect on a host") };
        effects.push(effect);
        done.push(connect::EffectResult::Host(CommandOutput::new(0, "", "")));
    }
    effects
}

/// Runs the command on this machine.
pub async fn perform(run: &host::Run) -> CommandOutput {
    let (world, target) = (RealWorld::new(&Inventory::default()), Target::default());
    let effect = Effect::Host(host::Effect::Run(run.clone()));
    match world.perform(&target, &effect, &CallContext::silent(Duration::from_secs(20))).await.unwrap() {
        connect::EffectResult::Host(done) => done,
        _ => panic!("not a host"),
    }
}

#[test]
fn every_example_is_a_step_that_its_action_takes() {
    use crate::plan::Catalog as _;
    let registry = Registry::standard();
    let mut count = 0;
    for kind in registry.actions().into_iter().filter(|kind| kind.name.starts_with("node.")) {
        let example: toml::Table = toml::from_str(kind.example).unwrap();
        let phase = example["phase"].as_table().unwrap().values().next().unwrap();
        let mut step = phase["step"][0].as_table().unwrap().clone();
        assert_eq!(step["action"].as_str(), Some(kind.name));
        for common in ["id", "action", "hosts", "become", "timeout"] {
            step.remove(common);
        }
        let params = serde_json::to_value(step).unwrap();
        assert_eq!((kind.validate)(&params), Ok(()), "{}", kind.name);
        count += 1;
    }
    assert!(count >= 29, "{count}");
}
