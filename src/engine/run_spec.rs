//! The parts of a run that never change.

use std::sync::Arc;

use super::options::Options;
use crate::actions::{ActionRef, Registry};
use crate::event::{Mode, UnitRef};
use crate::graph::{Graph, Unit};
use crate::plan::{Catalog as _, Plan, Role, Step};

/// What the run is asked to do.
pub(super) struct RunSpec {
    pub(super) plan: Arc<Plan>,
    pub(super) graph: Graph,
    pub(super) registry: Arc<Registry>,
    pub(super) mode: Mode,
    pub(super) options: Options,
}

impl RunSpec {
    pub(super) fn step(&self, unit: &Unit) -> &Step {
        unit.step(&self.plan)
    }

    pub(super) fn reference(&self, unit: &Unit) -> UnitRef {
        unit.reference(&self.plan)
    }

    /// Whether a step changes something or checks only. An action that only looks is a check, whatever its kind says.
    pub(super) fn role(&self, step: &Step, action: Option<&ActionRef>) -> Role {
        if action.is_some_and(|action| action.is_read_only()) {
            return Role::Check;
        }
        self.registry.action(&step.action.value).map_or(Role::Change, |kind| kind.role)
    }
}
