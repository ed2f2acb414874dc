//! The tasks that run units, and the events by which they report to the dispatcher.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use petgraph::graph::NodeIndex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};

use super::executor::job::{Execution, Job, Note, NoteSink};
use super::executor::prefetch::prefetch;
use super::executor::{self};
use super::faults::{Faults, Point};
use super::launch::Launch;
use super::pipeline::{self, Ends};
use crate::defect::catch_panic_async;
use crate::event::{Problem, UnitRef};
use crate::secret;

/// An event that a task reports to the dispatcher.
pub(super) enum TaskEvent {
    /// A running unit has news for the user. The text was redacted when this many secrets were registered.
    Note(UnitRef, Note, usize),
    /// A unit's host has answered the probes of the unit and of the units behind it; the unit can go on.
    Prefetched(NodeIndex, Box<Job>),
    /// Units have ended, in this order.
    Ended(Vec<(NodeIndex, Execution)>),
    /// The task of these units panicked. How those of them ended that were not reported before is unknown.
    Panicked(Vec<NodeIndex>, Problem),
}

/// Runs units beside the dispatcher and queues what they report.
pub(super) struct Tasks {
    running: JoinSet<TaskEvent>,
    sender: UnboundedSender<TaskEvent>,
    receiver: UnboundedReceiver<TaskEvent>,
    /// Events in the order in which they are handed out.
    queue: VecDeque<TaskEvent>,
    stopping: Arc<AtomicBool>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { running: JoinSet::new(), sender, receiver, queue: VecDeque::new(), stopping: Arc::default() }
    }

    /// Redacts the notes of running units and queues them.
    pub(super) fn note_sink(&self) -> NoteSink {
        let sender = self.sender.clone();
        Arc::new(move |unit, note| {
            let secrets = secret::version();
            let _ = sender.send(TaskEvent::Note(unit.clone(), note.redacted(), secrets));
        })
    }

    /// The number of tasks at work. A pipeline is one task, since its units take turns.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Once set, pipelines begin no further unit.
    pub(super) fn set_stopping(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::SeqCst);
    }

    pub(super) fn spawn(&mut self, launch: Launch, faults: &dyn Faults) {
        // A job that has prefetched came to this point before its probes were sent.
        let reach = |job: &Job| {
            if !job.prefetched {
                faults.reach(Point::AfterIntent, &job.unit);
            }
        };
        match launch {
            Launch::Prefetch(node, mut job) => {
                reach(&job);
                self.watch(vec![node], async move {
                    prefetch(&mut job).await;
                    TaskEvent::Prefetched(node, job)
                });
            }
            Launch::Single(node, job) => {
                reach(&job);
                self.watch(
                    vec![node],
                    async move { TaskEvent::Ended(vec![(node, executor::run(&job).await.redacted())]) },
                );
            }
            Launch::Ended(node, execution) => {
                self.watch(vec![node], async move { TaskEvent::Ended(vec![(node, execution.redacted())]) });
            }
            Launch::Pipeline(items) => {
                items.iter().for_each(|item| reach(&item.job));
                let (sender, stopping) = (self.sender.clone(), Arc::clone(&self.stopping));
                self.watch(items.iter().map(|item| item.node).collect(), async move {
                    let ended = |ends: Ends| {
                        TaskEvent::Ended(ends.into_iter().map(|(node, ended)| (node, ended.redacted())).collect())
                    };
                    let report = |ends| drop(sender.send(ended(ends)));
                    ended(pipeline::run(items, &report, &stopping).await)
                });
            }
        }
    }

    /// Spawns a task whose panic ends its own units and nothing else.
    fn watch(&mut self, nodes: Vec<NodeIndex>, task: impl Future<Output = TaskEvent> + Send + 'static) {
        self.running.spawn(async move {
            catch_panic_async(task).await.unwrap_or_else(|defect| TaskEvent::Panicked(nodes, defect))
        });
    }

    /// The next event; waits for one. Whatever a task sent while it ran comes before the event with which it ends.
    pub(super) async fn next(&mut self) -> TaskEvent {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            tokio::select! {
                biased;
                Some(event) = self.receiver.recv() => self.queue.push_back(event),
                Some(joined) = self.running.join_next() => self.take(joined),
            }
        }
    }

    /// All events that are there already, so that one commit serves for all of them.
    pub(super) fn drain(&mut self) -> VecDeque<TaskEvent> {
        while let Some(joined) = self.running.try_join_next() {
            self.take(joined);
        }
        self.receive();
        std::mem::take(&mut self.queue)
    }

    /// Cancels all tasks and waits until they are gone.
    pub(super) async fn abort_all(&mut self) {
        self.running.shutdown().await;
    }

    fn take(&mut self, joined: Result<TaskEvent, JoinError>) {
        self.receive();
        // Panics of units are caught inside of the task; only one of the code around them arrives here.
        self.queue.push_back(joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
    }

    fn receive(&mut self) {
        while let Ok(event) = self.receiver.try_recv() {
            self.queue.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Problem;

    fn note(text: &str) -> TaskEvent {
        let unit = UnitRef { phase: "p".into(), step: "s".into(), item: None, host: None };
        TaskEvent::Note(unit, Note::Progress(text.into()), 0)
    }

    fn name(event: &TaskEvent) -> String {
        match event {
            TaskEvent::Note(_, Note::Progress(text), _) => text.clone(),
            TaskEvent::Panicked(nodes, problem) => format!("{nodes:?} panicked: {}", problem.message),
            TaskEvent::Ended(_) => "ended".to_owned(),
            _ => panic!("no such event was sent"),
        }
    }

    #[tokio::test]
    async fn what_a_task_sends_comes_before_its_end() {
        let mut tasks = Tasks::new();
        let sender = tasks.sender.clone();
        tasks.watch(vec![], async move {
            ["a", "b"].into_iter().for_each(|text| drop(sender.send(note(text))));
            TaskEvent::Ended(Vec::new())
        });
        let mut events = Vec::new();
        while events.last().map(String::as_str) != Some("ended") {
            events.push(name(&tasks.next().await));
        }
        assert_eq!(events, ["a", "b", "ended"]);
        assert!(tasks.drain().is_empty() && tasks.len() == 0);
    }

    #[tokio::test]
    async fn a_panic_ends_the_units_of_its_task() {
        let mut tasks = Tasks::new();
        tasks.watch(vec![NodeIndex::new(7)], async { panic!("{}", Problem::new("boom").message) });
        let event = name(&tasks.next().await);
        assert!(event.starts_with("[NodeIndex(7)] panicked: ") && event.contains("boom"), "{event}");
    }

    #[tokio::test]
    async fn cancelled_tasks_report_nothing_more() {
        let mut tasks = Tasks::new();
        tasks.watch(vec![], std::future::pending());
        tasks.abort_all().await;
        assert!(tasks.drain().is_empty() && tasks.len() == 0);
    }
}
