//! How units start: on record first, then sent out, alone or in a row.

use std::sync::{Arc, Mutex};

use petgraph::graph::NodeIndex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admission::Admitted;
use super::dispatcher::{Dispatcher, Told};
use super::executor::{Ended, Job};
use super::faults::Point;
use super::in_flight::InFlightUnit;
use super::prefetch::queries_behind;
use super::row::{self, Ends, Item, Member};
use crate::connect::{Effect, Target};
use crate::defect::caught_in;
use crate::event::{Kind, Mode, Problem, UnitRef};
use crate::graph::Unit;
use crate::journal::JournalError;
use crate::secret;

/// Units whose start is on its way to the disk.
pub(super) type Batch = Vec<Sent>;

/// Units that run.
pub(super) type Tasks = JoinSet<Back>;

/// What is to be sent out.
pub(super) enum Sent {
    /// To ask, for itself and for those behind it.
    Look(NodeIndex, Box<Job>),
    Alone(NodeIndex, Box<Job>),
    /// It has ended already, and has much to say.
    Ended(NodeIndex, Box<Ended>),
    Row(Vec<Item>),
}

/// What comes back of it.
pub(super) enum Back {
    /// It has asked, and is to go on.
    Looked(NodeIndex, Box<Job>),
    /// How its units ended that were not told before, in their order.
    Ended(Vec<(NodeIndex, Ended)>),
    /// A panic ended those that have not been told as ended.
    Broke(Vec<NodeIndex>, Problem),
}

/// A unit that starts.
pub(super) struct Begun {
    pub(super) unit: Unit,
    pub(super) reference: UnitRef,
    pub(super) definition: String,
    pub(super) why: Option<String>,
    pub(super) with: Option<UnitRef>,
}

impl Dispatcher {
    /// Starts a unit, alone or with those of its row; gives what is to be sent out once that is on disk.
    pub(super) fn start(
        &mut self,
        node: NodeIndex,
        unit: Unit,
        reference: UnitRef,
        admitted: Admitted,
    ) -> Result<Option<Sent>, JournalError> {
        let (definition, why) = (admitted.definition.clone(), admitted.why.clone());
        let job = self.job(&unit, &reference, admitted);
        self.begun(node, Begun { unit: unit.clone(), reference, definition, why, with: None }, &job)?;
        self.go_on(node, &unit, job)
    }

    /// All that an admitted unit needs to run.
    pub(super) fn job(&self, unit: &Unit, reference: &UnitRef, admitted: Admitted) -> Box<Job> {
        let step = self.run.step(unit);
        let (notes, of) = (self.notes.clone(), reference.clone());
        let target = Target { host: unit.machine.clone(), r#become: step.r#become, fresh: false };
        Box::new(Job {
            action: admitted.action,
            resumed: admitted.resumed,
            unit: reference.clone(),
            guard: step.guard.as_ref().map(|guard| self.guards.guard(guard, &target)),
            target,
            mode: self.run.mode,
            timeout: step.timeout.unwrap_or(self.run.options.timeout),
            retry: step.retry,
            ignores_errors: step.ignore_errors,
            world: Arc::clone(&self.world),
            notes: Arc::new(move |note| {
                let secrets = secret::version();
                let _ = notes.send(Told::Note(of.clone(), note.cleaned(), secrets));
            }),
            acted: Arc::default(),
            faults: Arc::clone(&self.faults),
            agreed: admitted.approved,
            ahead: self.ahead.clone(),
            questions: Vec::new(),
            looked: false,
            unreachable: Mutex::default(),
        })
    }

    /// How a unit goes on that has begun.
    pub(super) fn go_on(
        &mut self,
        node: NodeIndex,
        unit: &Unit,
        mut job: Box<Job>,
    ) -> Result<Option<Sent>, JournalError> {
        if let Some(ended) = job.same_already() {
            if !ended.is_short() {
                return Ok(Some(Sent::Ended(node, Box::new(ended))));
            }
            self.end(node, ended)?;
            return Ok(None);
        }
        if !job.asks_for_others() {
            return Ok(Some(Sent::Alone(node, job)));
        }
        if job.is_to_look() {
            job.questions = queries_behind(&self.run, &mut self.state, &self.ahead, &[node], unit, &[]);
            let alone = job.questions.is_empty();
            return Ok(Some(if alone { Sent::Alone(node, job) } else { Sent::Look(node, job) }));
        }
        let Some((planned, members)) = self.row(node, unit, &job) else {
            if self.run.mode == Mode::Run && !job.action.only_looks() {
                job.questions =
                    queries_behind(&self.run, &mut self.state, &self.ahead, &[node], unit, &[job.first_effect()]);
            }
            return Ok(Some(Sent::Alone(node, job)));
        };
        let nodes: Vec<NodeIndex> = [node].into_iter().chain(members.iter().map(|member| member.node)).collect();
        let effects = members.iter().map(|member| &member.planned).chain([&planned]).flat_map(|p| p.effects.clone());
        let effects: Vec<Effect> = effects.collect();
        job.questions = queries_behind(&self.run, &mut self.state, &self.ahead, &nodes, unit, &effects);
        let mut before = job.unit.clone();
        let mut row = vec![Item { node, job, planned }];
        for Member { node, unit, reference, definition, why, job, planned } in members {
            let with = Some(std::mem::replace(&mut before, reference.clone()));
            self.begun(node, Begun { unit, reference, definition, why, with }, &job)?;
            row.push(Item { node, job, planned });
        }
        Ok(Some(Sent::Row(row)))
    }

    fn begun(&mut self, node: NodeIndex, begun: Begun, job: &Job) -> Result<(), JournalError> {
        let Begun { unit, reference, definition, why, with } = begun;
        self.faults.reach(Point::BeforeIntent, &reference);
        self.state.handlers.started(&reference);
        self.state.limits.started(&unit);
        let (of, hash) = (reference.clone(), definition.clone());
        let on = job.host().filter(|on| reference.host.as_deref() != Some(on)).map(str::to_owned);
        self.emitter.emit(Kind::UnitStarted { unit: of, definition: hash, attempt: 1, with, on, why })?;
        let (acted, started) = (Arc::clone(&job.acted), Instant::now());
        let action = Arc::clone(&job.action);
        self.state.scheduler.start(node);
        self.in_flight.insert(node, InFlightUnit { unit, action, reference, definition, started, acted });
        Ok(())
    }

    pub(super) fn spawn(&self, batch: Batch, tasks: &mut Tasks) {
        for sent in batch {
            match sent {
                Sent::Look(node, mut job) => {
                    self.faults.reach(Point::AfterIntent, &job.unit);
                    let looked = async move {
                        job.look_for_all().await;
                        Back::Looked(node, job)
                    };
                    tasks.spawn(watched(vec![node], looked));
                }
                Sent::Alone(node, job) => {
                    self.about_to_send([&*job]);
                    let run = async move { Back::Ended(vec![(node, job.run().await.cleaned())]) };
                    tasks.spawn(watched(vec![node], run));
                }
                Sent::Ended(node, ended) => {
                    tasks.spawn(watched(vec![node], async move { Back::Ended(vec![(node, ended.cleaned())]) }));
                }
                Sent::Row(row) => {
                    self.about_to_send(row.iter().map(|item| &*item.job));
                    let (notes, stopping) = (self.notes.clone(), Arc::clone(&self.stopping));
                    let nodes = row.iter().map(|item| item.node).collect();
                    let run = async move {
                        let cleaned =
                            |ends: Ends| ends.into_iter().map(|(node, ended)| (node, ended.cleaned())).collect();
                        let told = |ends| drop(notes.send(Told::Ended(cleaned(ends))));
                        Back::Ended(cleaned(row::run(row, &told, &stopping).await))
                    };
                    tasks.spawn(watched(nodes, run));
                }
            }
        }
    }

    /// Those that have asked their host already came to this point then.
    fn about_to_send<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) {
        jobs.into_iter().filter(|job| !job.looked).for_each(|job| self.faults.reach(Point::AfterIntent, &job.unit));
    }
}

/// A panic ends the units of a task, and no others.
async fn watched(nodes: Vec<NodeIndex>, task: impl Future<Output = Back>) -> Back {
    caught_in(task).await.unwrap_or_else(|defect| Back::Broke(nodes, defect))
}
