//! The TLS implementation of this process: rustls with ring.
//!
//! Every client that this folder builds calls [`install`] first.

use std::sync::Once;

/// Makes ring the process's default crypto provider. Idempotent.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that a provider is installed already; any provider will do.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}
