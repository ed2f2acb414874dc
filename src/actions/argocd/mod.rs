//! Argo CD: whether it runs, and what it says of its Applications. Only looks; Argo CD alone syncs.

mod applications;
mod controllers;
mod health;
mod health_issue;

pub use health::Health;

use super::Registry;

/// Adds the actions of this folder.
pub(super) fn register(registry: &mut Registry) {
    registry.add::<Health>();
}
