//! A plan file: reading it, all static checks, and how the findings look.

use std::path::Path;
use std::sync::LazyLock;

use rollout::actions::Registry;
use rollout::inventory::Inventory;
use rollout::plan::{Plan, check};

static INVENTORY: LazyLock<Inventory> = LazyLock::new(|| {
    let text = "[hosts.control]\n[hosts.\"pi-[1:4]\"]\nvars = { rack = 1 }\n[groups.pis]\nhosts = [\"pi-*\"]\n";
    Inventory::parse(Path::new("inventory/fuzz.toml"), text).expect("it is an inventory")
});

/// Takes the text of a plan.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Plan::parse_partly(Path::new("plans/fuzz.toml"), text) {
        Ok((plan, mut findings)) => {
            findings.extend(check(&plan, &INVENTORY, &Registry::standard(), &serde_json::Map::new()));
            super::show(&findings.sorted());
        }
        Err(findings) => super::show(&findings),
    }
}
