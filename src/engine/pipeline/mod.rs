//! Pipelining: the effects of several units of one host go out in one round trip.
//!
//! The answers to the units' probes are in the fact cache. A unit is judged before the round trip where no effect before it in
//! the pipeline can change its answers, or where it is certain what they will be. Where a command may change them, the host
//! compares the answers with the cached ones when the unit's turn comes, and ends the pipeline if they differ. Each effect is
//! done only if all effects before it have worked, so that the result is that of the units one by one. All units of a pipeline
//! are recorded as started before it is sent. Units that did not begin, because the pipeline ended early, are judged anew.
//!
//! A command that may run long is the last one of its pipeline: after an interrupt, or when its output is not as it should be,
//! nothing behind it must have begun.

mod end;
mod forecast;
mod run;
mod select;

use petgraph::graph::NodeIndex;

pub(super) use forecast::joins;
pub(super) use run::{Ends, run};
pub(super) use select::{Member, select};

use super::executor::job::Job;
use forecast::Forecast;

/// A unit of a pipeline that is sent.
pub(super) struct Item {
    pub(super) node: NodeIndex,
    pub(super) job: Box<Job>,
    pub(super) planned: Forecast,
}
