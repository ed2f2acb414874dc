//! Argo CD: whether it runs and its Applications are healthy. These actions change nothing; syncing is left to Argo CD.

mod applications;
mod controllers;
mod health;
mod health_issue;

pub use health::Health;

use super::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.add::<Health>();
}
