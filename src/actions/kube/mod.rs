//! Actions on the objects of a cluster.

mod apply;
mod capacity;
mod difference;
mod exec;
mod facts;
mod jsonpath;
mod label;
mod order;
pub(crate) mod rollout;
pub(crate) mod scheduling;
mod wait;

pub use apply::Apply;
pub(crate) use apply::provided;
pub use capacity::Capacity;
pub use exec::Exec;
pub(crate) use facts::{objects, unexpected};
pub use label::Label;
pub use wait::Wait;

use super::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Apply>();
    registry.add::<Capacity>();
    registry.add::<Exec>();
    registry.add::<Label>();
    registry.add::<Wait>();
}
