//! What most subcommands start with: the plan, its inventory, and the checks of both.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::exit::Exit;
use super::failure::Failure;
use super::options::Options;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::event::Problem;
use crate::finding::{Finding, Findings, did_you_mean};
use crate::inventory::{Host, Inventory, Origin, find};
use crate::journal::{JournalError, Store};
use crate::plan::{Plan, Scope, check, secrets};
use crate::secret::environment;
use crate::template::{RENDER_TIMEOUT, RenderTimedOut, Templates, with_watchdog};

/// A plan and where it runs.
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// The inventory.
    pub inventory: Inventory,
    /// What its templates see.
    pub scope: Scope,
    /// The engine that renders them.
    pub templates: Templates,
}

/// Loads both and checks them; warnings are shown.
///
/// # Errors
/// All findings, when one is an error.
pub fn checked(path: &Path, options: &Options, terminal: &Terminal) -> Result<Loaded, Failure> {
    let (plan, inventory, findings) = examine(path, options)?;
    let ((), warnings) = findings.or(())?;
    // Before anything is shown, since the program begins anew.
    environment::hand_over(&variables(&plan, &inventory)).map_err(|e| {
        let problem = Problem::new(format!("cannot take secrets out of the environment: {e}"));
        Failure::Problem(problem.hint("put them into files of mode 0600, and name those"), Exit::Failed)
    })?;
    terminal.warnings(&warnings);
    let overrides = options.overrides();
    let loaded = with_watchdog(move || {
        let templates = Templates::new(plan.project(&inventory));
        // Whatever is wrong with a variable is among the findings.
        let (scope, _errors) = Scope::new(&plan, &inventory, &overrides, &templates);
        Loaded { plan, inventory, scope, templates }
    });
    Ok(loaded.map_err(endless)?)
}

/// The environment variables that secrets and the Vault token may be in.
fn variables(plan: &Plan, inventory: &Inventory) -> BTreeSet<String> {
    let origins = secrets(plan, inventory).into_values().map(|entry| &entry.origin);
    let of_secrets =
        origins.filter_map(|origin| if let Origin::Env(name) = origin { Some(name.as_str()) } else { None });
    let token = inventory.vault.token.variable().filter(|_| !inventory.vault.addresses.is_empty());
    of_secrets.chain(token).map(str::to_owned).collect()
}

/// Loads both, with everything that is wrong with them.
///
/// # Errors
/// When one of them cannot be read so far that the two can be compared.
pub fn examine(path: &Path, options: &Options) -> Result<(Plan, Inventory, Findings), Findings> {
    let (plan, mut findings) = Plan::load_partly(path)?;
    let file = match &options.inventory {
        Some(file) => Ok(Some(file.clone())),
        None => find(&plan.root),
    };
    let inventory = file.and_then(|file| file.map_or_else(|| Ok(Inventory::builtin()), |file| Inventory::load(&file)));
    match inventory {
        Ok(inventory) => {
            let overrides = options.overrides();
            let checked = with_watchdog(move || {
                let found = check(&plan, &inventory, &Registry::standard(), &overrides);
                (plan, inventory, found)
            });
            let (plan, inventory, found) = checked.map_err(endless)?;
            findings.extend(found);
            Ok((plan, inventory, findings.sorted()))
        }
        Err(others) => {
            findings.extend(others);
            Err(findings.sorted())
        }
    }
}

fn endless(RenderTimedOut { template }: RenderTimedOut) -> Findings {
    let message = format!("rendering `{template}` takes more than {} seconds", RENDER_TIMEOUT.as_secs());
    let help = "does it compare or write out lists that hold the same lists over and over?";
    Finding::error("endless-template", message).help(help).into()
}

impl Loaded {
    /// Where its journals lie.
    ///
    /// # Errors
    /// When that folder cannot be made.
    pub fn store(&self) -> Result<Store, JournalError> {
        Store::open(&self.plan.source.path, &self.plan.name.value, self.inventory.path.as_deref())
    }

    /// The hosts of a pattern that a person typed.
    ///
    /// # Errors
    /// When it names what the inventory does not have.
    pub fn hosts(&self, pattern: &str) -> Result<Vec<Arc<Host>>, Failure> {
        self.inventory
            .select(pattern)
            .map_err(|e| Failure::usage(Problem::new(e.message).hint(e.help.unwrap_or_default())))
    }

    /// Makes sure that some step has that tag.
    ///
    /// # Errors
    /// When none has.
    pub fn tag(&self, wanted: &str) -> Result<(), Failure> {
        let steps = self.plan.phases.iter().flat_map(|p| &p.steps);
        let tags: BTreeSet<&str> = steps.flat_map(|s| &s.tags).map(|t| t.value.as_str()).collect();
        if tags.contains(wanted) {
            return Ok(());
        }
        let near = did_you_mean(wanted, tags.iter().copied());
        let hint = near.unwrap_or_else(|| format!("the plan has {}", Vec::from_iter(tags).join(", ")));
        Err(Failure::usage(Problem::new(format!("no step of the plan has the tag `{wanted}`")).hint(hint)))
    }

    /// Makes sure that there is a phase of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn phase(&self, name: &str) -> Result<(), Failure> {
        let names = self.plan.phases.iter().map(|p| p.name.value.as_str());
        if names.clone().any(|n| n == name) {
            return Ok(());
        }
        let near = did_you_mean(name, names.clone());
        let hint = near.unwrap_or_else(|| format!("the plan has {}", names.collect::<Vec<_>>().join(", ")));
        Err(Failure::usage(Problem::new(format!("the plan has no phase `{name}`")).hint(hint)))
    }
}
