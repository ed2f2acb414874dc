//! Reads `[groups.*]`: their members, and the variables and access settings that the hosts inherit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::builder::InventoryBuilder;
use super::types::Access;
use crate::document::{Item, Table};
use crate::finding::{Spanned, cycles, did_you_mean, topological_order};

pub(super) const GROUP_KEYS: &[&str] = &["hosts", "children", "ssh", "become", "vars"];

struct Group {
    name: Spanned<String>,
    hosts: Vec<Spanned<String>>,
    children: Vec<Spanned<String>>,
    access: Access,
    vars: Map<String, Value>,
}

/// Reads all groups into the inventory. Hosts inherit from their groups, and groups from `everywhere`; what a host sets
/// itself wins.
pub(super) fn read(builder: &mut InventoryBuilder, table: Table, everywhere: &Access) {
    let mut groups = Vec::new();
    for (name, node) in table.entries {
        let Item::Table(mut table) = node.item else {
            builder.reader.wrong_type(&format!("groups.{}", name.value), &node, "a table", None);
            continue;
        };
        let label = format!("group `{}`", name.value);
        if name.value == "all" || builder.names.contains(&name.value) {
            let what = if name.value == "all" { "always means all hosts" } else { "is the name of a host too" };
            builder.reader.error(
                "bad-name",
                &name.span,
                format!("{label} {what}"),
                Some("give it another name".into()),
            );
        }
        let hosts = builder.reader.strings(&mut table, "hosts").unwrap_or_default();
        let children = builder.reader.strings(&mut table, "children").unwrap_or_default();
        let access = builder.access(&mut table, &label);
        let vars = builder.reader.table(&mut table, "vars");
        let vars = builder.vars(&format!("groups/{}", name.value), vars);
        builder.reader.reject_unknown(table, &label, GROUP_KEYS);
        groups.push(Group { name, hosts, children, access, vars });
    }
    let index: BTreeMap<&str, usize> = groups.iter().enumerate().map(|(n, g)| (g.name.value.as_str(), n)).collect();
    let own: Vec<BTreeSet<String>> = groups.iter().map(|g| own_hosts(builder, g, &index)).collect();
    let children: Vec<Vec<usize>> = groups.iter().map(|g| children(builder, g, &index)).collect();
    if !acyclic(builder, &groups, &children) {
        return;
    }
    let order: Vec<String> = builder.inventory.hosts.iter().map(|h| h.name.clone()).collect();
    let parents_first = topological_order(&children);
    let members = members(own, &children, &parents_first);
    builder.inventory.groups = groups
        .iter()
        .zip(&members)
        .map(|(group, set)| (group.name.value.clone(), order.iter().filter(|h| set.contains(*h)).cloned().collect()))
        .collect();
    inherit_from_groups(builder, &groups, &members, &children, &parents_first, everywhere);
}

fn own_hosts(builder: &mut InventoryBuilder, group: &Group, index: &BTreeMap<&str, usize>) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    for pattern in &group.hosts {
        if index.contains_key(pattern.value.as_str()) {
            let help = "put groups into `children`".to_owned();
            builder.reader.error("bad-value", &pattern.span, format!("`{}` is a group", pattern.value), Some(help));
            continue;
        }
        match builder.inventory.select(&pattern.value) {
            Ok(hosts) => own.extend(hosts.iter().map(|h| h.name.clone())),
            Err(error) => builder.reader.error("unknown-host", &pattern.span, error.message, error.help),
        }
    }
    own
}

fn children(builder: &mut InventoryBuilder, group: &Group, index: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut found = Vec::new();
    for child in &group.children {
        if let Some(group) = index.get(child.value.as_str()) {
            found.push(*group);
            continue;
        }
        let help = did_you_mean(&child.value, index.keys().copied());
        builder.reader.error("unknown-group", &child.span, format!("no group is named `{}`", child.value), help);
    }
    found
}

/// Whether no group contains itself; reports each cycle.
fn acyclic(builder: &mut InventoryBuilder, groups: &[Group], children: &[Vec<usize>]) -> bool {
    let found = cycles(children);
    for path in &found {
        let names: Vec<&str> = path.iter().map(|g| groups[*g].name.value.as_str()).collect();
        let message = format!("groups contain each other: {}", names.join(" → "));
        builder.reader.error("cycle", &groups[path[0]].name.span, message, None);
    }
    found.is_empty()
}

/// The hosts of each group: its own and those of its children.
fn members(own: Vec<BTreeSet<String>>, children: &[Vec<usize>], parents_first: &[usize]) -> Vec<BTreeSet<String>> {
    let mut members = own;
    for group in parents_first.iter().rev() {
        let mut all = std::mem::take(&mut members[*group]);
        for child in &children[*group] {
            all.extend(members[*child].iter().cloned());
        }
        members[*group] = all;
    }
    members
}

/// Merges the settings of groups into their hosts. The host's own settings win, then those of child groups over parent
/// groups, then those of later groups over earlier ones.
fn inherit_from_groups(
    builder: &mut InventoryBuilder,
    groups: &[Group],
    members: &[BTreeSet<String>],
    children: &[Vec<usize>],
    parents_first: &[usize],
    everywhere: &Access,
) {
    let mut depth = vec![0; groups.len()];
    for parent in parents_first {
        for child in &children[*parent] {
            depth[*child] = depth[*child].max(depth[*parent] + 1);
        }
    }
    for (group, members) in groups.iter().zip(members) {
        if !builder.reserve_vars(&format!("groups/{}", group.name.value), &group.vars, members.len()) {
            return;
        }
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|g| depth[*g]);
    for host in &mut builder.inventory.hosts {
        let (mut vars, mut access) = (Map::new(), everywhere.clone());
        for group in order.iter().filter(|g| members[**g].contains(&host.name)) {
            vars.extend(groups[*group].vars.clone());
            access = groups[*group].access.clone().with_fallback(&access);
        }
        let host = Arc::make_mut(host);
        vars.extend(std::mem::take(&mut host.vars));
        host.vars = vars;
        host.access = std::mem::take(&mut host.access).with_fallback(&access);
    }
}
