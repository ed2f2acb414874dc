//! Vault (or OpenBao): its nodes, its engines, its certificate authorities.

mod ca;
mod granted;
mod health;
mod intermediate;
mod issuer;
mod secrets_engine;

pub use ca::Ca;
pub use granted::whole_lifetime;
pub use health::Health;
pub use intermediate::Intermediate;
pub use issuer::Issuer;
pub use secrets_engine::SecretsEngine;

use super::Registry;

/// The path of a mount, as it is put in front of others: with or without slashes at its ends, it is the same mount.
pub fn path(mount: &str) -> &str {
    mount.trim_matches('/')
}

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<Ca>();
    registry.add::<Health>();
    registry.add::<Intermediate>();
    registry.add::<SecretsEngine>();
}
