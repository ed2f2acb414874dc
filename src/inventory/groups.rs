//! `[groups.*]`: who is in them, and what variables they hand down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::parse::Draft;
use crate::document::{Item, Table};
use crate::finding::{Spanned, cycles, did_you_mean};

pub(super) const GROUP: &[&str] = &["hosts", "children", "vars"];

struct Group {
    name: Spanned<String>,
    hosts: Vec<Spanned<String>>,
    children: Vec<Spanned<String>>,
    vars: Map<String, Value>,
}

/// Reads all groups into the inventory, and their variables below those of their hosts.
pub(super) fn read(draft: &mut Draft, table: Table) {
    let mut groups = Vec::new();
    for (name, node) in table.entries {
        let Item::Table(mut table) = node.item else {
            draft.reader.wrong_type(&format!("groups.{}", name.value), &node, "a table", None);
            continue;
        };
        let of = format!("group `{}`", name.value);
        if name.value == "all" || draft.inventory.hosts.iter().any(|h| h.name == name.value) {
            let what = if name.value == "all" { "always means all hosts" } else { "is the name of a host too" };
            draft.reader.error("bad-name", &name.span, format!("{of} {what}"), Some("give it another name".into()));
        }
        let hosts = draft.reader.strings(&mut table, "hosts").unwrap_or_default();
        let children = draft.reader.strings(&mut table, "children").unwrap_or_default();
        let vars = draft.reader.table(&mut table, "vars");
        let vars = draft.vars(&format!("groups/{}", name.value), vars);
        draft.reader.no_more(table, &of, GROUP);
        groups.push(Group { name, hosts, children, vars });
    }
    let own: Vec<BTreeSet<String>> = groups.iter().map(|g| own_hosts(draft, g, &groups)).collect();
    let children: Vec<Vec<usize>> = groups.iter().map(|g| children(draft, g, &groups)).collect();
    if !acyclic(draft, &groups, &children) {
        return;
    }
    let order: Vec<String> = draft.inventory.hosts.iter().map(|h| h.name.clone()).collect();
    let members: Vec<BTreeSet<String>> = (0..groups.len()).map(|g| members(g, &own, &children)).collect();
    draft.inventory.groups = groups
        .iter()
        .zip(&members)
        .map(|(group, set)| (group.name.value.clone(), order.iter().filter(|h| set.contains(*h)).cloned().collect()))
        .collect();
    hand_down(draft, &groups, &members, &children);
}

fn own_hosts(draft: &mut Draft, group: &Group, groups: &[Group]) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    for pattern in &group.hosts {
        if groups.iter().any(|g| g.name.value == pattern.value) {
            let help = "put groups into `children`".to_owned();
            draft.reader.error("bad-value", &pattern.span, format!("`{}` is a group", pattern.value), Some(help));
            continue;
        }
        match draft.inventory.select(&pattern.value) {
            Ok(hosts) => own.extend(hosts.iter().map(|h| h.name.clone())),
            Err(error) => draft.reader.error("unknown-host", &pattern.span, error.message, error.help),
        }
    }
    own
}

fn children(draft: &mut Draft, group: &Group, groups: &[Group]) -> Vec<usize> {
    let mut found = Vec::new();
    for child in &group.children {
        if let Some(index) = groups.iter().position(|g| g.name.value == child.value) {
            found.push(index);
            continue;
        }
        let help = did_you_mean(&child.value, groups.iter().map(|g| g.name.value.as_str()));
        draft.reader.error("unknown-group", &child.span, format!("no group is named `{}`", child.value), help);
    }
    found
}

/// Whether no group is its own descendant; each circle is shown.
fn acyclic(draft: &mut Draft, groups: &[Group], children: &[Vec<usize>]) -> bool {
    let circles = cycles(children);
    for path in &circles {
        let names: Vec<&str> = path.iter().map(|g| groups[*g].name.value.as_str()).collect();
        let message = format!("groups contain each other: {}", names.join(" → "));
        draft.reader.error("cycle", &groups[path[0]].name.span, message, None);
    }
    circles.is_empty()
}

fn members(group: usize, own: &[BTreeSet<String>], children: &[Vec<usize>]) -> BTreeSet<String> {
    let mut all = own[group].clone();
    for child in &children[group] {
        all.extend(members(*child, own, children));
    }
    all
}

/// Puts the groups' variables below the hosts' own: a child's hide its parents', a later group's an earlier one's.
fn hand_down(draft: &mut Draft, groups: &[Group], members: &[BTreeSet<String>], children: &[Vec<usize>]) {
    let mut depth: BTreeMap<usize, usize> = (0..groups.len()).map(|g| (g, 0)).collect();
    for _ in 0..groups.len() {
        for parent in 0..groups.len() {
            for child in &children[parent] {
                let below = depth[&parent] + 1;
                depth.entry(*child).and_modify(|d| *d = (*d).max(below));
            }
        }
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|g| depth[g]);
    for host in &mut draft.inventory.hosts {
        let mut vars = Map::new();
        for group in order.iter().filter(|g| members[**g].contains(&host.name)) {
            vars.extend(groups[*group].vars.clone());
        }
        let host = Arc::make_mut(host);
        vars.extend(std::mem::take(&mut host.vars));
        host.vars = vars;
    }
}
