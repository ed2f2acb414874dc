//! How long a lease lasts.

use std::time::Duration;

/// How long a lease lasts after each renewal: a holder that died frees it within this time.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// From one renewal to the next.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(5);
