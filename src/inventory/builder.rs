//! An inventory that is being read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::paths::home;
use super::root;
use super::types::Inventory;
use crate::document::{MAX_BYTES, Reader, Table, size};
use crate::finding::Spanned;
use crate::template::is_variable_name;

/// What the reading of the parts shares.
pub(super) struct InventoryBuilder {
    pub(super) reader: Reader,
    pub(super) inventory: Inventory,
    /// Names of the hosts so far.
    pub(super) names: HashSet<String>,
    /// Secrets that are passwords of sudo.
    pub(super) passwords: Vec<Spanned<String>>,
    pub(super) root: PathBuf,
    pub(super) home: Option<PathBuf>,
    /// Bytes that variables of hosts may still take.
    room: usize,
}

impl InventoryBuilder {
    /// Nothing is read yet of the reader's file.
    pub(super) fn new(reader: Reader) -> Self {
        let path = reader.source.path.clone();
        let root = root(&path);
        let inventory =
            Inventory { path: Some(path), source: Some(Arc::clone(&reader.source)), ..Inventory::default() };
        let (names, passwords) = (HashSet::new(), Vec::new());
        Self { reader, inventory, names, passwords, root, home: home(), room: MAX_BYTES }
    }

    /// Whether there is room for the variables of so many hosts, of which each has its own.
    pub(super) fn copies(&mut self, owner: &str, vars: &Map<String, Value>, hosts: usize) -> bool {
        let sizes = vars.iter().map(|(name, value)| (size(value), name));
        let all = sizes.clone().map(|(size, _)| size).sum::<usize>().saturating_mul(hosts);
        if let Some(room) = self.room.checked_sub(all) {
            self.room = room;
            return true;
        }
        let Some((size, name)) = sizes.max_by_key(|(size, _)| *size) else { return true };
        let most = MAX_BYTES >> 20;
        let message = format!(
            "variable `{name}` has {size} bytes on each of {hosts} hosts: variables of hosts come to more than {most} MiB"
        );
        let help = "put what is the same on all hosts into [vars], and large texts into files".to_owned();
        let place = self.inventory.places.get(&format!("{owner}/{name}")).cloned().unwrap_or_default();
        self.reader.error("too-large", &place, message, Some(help));
        false
    }

    /// Variables, and their places under `owner`.
    pub(super) fn vars(&mut self, owner: &str, table: Table) -> Map<String, Value> {
        let mut vars = Map::new();
        for (key, node) in table.entries {
            if is_variable_name(&key.value) {
                self.inventory.places.insert(format!("{owner}/{}", key.value), node.span.clone());
                vars.insert(key.value, node.to_json());
            } else {
                let message = format!("`{}` cannot be the name of a variable", key.value);
                let help = "letters, digits and `_`; not host, hosts, groups, steps, secrets or plan".to_owned();
                self.reader.error("bad-name", &key.span, message, Some(help));
            }
        }
        vars
    }
}
