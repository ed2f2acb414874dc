//! Access to the answers of cluster probes.

use crate::actions::{Resource, Verdict};
use crate::connect::{Fact, kube};
use crate::event::Problem;

/// The objects that a probe found; otherwise the verdict to return.
pub(crate) fn objects(fact: Option<&Fact>) -> Result<&kube::Objects, Verdict> {
    match fact {
        Some(Fact::Kube(kube::Fact::Objects(objects))) => Ok(objects),
        Some(Fact::Kube(kube::Fact::KindMissing { group, kind })) => {
            Err(Verdict::Missing(Resource::Kind { group: group.clone(), kind: kind.clone() }))
        }
        _ => Err(unexpected()),
    }
}

/// The verdict on facts that do not belong to the probes, which is a defect of the tool.
pub(crate) fn unexpected() -> Verdict {
    Verdict::Blocked(Problem::new("the facts do not belong to the probes").hint("this is a defect: please report it"))
}
