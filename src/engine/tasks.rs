//! What is sent out to run beside the dispatcher, and what comes back of it.

use petgraph::graph::NodeIndex;
use tokio::task::JoinSet;

use super::job::{Ended, Job, Note};
use super::row::Item;
use crate::defect::caught_in;
use crate::event::{Problem, UnitRef};
use crate::graph::Unit;

/// What the tasks tell the dispatcher meanwhile.
pub(super) enum Told {
    /// Cleaned when so many secrets were registered.
    Note(UnitRef, Note, usize),
    /// Some units of a row have ended.
    Ended(Vec<(NodeIndex, Ended)>),
}

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

/// A panic ends the units of a task, and no others.
pub(super) async fn watched(nodes: Vec<NodeIndex>, task: impl Future<Output = Back>) -> Back {
    caught_in(task).await.unwrap_or_else(|defect| Back::Broke(nodes, defect))
}
