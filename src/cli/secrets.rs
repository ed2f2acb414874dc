//! Reads the secrets that the selected steps use before the first step starts, and makes them available to templates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::failure::Failure;
use super::load::Loaded;
use super::options::Options;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::connect::secrets::read;
use crate::plan::{References, Scope, secrets, used_secrets};
use crate::secret::Secret;

/// The parts of a run that may use a secret; phases and steps by index.
pub struct Consumers {
    /// Phases whose `when` is evaluated.
    pub phases: BTreeSet<usize>,
    /// Pairs of phase and step.
    pub steps: BTreeSet<(usize, usize)>,
    /// Names of the secrets that hold sudo passwords of hosts with root steps.
    pub passwords: BTreeSet<String>,
}

/// Reads the secrets that the selected steps use, and returns the sudo passwords by name.
///
/// # Errors
/// All secrets that cannot be read.
pub async fn load(
    loaded: &mut Loaded,
    consumers: &Consumers,
    options: &Options,
    terminal: &Terminal,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let Loaded { plan, inventory, scope, templates } = loaded;
    let declared = secrets(plan, inventory);
    if declared.is_empty() {
        return Ok(BTreeMap::new());
    }
    let overrides = options.overrides();
    let references = References::new(plan, inventory, &overrides, templates);
    let phases = consumers.phases.iter().map(|n| &plan.phases[*n]);
    let steps = consumers.steps.iter().map(|(phase, step)| &plan.phases[*phase].steps[*step]);
    let used = used_secrets(phases, steps, &references, &Registry::standard(), scope, templates);
    let needed = used.union(&consumers.passwords);
    let entries: Vec<_> = needed.filter_map(|name| declared.get(name.as_str()).copied()).collect();
    let (values, warnings) = read(&entries, inventory).await?;
    terminal.warnings(&warnings);
    let step_values = values.iter().filter(|(name, _)| used.contains(*name));
    let step_values: Map<String, Value> =
        step_values.map(|(name, secret)| (name.clone(), secret.expose().into())).collect();
    // Errors are ignored: a variable whose secret was not read is used by no selected step.
    (*scope, _) = Scope::with_secrets(plan, inventory, &overrides, templates, &step_values);
    Ok(values.into_iter().filter(|(name, _)| consumers.passwords.contains(name)).collect())
}
