//! Reads the secrets that a run uses, before any step begins, and puts those of steps where its templates find them.

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

/// What a run is about, by number.
pub struct Chosen {
    /// Phases whose `when` is looked at.
    pub phases: BTreeSet<usize>,
    /// Steps, with their phases.
    pub steps: BTreeSet<(usize, usize)>,
    /// Secrets that are sudo's passwords on hosts where it is needed.
    pub passwords: BTreeSet<String>,
}

/// Reads what the chosen steps use; gives the passwords.
///
/// # Errors
/// All secrets that cannot be read.
pub async fn load(
    loaded: &mut Loaded,
    chosen: &Chosen,
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
    let phases = chosen.phases.iter().map(|n| &plan.phases[*n]);
    let steps = chosen.steps.iter().map(|(phase, step)| &plan.phases[*phase].steps[*step]);
    let used = used_secrets(phases, steps, &references, &Registry::standard(), scope, templates);
    let needed = used.union(&chosen.passwords);
    let entries: Vec<_> = needed.filter_map(|name| declared.get(name.as_str()).copied()).collect();
    let (values, warnings) = read(&entries, inventory).await?;
    terminal.warnings(&warnings);
    let of_steps = values.iter().filter(|(name, _)| used.contains(*name));
    let of_steps: Map<String, Value> = of_steps.map(|(name, secret)| (name.clone(), secret.expose().into())).collect();
    // A variable that stays without its secret is one that no step of the run uses.
    (*scope, _) = Scope::with_secrets(plan, inventory, &overrides, templates, &of_steps);
    Ok(values.into_iter().filter(|(name, _)| chosen.passwords.contains(name)).collect())
}
