//! An inventory file, and host patterns.

use std::path::Path;

use rollout::inventory::Inventory;

/// Takes the text of an inventory; host patterns may follow it, one a line, after a line `---`.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, patterns) = text.split_once("\n---\n").unwrap_or((text, "all"));
    let inventory = match Inventory::parse(Path::new("inventory/fuzz.toml"), text) {
        Ok(inventory) => inventory,
        Err(findings) => return super::show(&findings),
    };
    for pattern in patterns.lines() {
        match inventory.select(pattern) {
            Ok(hosts) => assert!(hosts.len() <= inventory.hosts.len()),
            Err(error) => assert!(pattern.get(error.range).is_some()),
        }
    }
}
