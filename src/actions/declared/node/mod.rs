//! Actions on hosts.

mod files;
mod runs;
mod system;

use super::Case;

pub fn cases() -> Vec<Case> {
    [files::cases(), runs::cases(), system::cases()].into_iter().flatten().collect()
}
