//! Actions on HTTP services.

mod check;

pub use check::Check;

use super::Registry;

pub fn register(registry: &mut Registry) {
    registry.add::<Check>();
}
