//! Duration and renewal interval of leases.

use std::time::Duration;

/// How long a lease is valid after each renewal: the lease of a dead holder becomes free within this time.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// Time between two renewals.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(5);
