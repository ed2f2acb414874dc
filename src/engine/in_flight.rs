//! The units that are running.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use petgraph::graph::NodeIndex;
use tokio::time::Instant;

use super::completion::Completion;
use super::run_spec::RunSpec;
use crate::actions::ActionRef;
use crate::event::{Outcome, UnitRef};
use crate::graph::Unit;
use crate::plan::Role;

pub struct InFlightUnit {
    pub unit: Unit,
    pub action: ActionRef,
    pub reference: UnitRef,
    pub definition: String,
    pub started: Instant,
    /// Whether an effect was sent.
    pub acted: Arc<AtomicBool>,
}

impl InFlightUnit {
    pub fn new(unit: Unit, action: ActionRef, reference: UnitRef, definition: String, acted: Arc<AtomicBool>) -> Self {
        Self { unit, action, reference, definition, started: Instant::now(), acted }
    }

    /// The end of the unit with nothing but an outcome; `outcome` takes whether an effect was sent.
    pub(super) fn interrupted(&self, outcome: impl FnOnce(bool) -> Outcome) -> Completion {
        let acted = self.acted.load(Ordering::SeqCst);
        let (definition, elapsed) = (Some(self.definition.clone()), self.started.elapsed());
        Completion { definition, elapsed, acted, ..Completion::new(outcome(acted)) }
    }
}

/// All units that run, by node. They are cancelled in this order.
#[derive(Default)]
pub struct InFlight(BTreeMap<NodeIndex, InFlightUnit>);

impl InFlight {
    pub fn insert(&mut self, node: NodeIndex, unit: InFlightUnit) {
        self.0.insert(node, unit);
    }

    pub fn get(&self, node: NodeIndex) -> Option<&InFlightUnit> {
        self.0.get(&node)
    }

    pub fn remove(&mut self, node: NodeIndex) -> Option<InFlightUnit> {
        self.0.remove(&node)
    }

    /// Takes all units out.
    pub fn take(&mut self) -> impl Iterator<Item = (NodeIndex, InFlightUnit)> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Whether a unit is running, at whichever node.
    pub fn runs(&self, reference: &UnitRef) -> bool {
        self.0.values().any(|running| running.reference == *reference)
    }

    /// Whether another running unit of the same host, outside of `pipeline`, edits a file that this action edits, too. The one
    /// that reads the file before the other has written it would undo the other's change. Checks edit nothing.
    pub(super) fn edits_files_of(
        &self,
        run: &RunSpec,
        action: &ActionRef,
        unit: &Unit,
        pipeline: &HashSet<NodeIndex>,
    ) -> bool {
        let is_change = |unit: &Unit, action: &ActionRef| run.role(run.step(unit), Some(action)) == Role::Change;
        let Some(host) = unit.runs_on.as_ref().filter(|_| is_change(unit, action)) else { return false };
        let is_beside = |(node, running): &(&NodeIndex, &InFlightUnit)| {
            running.unit.runs_on.as_ref().is_some_and(|other| Arc::ptr_eq(other, host)) && !pipeline.contains(node)
        };
        let mut beside = self.0.iter().filter(is_beside).map(|(_, running)| running).peekable();
        if beside.peek().is_none() {
            return false;
        }
        let edits = action.edits();
        beside.any(|other| {
            is_change(&other.unit, &other.action) && other.action.edits().iter().any(|file| edits.contains(file))
        })
    }
}
