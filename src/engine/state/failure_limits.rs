//! How many hosts may fail (`max_failures`) before a step or a phase is given up.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Unit};
use crate::plan::{Plan, Portion, StepKind};

/// What a limit is for: a phase, or one of its steps.
type Scope = (usize, Option<usize>);

/// The limits of a plan, and which hosts count against them.
#[derive(Debug, Default)]
pub struct FailureLimits(BTreeMap<Scope, FailureLimit>);

#[derive(Debug)]
struct FailureLimit {
    /// `max_failures` as in the plan.
    allowed: Portion,
    /// All hosts of the phase or step.
    hosts: BTreeSet<String>,
    /// The hosts where something was started.
    started: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl FailureLimit {
    fn new(allowed: Portion) -> Self {
        Self { allowed, hosts: BTreeSet::new(), started: BTreeSet::new(), failed: BTreeSet::new() }
    }

    /// Also true if all hosts failed, since none is left to go on.
    fn is_exceeded(&self) -> bool {
        let (failed, all) = (self.failed.len(), self.hosts.len());
        failed > self.allowed.at_most_of(all) || failed == all
    }

    fn tally(&self) -> String {
        let hosts = if self.hosts.len() == 1 { "host" } else { "hosts" };
        format!("{} of {} {hosts} failed", self.failed.len(), self.hosts.len())
    }
}

impl FailureLimits {
    pub fn new(plan: &Plan, graph: &Graph) -> Self {
        let mut limits: BTreeMap<Scope, FailureLimit> = BTreeMap::new();
        for unit in graph.units() {
            let (phase, step) = (&plan.phases[unit.phase], unit.step(plan));
            let Some(host) = unit.host.as_ref().filter(|_| step.kind == StepKind::Step) else { continue };
            let paces = [((unit.phase, None), &phase.pace), ((unit.phase, Some(unit.step)), &step.pace)];
            for (of, pace) in paces {
                let Some(allowed) = &pace.max_failures else { continue };
                limits.entry(of).or_insert_with(|| FailureLimit::new(allowed.value)).hosts.insert(host.name.clone());
            }
        }
        Self(limits)
    }

    /// The limits for which a unit counts.
    fn scopes(unit: &Unit) -> [Scope; 2] {
        [(unit.phase, None), (unit.phase, Some(unit.step))]
    }

    /// Notes that a unit starts, or has ended well.
    pub fn started(&mut self, unit: &Unit) {
        let Some(host) = unit.host.as_ref() else { return };
        for of in Self::scopes(unit) {
            self.0.get_mut(&of).map(|limit| limit.started.insert(host.name.clone()));
        }
    }

    /// Why a unit may not start: a limit is exceeded, and its host has not started.
    pub fn exceeded(&self, unit: &Unit) -> Option<String> {
        let host = unit.host.as_ref()?;
        let mut limits = Self::scopes(unit).into_iter().filter_map(|of| self.0.get(&of));
        let exceeded = limits.find(|limit| limit.is_exceeded() && !limit.started.contains(&host.name))?;
        Some(format!("fewer failures: {}, more than max_failures = {}", exceeded.tally(), exceeded.allowed))
    }

    /// Notes that a unit failed. Returns a sentence for the user if the other hosts go on without its host.
    pub fn record_failure(&mut self, unit: &Unit) -> Option<String> {
        let host = unit.host.as_ref()?;
        let mut told = None;
        let mut exceeded = false;
        for of in Self::scopes(unit) {
            let Some(limit) = self.0.get_mut(&of).filter(|limit| limit.hosts.contains(&host.name)) else { continue };
            limit.failed.insert(host.name.clone());
            exceeded |= limit.is_exceeded();
            told = Some(format!("{}, and max_failures = {} lets the others go on", limit.tally(), limit.allowed));
        }
        told.filter(|_| !exceeded).map(|told| format!("{told}; {} takes no further part", host.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::testing::{run, step, unit};

    #[test]
    fn within_the_limit_the_others_go_on_and_beyond_it_nothing_new_starts() {
        let plan = format!("[phase.p]\nmax_failures = 1\n{}", step("p", "s", "hosts = \"a,b,c\""));
        let run = run(&plan);
        let mut limits = FailureLimits::new(&run.plan, &run.graph);
        let [a, b, c] = ["p/s@a", "p/s@b", "p/s@c"].map(|name| unit(&run, name));
        limits.started(a);
        limits.started(b);
        let told = limits.record_failure(a).unwrap();
        assert_eq!(told, "1 of 3 hosts failed, and max_failures = 1 lets the others go on; a takes no further part");
        assert_eq!(limits.exceeded(c), None);
        assert_eq!(limits.record_failure(b), None);
        assert_eq!(limits.exceeded(c).unwrap(), "fewer failures: 2 of 3 hosts failed, more than max_failures = 1");
        assert_eq!(limits.exceeded(b), None, "what has begun goes on");
    }

    #[test]
    fn nobody_is_left_to_go_on_when_all_failed() {
        let plan = format!("[phase.p]\nmax_failures = \"100%\"\n{}", step("p", "s", "hosts = \"a,b\""));
        let run = run(&plan);
        let mut limits = FailureLimits::new(&run.plan, &run.graph);
        assert!(limits.record_failure(unit(&run, "p/s@a")).is_some());
        assert_eq!(limits.record_failure(unit(&run, "p/s@b")), None);
    }

    #[test]
    fn the_limit_of_a_step_counts_its_own_hosts() {
        let plan = step("p", "one", "hosts = \"a,b,c\"\nmax_failures = 1") + &step("p", "two", "hosts = \"a,b,c\"");
        let run = run(&plan);
        let mut limits = FailureLimits::new(&run.plan, &run.graph);
        assert_eq!(limits.record_failure(unit(&run, "p/two@a")), None, "a step without a limit has none");
        assert!(limits.record_failure(unit(&run, "p/one@a")).is_some());
        assert_eq!(limits.record_failure(unit(&run, "p/one@b")), None);
        assert!(limits.exceeded(unit(&run, "p/one@c")).is_some());
        assert_eq!(limits.exceeded(unit(&run, "p/two@c")), None);
    }
}
