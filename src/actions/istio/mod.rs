//! Istio's certificate authority: it is issued by Vault, and workloads really use it.

mod cacerts;
mod plugged_in;
mod root_cert;
mod workload_cert;

pub use cacerts::Cacerts;
pub use root_cert::RootCert;
pub use workload_cert::WorkloadCert;

use super::Registry;

pub fn register(registry: &mut Registry) {
    registry.add::<Cacerts>();
    registry.add::<RootCert>();
    registry.add::<WorkloadCert>();
}

/// Helpers for tests of other folders.
#[cfg(test)]
pub mod testing {
    pub use super::plugged_in::testing::*;
    pub use super::workload_cert::testing::*;
}
