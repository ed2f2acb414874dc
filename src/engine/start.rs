//! How units start: on record first, then sent out, alone or in a row.

use std::sync::Arc;

use petgraph::graph::NodeIndex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dispatcher::{Running, State};
use super::executor::{Ended, Job, Planned};
use super::faults::Point;
use super::row::{self, Member};
use crate::event::{Kind, UnitRef};
use crate::graph::Unit;
use crate::journal::JournalError;

/// Units whose start is on its way to the disk.
pub(super) type Batch = Vec<Sent>;

/// Units that run; each task tells how its units ended, in their order.
pub(super) type Tasks = JoinSet<Vec<(NodeIndex, Ended)>>;

/// What is to be sent out.
pub(super) enum Sent {
    Alone(NodeIndex, Box<Job>),
    Row(Vec<(NodeIndex, Box<Job>, Planned)>),
}

/// A unit that starts.
pub(super) struct Begun {
    pub(super) unit: Unit,
    pub(super) reference: UnitRef,
    pub(super) definition: String,
    pub(super) why: Option<String>,
    pub(super) with: Option<UnitRef>,
}

impl State {
    /// Starts a unit, alone or with those of its row; gives what is to be sent out once that is on disk.
    pub(super) fn start(
        &mut self,
        node: NodeIndex,
        begun: Begun,
        mut job: Box<Job>,
    ) -> Result<Option<Sent>, JournalError> {
        if let Some(ended) = job.same_already() {
            self.begun(node, begun, &job)?;
            self.end(node, ended)?;
            return Ok(None);
        }
        let Some((planned, members)) = self.row(node, &begun.unit, &job) else {
            job.questions = self.questions_behind(node, &begun.unit, &begun.reference);
            self.begun(node, begun, &job)?;
            return Ok(Some(Sent::Alone(node, job)));
        };
        let mut before = begun.reference.clone();
        self.begun(node, begun, &job)?;
        let mut row = vec![(node, job, planned)];
        for Member { node, unit, reference, definition, why, job, planned } in members {
            let with = Some(std::mem::replace(&mut before, reference.clone()));
            self.begun(node, Begun { unit, reference, definition, why, with }, &job)?;
            row.push((node, job, planned));
        }
        Ok(Some(Sent::Row(row)))
    }

    fn begun(&mut self, node: NodeIndex, begun: Begun, job: &Job) -> Result<(), JournalError> {
        let Begun { unit, reference, definition, why, with } = begun;
        self.faults.reach(Point::BeforeIntent, &reference);
        self.owed.start(&reference);
        self.limits.begin(&unit);
        let (of, hash) = (reference.clone(), definition.clone());
        let on = job.host().filter(|on| reference.host.as_deref() != Some(on)).map(str::to_owned);
        self.emitter.emit(Kind::UnitStarted { unit: of, definition: hash, attempt: 1, with, on, why })?;
        let (acted, started) = (Arc::clone(&job.acted), Instant::now());
        self.running.insert(node, Running { unit, reference, definition, started, acted });
        Ok(())
    }

    pub(super) fn spawn(&self, batch: Batch, tasks: &mut Tasks) {
        for sent in batch {
            match sent {
                Sent::Alone(node, job) => {
                    self.faults.reach(Point::AfterIntent, &job.unit);
                    tasks.spawn(async move { vec![(node, job.run().await)] });
                }
                Sent::Row(row) => {
                    row.iter().for_each(|(_, job, _)| self.faults.reach(Point::AfterIntent, &job.unit));
                    tasks.spawn(row::run(row));
                }
            }
        }
    }
}
