//! Actions on Helm releases.

mod capacity;
mod chart;
mod difference;
mod release;
mod values;
mod workloads;

pub use capacity::Capacity;
pub use release::Release;

use super::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Capacity>();
    registry.add::<Release>();
}
