//! Actions on a cluster's objects.

mod apply;
mod capacity;
mod difference;
mod exec;
mod jsonpath;
mod label;
mod order;
pub(crate) mod rollout;
pub(crate) mod room;
mod wait;

pub use apply::Apply;
pub(crate) use apply::provided;
pub use capacity::Capacity;
pub use exec::Exec;
pub use label::Label;
pub use wait::Wait;

use super::{Registry, Verdict};
use crate::connect::{Fact, kube};
use crate::event::Problem;

/// Adds this folder's actions.
pub(super) fn register(registry: &mut Registry) {
    registry.add::<Apply>();
    registry.add::<Capacity>();
    registry.add::<Exec>();
    registry.add::<Label>();
    registry.add::<Wait>();
}

/// The objects that a probe found, or the verdict when there can be none.
pub(crate) fn objects(fact: Option<&Fact>) -> Result<&kube::Objects, Verdict> {
    match fact {
        Some(Fact::Kube(kube::Fact::Objects(objects))) => Ok(objects),
        Some(Fact::Kube(kube::Fact::KindMissing { group, kind })) => {
            Err(Verdict::Missing(super::Thing::Kind { group: group.clone(), kind: kind.clone() }))
        }
        _ => Err(unexpected()),
    }
}

/// The verdict on facts that answer another question: a defect of the tool.
pub(crate) fn unexpected() -> Verdict {
    Verdict::Blocked(Problem::new("the facts do not belong to the probes").hint("this is a defect: please report it"))
}
