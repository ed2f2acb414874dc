//! Reads the secrets that a run's steps use, before any of them begins, and puts them where its templates find them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::load::Loaded;
use super::options::Options;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::connect::secrets::read;
use crate::plan::{References, Scope, secrets, used_secrets};

/// What a run is about, by number.
pub struct Chosen {
    /// Phases whose `when` is looked at.
    pub phases: BTreeSet<usize>,
    /// Steps, with their phases.
    pub steps: BTreeSet<(usize, usize)>,
}

/// Reads what the chosen steps use.
///
/// # Errors
/// All secrets that cannot be read.
pub async fn load(loaded: &mut Loaded, chosen: &Chosen, options: &Options, terminal: &Terminal) -> Result<(), Failure> {
    let Loaded { plan, inventory, scope, templates } = loaded;
    let declared = secrets(plan, inventory);
    if declared.is_empty() {
        return Ok(());
    }
    let overrides = options.overrides();
    let references = References::new(plan, inventory, &overrides, templates);
    let phases = chosen.phases.iter().map(|n| &plan.phases[*n]);
    let steps = chosen.steps.iter().map(|(phase, step)| &plan.phases[*phase].steps[*step]);
    let used = used_secrets(phases, steps, &references, &Registry::standard(), scope, templates);
    let entries: Vec<_> = used.iter().filter_map(|name| declared.get(name.as_str()).copied()).collect();
    let (values, warnings) = read(&entries, inventory).await?;
    terminal.warnings(&warnings);
    let values: Map<String, Value> = values.into_iter().map(|(name, secret)| (name, secret.expose().into())).collect();
    // A variable that stays without its secret is one that no step of the run uses.
    (*scope, _) = Scope::with_secrets(plan, inventory, &overrides, templates, &values);
    Ok(())
}
