//! Actions on Helm releases.

mod difference;
mod release;
mod values;

pub use release::Release;

use super::Registry;

/// Adds this folder's actions.
pub(super) fn register(registry: &mut Registry) {
    registry.add::<Release>();
}
