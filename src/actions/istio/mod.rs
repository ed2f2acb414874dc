//! Istio's certificate authority: given to istiod from Vault, and proven to be in use.

mod cacerts;
mod plugged_in;
mod root_cert;
mod workload_cert;

pub use cacerts::Cacerts;
pub use root_cert::RootCert;
pub use workload_cert::WorkloadCert;

use super::Registry;

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<Cacerts>();
    registry.add::<RootCert>();
    registry.add::<WorkloadCert>();
}

/// What tests of other folders take from here.
#[cfg(test)]
pub mod testing {
    pub use super::plugged_in::testing::*;
    pub use super::workload_cert::testing::*;
}
