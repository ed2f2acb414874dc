//! One attempt at a job.

use super::job::Job;
use crate::actions::ActionRef;
use crate::connect::{CallContext, EffectResult, Fact};
use crate::diff::Diff;

/// What is known and done so far.
pub struct Attempt<'a> {
    pub job: &'a Job,
    /// The job's action, or what goes on from it.
    pub action: ActionRef,
    /// Whether the host may be away for a while.
    pub patient: bool,
    pub call: CallContext,
    pub diff: Diff,
    pub facts: Vec<Fact>,
    pub done: Vec<EffectResult>,
}
