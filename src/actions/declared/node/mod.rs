//! Cases of the actions on hosts.

mod accounts;
mod boot;
mod files;
mod packages;
mod runs;
mod system;
mod trees;

use super::Case;

pub fn cases() -> Vec<Case> {
    let all = [
        accounts::cases(),
        boot::cases(),
        files::cases(),
        packages::cases(),
        runs::cases(),
        system::cases(),
        trees::cases(),
    ];
    all.into_iter().flatten().collect()
}
