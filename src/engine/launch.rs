//! How units start: on record first, then sent out, alone or in a pipeline.

use std::sync::Arc;

use petgraph::graph::NodeIndex;
use tokio::time::Instant;

use super::admission::Admitted;
use super::dispatcher::Dispatcher;
use super::faults::Point;
use super::in_flight::InFlightUnit;
use super::job::Job;
use super::pipeline::{self, Ends, Item, Member, select};
use super::prefetch::queries_behind;
use super::tasks::{Batch, Launch, Started, TaskMessage, TaskResult, Tasks, watched};
use crate::connect::Effect;
use crate::event::{EventKind, Mode, UnitRef};
use crate::graph::Unit;
use crate::journal::JournalError;

impl Dispatcher {
    /// Starts a unit, alone or with those of its pipeline; gives what is to be sent out once that is on disk.
    pub(super) fn start(
        &mut self,
        node: NodeIndex,
        unit: Unit,
        reference: UnitRef,
        admitted: Admitted,
    ) -> Result<Option<Launch>, JournalError> {
        let (definition, why) = (admitted.definition.clone(), admitted.why.clone());
        let job = self.env.job(&self.run, &unit, &reference, admitted);
        self.begun(node, Started { unit: unit.clone(), reference, definition, why, with: None }, &job)?;
        self.go_on(node, &unit, job)
    }

    /// How a unit goes on that has begun.
    pub(super) fn go_on(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        mut job: Box<Job>,
    ) -> Result<Option<Launch>, JournalError> {
        if let Some(ended) = job.answered_by_cache() {
            if !ended.is_short() {
                return Ok(Some(Launch::Ended(node, Box::new(ended))));
            }
            self.end(node, ended)?;
            return Ok(None);
        }
        if !job.asks_for_others() {
            return Ok(Some(Launch::Single(node, job)));
        }
        if job.is_to_look() {
            job.queries = queries_behind(&self.run, &mut self.state, &self.env.cache, &[node], unit, &[]);
            let alone = job.queries.is_empty();
            return Ok(Some(if alone { Launch::Single(node, job) } else { Launch::Prefetch(node, job) }));
        }
        let selected = select(&self.run, &mut self.state, &self.in_flight, &self.env, node, unit, &job);
        let Some((planned, members)) = selected else {
            if self.run.mode == Mode::Run && !job.action.is_read_only() {
                job.queries =
                    queries_behind(&self.run, &mut self.state, &self.env.cache, &[node], unit, &[job.first_effect()]);
            }
            return Ok(Some(Launch::Single(node, job)));
        };
        let nodes: Vec<NodeIndex> = [node].into_iter().chain(members.iter().map(|member| member.node)).collect();
        let effects = members.iter().map(|member| &member.planned).chain([&planned]).flat_map(|p| p.effects.clone());
        let effects: Vec<Effect> = effects.collect();
        job.queries = queries_behind(&self.run, &mut self.state, &self.env.cache, &nodes, unit, &effects);
        let mut before = job.unit.clone();
        let mut row = vec![Item { node, job, planned }];
        for Member { node, unit, reference, definition, why, job, planned } in members {
            let with = Some(std::mem::replace(&mut before, reference.clone()));
            self.begun(node, Started { unit, reference, definition, why, with }, &job)?;
            row.push(Item { node, job, planned });
        }
        Ok(Some(Launch::Pipeline(row)))
    }

    fn begun(&mut self, node: NodeIndex, begun: Started, job: &Job) -> Result<(), JournalError> {
        let Started { unit, reference, definition, why, with } = begun;
        self.env.faults.reach(Point::BeforeIntent, &reference);
        self.state.handlers.started(&reference);
        self.state.limits.started(&unit);
        let (of, hash) = (reference.clone(), definition.clone());
        let on = job.host().filter(|on| reference.host.as_deref() != Some(on)).map(str::to_owned);
        self.recorder.record(EventKind::UnitStarted { unit: of, definition: hash, attempt: 1, with, on, why })?;
        let (acted, started) = (Arc::clone(&job.acted), Instant::now());
        let action = Arc::clone(&job.action);
        self.state.scheduler.start(node);
        self.in_flight.insert(node, InFlightUnit { unit, action, reference, definition, started, acted });
        Ok(())
    }

    pub(super) fn spawn(&self, batch: Batch, tasks: &mut Tasks) {
        for sent in batch {
            match sent {
                Launch::Prefetch(node, mut job) => {
                    self.env.faults.reach(Point::AfterIntent, &job.unit);
                    let looked = async move {
                        job.look_for_all().await;
                        TaskResult::Prefetched(node, job)
                    };
                    tasks.spawn(watched(vec![node], looked));
                }
                Launch::Single(node, job) => {
                    self.about_to_send([&*job]);
                    let run = async move { TaskResult::Ended(vec![(node, job.run().await.cleaned())]) };
                    tasks.spawn(watched(vec![node], run));
                }
                Launch::Ended(node, ended) => {
                    tasks.spawn(watched(vec![node], async move { TaskResult::Ended(vec![(node, ended.cleaned())]) }));
                }
                Launch::Pipeline(row) => {
                    self.about_to_send(row.iter().map(|item| &*item.job));
                    let (notes, stopping) = (self.env.notes.clone(), Arc::clone(&self.stopping));
                    let nodes = row.iter().map(|item| item.node).collect();
                    let run = async move {
                        let cleaned =
                            |ends: Ends| ends.into_iter().map(|(node, ended)| (node, ended.cleaned())).collect();
                        let told = |ends| drop(notes.send(TaskMessage::Ended(cleaned(ends))));
                        TaskResult::Ended(cleaned(pipeline::run(row, &told, &stopping).await))
                    };
                    tasks.spawn(watched(nodes, run));
                }
            }
        }
    }

    /// Those that have asked their host already came to this point then.
    fn about_to_send<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) {
        jobs.into_iter()
            .filter(|job| !job.prefetched)
            .for_each(|job| self.env.faults.reach(Point::AfterIntent, &job.unit));
    }
}
