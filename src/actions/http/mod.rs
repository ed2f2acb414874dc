//! What a service answers over HTTP.

mod check;

pub use check::Check;

use super::Registry;

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<Check>();
}
