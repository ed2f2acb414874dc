//! Istio's certificate authority: given to istiod from Vault, and proven to be in use.

mod cacerts;
mod plugged_in;
mod root_cert;
mod workload_cert;

pub use cacerts::Cacerts;
#[cfg(test)]
pub use plugged_in::testing;
pub use root_cert::RootCert;
pub use workload_cert::WorkloadCert;

use super::Registry;

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<Cacerts>();
    registry.add::<RootCert>();
    registry.add::<WorkloadCert>();
}
