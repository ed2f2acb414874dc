//! What is sent out to run beside the dispatcher, and what comes back of it.

use petgraph::graph::NodeIndex;
use tokio::task::JoinSet;

use super::job::{Execution, Job, Note};
use super::pipeline::Item;
use crate::defect::caught_in;
use crate::event::{Problem, UnitRef};
use crate::graph::Unit;

/// What the tasks tell the dispatcher meanwhile.
pub(super) enum TaskMessage {
    /// Cleaned when so many secrets were registered.
    Note(UnitRef, Note, usize),
    /// Some units of a pipeline have ended.
    Ended(Vec<(NodeIndex, Execution)>),
}

/// Units whose start is on its way to the disk.
pub(super) type Batch = Vec<Launch>;

/// Units that run.
pub(super) type Tasks = JoinSet<TaskResult>;

/// What is to be sent out.
pub(super) enum Launch {
    /// To ask, for itself and for those behind it.
    Prefetch(NodeIndex, Box<Job>),
    Single(NodeIndex, Box<Job>),
    /// It has ended already, and has much to say.
    Ended(NodeIndex, Box<Execution>),
    Pipeline(Vec<Item>),
}

/// What comes back of it.
pub(super) enum TaskResult {
    /// It has asked, and is to go on.
    Prefetched(NodeIndex, Box<Job>),
    /// How its units ended that were not told before, in their order.
    Ended(Vec<(NodeIndex, Execution)>),
    /// A panic ended those that have not been told as ended.
    Broke(Vec<NodeIndex>, Problem),
}

/// A unit that starts.
pub(super) struct Started {
    pub(super) unit: Unit,
    pub(super) reference: UnitRef,
    pub(super) definition: String,
    pub(super) why: Option<String>,
    pub(super) with: Option<UnitRef>,
}

/// A panic ends the units of a task, and no others.
pub(super) async fn watched(nodes: Vec<NodeIndex>, task: impl Future<Output = TaskResult>) -> TaskResult {
    caught_in(task).await.unwrap_or_else(|defect| TaskResult::Broke(nodes, defect))
}
