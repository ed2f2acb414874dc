//! The one TLS implementation of the process: rustls with ring.
//!
//! Knows nothing of the crate. Every client that is built here calls [`install`] first.

use std::sync::Once;

/// Makes ring the process's provider. May be called any number of times.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that a provider is there already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}
