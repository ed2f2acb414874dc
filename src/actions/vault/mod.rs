//! Actions on Vault (or OpenBao): nodes, secrets engines and certificate authorities.

mod ca;
mod granted;
mod health;
mod intermediate;
mod issuer;
mod path;
mod secrets_engine;

pub use ca::Ca;
pub use granted::check_lifetime;
pub use health::Health;
pub use intermediate::Intermediate;
pub use issuer::Issuer;
pub use path::path;
pub use secrets_engine::SecretsEngine;

use super::Registry;

pub fn register(registry: &mut Registry) {
    registry.add::<Ca>();
    registry.add::<Health>();
    registry.add::<Intermediate>();
    registry.add::<SecretsEngine>();
}
