//! The state of a run. Each file has one component with private fields, which knows no journal, task or clock.

pub mod approval;
pub mod claims;
pub mod failure_limits;
pub mod handlers;
pub mod outputs;
pub mod renderer;
pub mod resume;
pub mod rollback;
pub mod scheduler;
pub mod upstream;

#[cfg(test)]
pub mod testing;

use std::collections::HashMap;

use petgraph::graph::NodeIndex;

use super::report::Report;
use super::run_spec::RunSpec;
use crate::actions::Resource;
use crate::journal::{RunHistory, SavedPlan};
use approval::ApprovedPlan;
use claims::FileClaims;
use failure_limits::FailureLimits;
use handlers::Handlers;
use renderer::Renderer;
use resume::Resume;
use rollback::Rollback;
use scheduler::Scheduler;
use upstream::UpstreamMap;

/// The components side by side.
pub(super) struct RunState {
    pub scheduler: Scheduler,
    pub upstream: UpstreamMap,
    pub limits: FailureLimits,
    pub handlers: Handlers,
    pub rollback: Rollback,
    pub resume: Resume,
    pub renderer: Renderer,
    pub claims: FileClaims,
    /// What a person approved; `None`: the run does whatever is needed.
    pub approved: Option<ApprovedPlan>,
    /// Preview: which step provides what is not there yet.
    pub provided_by: HashMap<Resource, String>,
    /// Phases that do not run, with the reason.
    pub skipped_phases: HashMap<usize, String>,
    pub report: Report,
}

impl RunState {
    /// Before the first node.
    pub fn new(run: &RunSpec, mut renderer: Renderer, memory: RunHistory, approved: Option<SavedPlan>) -> Self {
        renderer.start(&run.plan);
        Self {
            scheduler: Scheduler::new(&run.graph, run.mode),
            upstream: UpstreamMap::default(),
            limits: FailureLimits::new(&run.plan, &run.graph),
            handlers: Handlers::new(memory.handlers().clone()),
            rollback: Rollback::default(),
            resume: Resume::new(memory),
            renderer,
            claims: FileClaims::default(),
            approved: approved.map(ApprovedPlan::new),
            provided_by: HashMap::new(),
            skipped_phases: HashMap::new(),
            report: Report { ok: true, ..Report::default() },
        }
    }

    /// A node is done: hands its upstream state on, then frees its successors. A unit that is rendered already goes first, so
    /// that what is known of a host is used up before the next host is asked.
    pub fn complete(&mut self, run: &RunSpec, node: NodeIndex) {
        self.upstream.propagate(&run.graph, node, run.mode);
        let renderer = &self.renderer;
        self.scheduler.complete(&run.graph, node, |next| renderer.is_prepared(next));
    }
}
