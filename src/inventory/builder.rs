//! State shared by the functions that read the parts of an inventory.

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

pub(super) struct InventoryBuilder {
    pub(super) reader: Reader,
    pub(super) inventory: Inventory,
    /// Names of the hosts read so far.
    pub(super) names: HashSet<String>,
    /// Names of secrets that are used as sudo passwords.
    pub(super) passwords: Vec<Spanned<String>>,
    pub(super) root: PathBuf,
    pub(super) home: Option<PathBuf>,
    /// How many more bytes the variables of all hosts may take.
    remaining_bytes: usize,
}

impl InventoryBuilder {
    /// Starts with an empty inventory for the reader's file.
    pub(super) fn new(reader: Reader) -> Self {
        let path = reader.source.path.clone();
        let root = root(&path);
        let inventory =
            Inventory { path: Some(path), source: Some(Arc::clone(&reader.source)), ..Inventory::default() };
        let (names, passwords) = (HashSet::new(), Vec::new());
        Self { reader, inventory, names, passwords, root, home: home(), remaining_bytes: MAX_BYTES }
    }

    /// Reserves memory for a copy of `vars` on each of `hosts` hosts; reports an error and returns `false` if the limit
    /// is exceeded.
    pub(super) fn reserve_vars(&mut self, owner: &str, vars: &Map<String, Value>, hosts: usize) -> bool {
        let sizes = vars.iter().map(|(name, value)| (size(value), name));
        let needed = sizes.clone().map(|(size, _)| size).sum::<usize>().saturating_mul(hosts);
        if let Some(remaining) = self.remaining_bytes.checked_sub(needed) {
            self.remaining_bytes = remaining;
            return true;
        }
        let Some((size, name)) = sizes.max_by_key(|(size, _)| *size) else { return true };
        let limit = MAX_BYTES >> 20;
        let message = format!(
            "variable `{name}` has {size} bytes on each of {hosts} hosts: variables of hosts come to more than {limit} MiB"
        );
        let help = "put what is the same on all hosts into [vars], and large texts into files".to_owned();
        let place = self.inventory.var_spans.get(&format!("{owner}/{name}")).cloned().unwrap_or_default();
        self.reader.error("too-large", &place, message, Some(help));
        false
    }

    /// Reads variables, and records their places under `owner`.
    pub(super) fn vars(&mut self, owner: &str, table: Table) -> Map<String, Value> {
        let mut vars = Map::new();
        for (key, node) in table.entries {
            if is_variable_name(&key.value) {
                self.inventory.var_spans.insert(format!("{owner}/{}", key.value), node.span.clone());
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
