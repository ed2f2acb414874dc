//! Loads and checks a plan and its inventory; most subcommands start with this.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::exit::Exit;
use super::failure::Failure;
use super::options::Options;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::event::Problem;
use crate::finding::{Finding, Findings, Source, did_you_mean};
use crate::inventory::{Host, Inventory, Origin, find};
use crate::journal::{JournalError, Store};
use crate::plan::{Plan, Scope, check, secrets};
use crate::secret::environment;
use crate::template::{RENDER_TIMEOUT, RenderTimedOut, Templates, with_watchdog};

/// A checked plan with its inventory, variables and template engine.
pub struct Loaded {
    pub plan: Plan,
    pub inventory: Inventory,
    /// The values that the plan's templates can use.
    pub scope: Scope,
    /// Renders the plan's templates.
    pub templates: Templates,
}

/// Loads and checks the plan and its inventory, and shows the warnings.
///
/// If a secret is in an environment variable, the process replaces itself by a copy without that variable.
///
/// # Errors
/// All findings, if any of them is an error.
pub fn load_checked(path: &Path, options: &Options, terminal: &Terminal) -> Result<Loaded, Failure> {
    let (loaded, warnings) = with_scope(load_with_findings(path, options)?, options)?;
    terminal.warnings(&warnings);
    Ok(loaded)
}

/// Builds the scope of a checked plan. Returns the warnings.
fn with_scope(
    (plan, inventory, findings): (Plan, Inventory, Findings),
    options: &Options,
) -> Result<(Loaded, Findings), Failure> {
    let ((), warnings) = findings.or(())?;
    // Before any output, because the program may start over here and would print it twice.
    environment::hand_over(&secret_variables(&plan, &inventory)).map_err(|e| {
        let problem = Problem::new(format!("cannot take secrets out of the environment: {e}"));
        Failure::Problem(problem.hint("put them into files of mode 0600, and name those"), Exit::Failed)
    })?;
    let overrides = options.overrides();
    let loaded = with_watchdog(move || {
        let templates = Templates::new(plan.project(&inventory));
        // Errors in variables are already among the findings.
        let (scope, _errors) = Scope::new(&plan, &inventory, &overrides, &templates);
        Loaded { plan, inventory, scope, templates }
    });
    Ok((loaded.map_err(timeout_finding)?, warnings))
}

/// The texts of a plan and its inventory that passed the checks; they stay usable when the files are edited.
pub struct Texts {
    plan: Arc<Source>,
    /// `None` if there is no inventory file.
    inventory: Option<Arc<Source>>,
}

impl Texts {
    /// Reads and checks the files of a plan. Returns the loaded plan and the warnings, too.
    ///
    /// # Errors
    /// All findings, if any of them is an error.
    pub fn read(path: &Path, options: &Options) -> Result<(Self, Loaded, Findings), Failure> {
        let (loaded, warnings) = with_scope(load_with_findings(path, options)?, options)?;
        let texts = Self { plan: Arc::clone(&loaded.plan.source), inventory: loaded.inventory.source.clone() };
        Ok((texts, loaded, warnings))
    }

    /// Whether both have the same texts.
    pub fn is_same(&self, other: &Self) -> bool {
        self.texts() == other.texts()
    }

    fn texts(&self) -> (&str, Option<&str>) {
        (&self.plan.text, self.inventory.as_ref().map(|source| source.text.as_str()))
    }

    /// Loads the plan from its text.
    ///
    /// # Errors
    /// All findings, if any of them is an error: the files that the plan names may have changed.
    pub fn load(&self, options: &Options) -> Result<Loaded, Failure> {
        let plan = Plan::parse_partly(&self.plan.path, &self.plan.text)?;
        let inventory = match &self.inventory {
            Some(source) => Inventory::parse(&source.path, &source.text),
            None => Ok(Inventory::builtin()),
        };
        Ok(with_scope(check_both(plan, inventory, options)?, options)?.0)
    }
}

/// The environment variables that the plan's secrets and the Vault token come from.
fn secret_variables(plan: &Plan, inventory: &Inventory) -> BTreeSet<String> {
    let origins = secrets(plan, inventory).into_values().map(|entry| &entry.origin);
    let names = origins.filter_map(|origin| if let Origin::Env(name) = origin { Some(name.as_str()) } else { None });
    let token = inventory.vault.token.variable().filter(|_| !inventory.vault.addresses.is_empty());
    names.chain(token).map(str::to_owned).collect()
}

/// Loads the plan and its inventory, together with all findings about them.
///
/// # Errors
/// When the plan or the inventory cannot be parsed well enough to check one against the other.
pub fn load_with_findings(path: &Path, options: &Options) -> Result<(Plan, Inventory, Findings), Findings> {
    let (plan, findings) = Plan::load_partly(path)?;
    let file = match &options.inventory {
        Some(file) => Ok(Some(file.clone())),
        None => find(&plan.root),
    };
    let inventory = file.and_then(|file| file.map_or_else(|| Ok(Inventory::builtin()), |file| Inventory::load(&file)));
    check_both((plan, findings), inventory, options)
}

fn check_both(
    (plan, mut findings): (Plan, Findings),
    inventory: Result<Inventory, Findings>,
    options: &Options,
) -> Result<(Plan, Inventory, Findings), Findings> {
    match inventory {
        Ok(inventory) => {
            let overrides = options.overrides();
            let checked = with_watchdog(move || {
                let found = check(&plan, &inventory, &Registry::standard(), &overrides);
                (plan, inventory, found)
            });
            let (plan, inventory, found) = checked.map_err(timeout_finding)?;
            findings.extend(found);
            Ok((plan, inventory, findings.sorted()))
        }
        Err(others) => {
            findings.extend(others);
            Err(findings.sorted())
        }
    }
}

fn timeout_finding(RenderTimedOut { template }: RenderTimedOut) -> Findings {
    let message = format!("rendering `{template}` takes more than {} seconds", RENDER_TIMEOUT.as_secs());
    let help = "does it compare or write out lists that hold the same lists over and over?";
    Finding::error("endless-template", message).help(help).into()
}

impl Loaded {
    /// The journals of this plan and inventory.
    ///
    /// # Errors
    /// When the folder of the journals cannot be created.
    pub fn store(&self) -> Result<Store, JournalError> {
        Store::open(&self.plan.source.path, &self.plan.name.value, self.inventory.path.as_deref())
    }

    /// The hosts of a pattern from the command line.
    ///
    /// # Errors
    /// When the pattern names a host or group that the inventory does not have.
    pub fn hosts(&self, pattern: &str) -> Result<Vec<Arc<Host>>, Failure> {
        self.inventory
            .select(pattern)
            .map_err(|e| Failure::usage(Problem::new(e.message).hint(e.help.unwrap_or_default())))
    }

    /// Checks that some step has the tag.
    ///
    /// # Errors
    /// When no step has it.
    pub fn check_tag(&self, wanted: &str) -> Result<(), Failure> {
        let steps = self.plan.phases.iter().flat_map(|p| &p.steps);
        let tags: BTreeSet<&str> = steps.flat_map(|s| &s.tags).map(|t| t.value.as_str()).collect();
        if tags.contains(wanted) {
            return Ok(());
        }
        let near = did_you_mean(wanted, tags.iter().copied());
        let hint = near.unwrap_or_else(|| format!("the plan has {}", Vec::from_iter(tags).join(", ")));
        Err(Failure::usage(Problem::new(format!("no step of the plan has the tag `{wanted}`")).hint(hint)))
    }

    /// Checks that the plan has a phase of this name.
    ///
    /// # Errors
    /// When it has none.
    pub fn check_phase(&self, name: &str) -> Result<(), Failure> {
        let names = self.plan.phases.iter().map(|p| p.name.value.as_str());
        if names.clone().any(|n| n == name) {
            return Ok(());
        }
        let near = did_you_mean(name, names.clone());
        let hint = near.unwrap_or_else(|| format!("the plan has {}", names.collect::<Vec<_>>().join(", ")));
        Err(Failure::usage(Problem::new(format!("the plan has no phase `{name}`")).hint(hint)))
    }
}
