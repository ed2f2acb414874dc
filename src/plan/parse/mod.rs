//! Parses a file into a [`Plan`]: takes the common keys of plans, phases and steps, and keeps the rest as the action's
//! parameters. Everything that depends on the actions or the inventory is checked later.

use std::path::Path;

use crate::document::{Item, Node, Reader, Table, project_root};
use crate::finding::{Findings, Source, Spanned, listed};
use crate::inventory::read_secrets;
use crate::plan::guard::guard;
use crate::plan::keys::is_name;
use crate::plan::pace::pace;
use crate::plan::step::step;
use crate::plan::{Phase, Plan, StepKind};
use crate::template::{RESERVED_NAMES, is_variable_name};

pub(in crate::plan) const TOP_KEYS: &[&str] = &["plan", "vars", "secrets", "phase"];
pub(in crate::plan) const PLAN_KEYS: &[&str] = &["name", "description"];
pub(in crate::plan) const PHASE_KEYS: &[&str] = &[
    "description",
    "needs",
    "when",
    "serial",
    "max_failures",
    "guard",
    "guard_apply",
    "guard_restore",
    "guard_check",
    "step",
    "handler",
    "on_failure",
];

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// All findings that need neither the actions nor the inventory: syntax, unknown or missing keys, wrong types.
    pub fn load(path: &Path) -> Result<Self, Findings> {
        let (plan, findings) = Self::load_partly(path)?;
        findings.or(plan).map(|(plan, _)| plan)
    }

    /// Reads a plan file. Returns the correct parts together with the findings, so that these parts can be checked
    /// further.
    ///
    /// # Errors
    /// When the file cannot be read or is not TOML.
    pub fn load_partly(path: &Path) -> Result<(Self, Findings), Findings> {
        let (reader, table) = Reader::open(path, "plan")?;
        Ok(read(reader, table))
    }

    /// Parses the text of a plan; `path` is the path for messages and relative paths.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Findings> {
        let (plan, findings) = Self::parse_partly(path, text)?;
        findings.or(plan).map(|(plan, _)| plan)
    }

    /// Parses the text of a plan as [`Self::load_partly`] does a file.
    ///
    /// # Errors
    /// When the text is not TOML.
    #[doc(hidden)]
    pub fn parse_partly(path: &Path, text: &str) -> Result<(Self, Findings), Findings> {
        let (reader, table) = Reader::new(Source { path: path.to_owned(), text: text.to_owned() })?;
        Ok(read(reader, table))
    }
}

fn read(mut reader: Reader, mut top: Table) -> (Plan, Findings) {
    let header = top.take("plan").map_or(0..0, |(key, node)| {
        let span = key.span.clone();
        top.entries.insert(0, (key, node));
        span
    });
    let mut head = reader.table(&mut top, "plan");
    let name = reader.required(&mut head, "name", &header, "`[plan]`");
    let name = name.filter(|n| is_name(&mut reader, n, "a plan's name"));
    let description = reader.string(&mut head, "description").map(|d| d.value);
    reader.reject_unknown(head, "`[plan]`", PLAN_KEYS);

    let vars = reader.table(&mut top, "vars");
    let vars = vars.entries.into_iter().filter(|(key, _)| check_variable_name(&mut reader, key)).collect::<Vec<_>>();
    let vars = vars.into_iter().map(|(key, node)| (key, Spanned::new(node.to_json(), node.span))).collect();

    let root = project_root(&reader.source.path, "plans");
    let secrets = read_secrets(&mut reader, &mut top, &root);
    let phases = phases(&mut reader, &mut top);
    report_misplaced_keys(&mut reader, &mut top);
    reader.reject_unknown(top, "a plan", TOP_KEYS);

    let plan = Plan {
        source: reader.source.clone(),
        root,
        name: name.unwrap_or_else(|| Spanned::new(String::new(), 0..0)),
        description,
        vars,
        secrets,
        phases,
    };
    (plan, reader.findings)
}

fn phases(reader: &mut Reader, top: &mut Table) -> Vec<Phase> {
    if let Some((_, node @ Node { item: Item::List(_), .. })) = top.entries.iter().find(|(k, _)| k.value == "phase") {
        let (span, message) = (node.span.clone(), "a phase has its name in the header");
        reader.error("wrong-type", &span, message, Some("write [phase.NAME] and [[phase.NAME.step]]".into()));
        let _named = top.take("phase");
        return Vec::new();
    }
    let missing = !top.entries.iter().any(|(k, _)| matches!(k.value.as_str(), "phase" | "phases" | "step"));
    if missing {
        let help = "a plan needs at least one [phase.NAME] with a [[phase.NAME.step]]".to_owned();
        reader.error("no-phases", &(0..0), "the plan has no phases", Some(help));
    }
    let table = reader.table(top, "phase");
    table.entries.into_iter().filter_map(|(name, node)| phase(reader, name, node)).collect()
}

fn phase(reader: &mut Reader, name: Spanned<String>, node: Node) -> Option<Phase> {
    is_name(reader, &name, "a phase's name");
    let Item::Table(mut table) = node.item else {
        let help = format!("write [phase.{}] and under it the phase's keys", name.value);
        reader.wrong_type(&format!("phase.{}", name.value), &node, "a table", Some(help));
        return None;
    };
    let owner = format!("phase `{}`", name.value);
    let description = reader.string(&mut table, "description").map(|d| d.value);
    let needs = reader.strings(&mut table, "needs").unwrap_or_default();
    let when = reader.string(&mut table, "when");
    let pace = pace(reader, &mut table);
    let guard = guard(reader, &mut table);
    let mut steps = Vec::new();
    for kind in StepKind::ALL {
        match table.take(kind.key()) {
            None => {}
            Some((_, Node { item: Item::List(nodes), .. })) => {
                steps.extend(nodes.into_iter().filter_map(|node| step(reader, &name.value, kind, node)));
            }
            Some((key, _)) => {
                let help = format!("write [[phase.{}.{}]] with two brackets", name.value, kind.key());
                let message = format!("the {}s of {owner} are a list of tables", kind.key());
                reader.error("wrong-type", &key.span, message, Some(help));
                return None;
            }
        }
    }
    reader.reject_unknown(table, &owner, PHASE_KEYS);
    Some(Phase { name, description, needs, when, pace, guard, steps })
}

/// Reports keys that belong one level deeper or into another file.
fn report_misplaced_keys(reader: &mut Reader, top: &mut Table) {
    for (key, help) in [
        ("step", "a step belongs to a phase: write [[phase.NAME.step]]"),
        ("hosts", "hosts belong in the inventory, which is a separate file"),
        ("groups", "groups belong in the inventory, which is a separate file"),
        ("name", "write it below [plan]"),
    ] {
        if let Some((key, _)) = top.take(key) {
            let message = format!("`{}` does not belong at the top of a plan", key.value);
            reader.error("unknown-key", &key.span, message, Some(help.into()));
        }
    }
}

fn check_variable_name(reader: &mut Reader, key: &Spanned<String>) -> bool {
    if is_variable_name(&key.value) {
        return true;
    }
    let (message, help) = if RESERVED_NAMES.contains(&key.value.as_str()) {
        (
            format!("`{}` cannot be the name of a variable", key.value),
            format!("{} are reserved", listed(RESERVED_NAMES)),
        )
    } else {
        let suggestion: String = key.value.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        (format!("`{}` is not a variable name that templates can use", key.value), format!("write `{suggestion}`"))
    };
    reader.error("bad-name", &key.span, message, Some(help));
    false
}

#[cfg(test)]
mod tests;
