//! Steps in a row on one host whose changes are sent together.
//!
//! Known ahead of time are the answers to what the steps of a row ask. Where nothing before it in the row can move the
//! answer that a step is judged by, or it is sure what that will be then, it is judged at once; where a command may, the host
//! itself compares the answer with the known one when the step's turn comes, and ends the row there if it is another one. So
//! all effects go out in one trip, each to be done only when all before it have worked, and what comes of it is what comes of
//! the steps one by one. All are on record as started before that. What was not begun, since the row ended before, is judged
//! anew.
//!
//! A command that may take its time is the last one of its row: nobody would want what follows to begin behind his back,
//! after an interrupt or when the command's output is not what it should be.

mod forecast;
mod join;
mod run;

use petgraph::graph::NodeIndex;

pub(super) use forecast::joins;
pub(super) use join::{Member, select};
pub(super) use run::{Ends, run};

use super::job::{Job, Planned};

/// A unit that is sent in a row.
pub(super) struct Item {
    pub(super) node: NodeIndex,
    pub(super) job: Box<Job>,
    pub(super) planned: Planned,
}
