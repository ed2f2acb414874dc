//! All that running jobs share with the dispatcher and with each other.

use std::sync::{Arc, Mutex};

use super::admission::Admitted;
use super::executor::fact_cache::FactCache;
use super::executor::guard_locks::GuardLocks;
use super::executor::job::{Job, NoteSink};
use super::faults::Faults;
use super::run_spec::RunSpec;
use crate::connect::{Target, World};
use crate::event::UnitRef;
use crate::graph::Unit;

pub(super) struct JobEnv {
    /// Where probes and effects go.
    pub world: Arc<dyn World>,
    pub faults: Arc<dyn Faults>,
    pub notes: NoteSink,
    pub cache: FactCache,
    pub guards: GuardLocks,
}

impl JobEnv {
    pub(super) fn job(&self, run: &RunSpec, unit: &Unit, reference: &UnitRef, admitted: Admitted) -> Box<Job> {
        let step = run.step(unit);
        let (notes, of) = (Arc::clone(&self.notes), reference.clone());
        let target = Target { host: unit.runs_on.clone(), as_root: step.as_root, reconnect: false };
        Box::new(Job {
            action: admitted.action,
            resumed: admitted.resumed,
            unit: reference.clone(),
            guard: step.guard.as_ref().map(|guard| self.guards.guard(guard, &target)),
            target,
            mode: run.mode,
            timeout: step.timeout.unwrap_or(run.options.timeout),
            retry: step.retry,
            ignores_errors: step.ignore_errors,
            world: Arc::clone(&self.world),
            notes: Arc::new(move |note| notes(&of, note)),
            acted: Arc::default(),
            faults: Arc::clone(&self.faults),
            approved: admitted.approved,
            cache: self.cache.clone(),
            queries: Vec::new(),
            prefetched: false,
            unreachable: Mutex::default(),
        })
    }
}
