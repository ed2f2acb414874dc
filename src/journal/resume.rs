//! What a run may keep of the one before it.

use std::collections::HashMap;

use crate::event::{Event, Kind, Outcome, Outputs, UnitRef};
use crate::plan::Role;
use crate::secret::MASK;

/// What an earlier run recorded of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Hash of the definition that ran.
    pub definition: String,
    /// How it stands.
    pub state: State,
    /// Its outputs, when it ended well.
    pub outputs: Outputs,
}

/// How a recorded unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It ended well.
    Succeeded,
    /// It ended badly, or never came to run.
    Failed,
    /// It was started and its end is not on record.
    Unknown,
}

/// What earlier runs recorded, by unit.
#[derive(Debug, Clone, Default)]
pub struct Memory(HashMap<(String, Option<String>), Recorded>);

impl Memory {
    /// From a run's events.
    pub fn of(events: &[Event]) -> Self {
        let mut memory = Self::default();
        for event in events {
            match &event.kind {
                Kind::UnitStarted { unit, definition, .. } => {
                    memory.set(unit, definition, State::Unknown, Outputs::new());
                }
                Kind::UnitFinished { unit, outcome, definition: Some(definition), outputs, .. } => {
                    let state = match outcome {
                        Outcome::Same { .. } | Outcome::Changed | Outcome::Kept => State::Succeeded,
                        Outcome::Unknown(_) => State::Unknown,
                        _ => State::Failed,
                    };
                    memory.set(unit, definition, state, outputs.clone());
                }
                _ => {}
            }
        }
        memory
    }

    fn set(&mut self, unit: &UnitRef, definition: &str, state: State, outputs: Outputs) {
        let recorded = Recorded { definition: definition.to_owned(), state, outputs };
        self.0.insert((unit.step.clone(), unit.host.clone()), recorded);
    }

    /// What is known of a unit; its phase does not matter, since steps may move between phases.
    pub fn get(&self, unit: &UnitRef) -> Option<&Recorded> {
        self.0.get(&(unit.step.clone(), unit.host.clone()))
    }
}

/// What to do with a unit of a resumed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is done: take its outputs from the record.
    Keep,
    /// Probe it, and do what its verdict says.
    Probe,
}

/// The decision table. `ancestor_changed` is whether something it depends on was changed by this run.
///
/// | recorded | definition | ancestors | action | decision |
/// |---|---|---|---|---|
/// | succeeded | same | none changed | changes something | keep |
/// | all else | | | | probe |
///
/// A check is always made again: it costs one look, and the world may have moved.
pub fn decide(recorded: Option<&Recorded>, definition: &str, ancestor_changed: bool, role: Role) -> Decision {
    match recorded {
        Some(Recorded { definition: before, state: State::Succeeded, outputs })
            if before == definition && !ancestor_changed && role == Role::Change && !holds_mask(outputs) =>
        {
            Decision::Keep
        }
        _ => Decision::Probe,
    }
}

/// Outputs that hold a secret are not on record; the step must be looked at again to have them.
fn holds_mask(outputs: &Outputs) -> bool {
    serde_json::to_string(outputs).map_or(true, |json| json.contains(MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(state: State) -> Recorded {
        Recorded { definition: "d".into(), state, outputs: Outputs::new() }
    }

    #[test]
    fn only_a_succeeded_unchanged_change_with_quiet_ancestors_is_kept() {
        let mut kept = Vec::new();
        for state in [State::Succeeded, State::Failed, State::Unknown] {
            for definition in ["d", "other"] {
                for ancestor_changed in [false, true] {
                    for role in [Role::Check, Role::Change] {
                        if decide(Some(&recorded(state)), definition, ancestor_changed, role) == Decision::Keep {
                            kept.push((state, definition, ancestor_changed, role));
                        }
                    }
                }
            }
        }
        assert_eq!(kept, [(State::Succeeded, "d", false, Role::Change)]);
        assert_eq!(decide(None, "d", false, Role::Change), Decision::Probe);
    }

    #[test]
    fn a_masked_output_is_not_kept() {
        let mut with_secret = recorded(State::Succeeded);
        with_secret.outputs.insert("token".into(), MASK.into());
        assert_eq!(decide(Some(&with_secret), "d", false, Role::Change), Decision::Probe);
    }
}
