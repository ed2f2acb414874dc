//! The static checks: everything that can be found out about a plan without a connection. All findings are reported at
//! once.
//!
//! One module for each concern: [`structure`] (ids, needs, cycles), [`hosts`] (patterns), [`pace`] (batches, limits),
//! [`loops`] (`for_each`, `run_once`, `delegate_to`), [`guard`] (changes that may cut the connection), [`params`]
//! (actions and their parameters), [`repeats`] (steps that would act in each run), [`templates`] (names in strings),
//! [`template_files`] (names in files), [`outputs`] (outputs of earlier steps), [`units`] (the number of units),
//! [`variables`] (variables that fail or are unused).

mod checker;
mod foreign;
mod guard;
mod hosts;
mod loops;
mod outputs;
mod pace;
mod params;
mod repeats;
mod structure;
mod template_files;
mod templates;
#[cfg(test)]
mod tests;
mod units;
mod variables;
mod views;

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use checker::{CheckedStep, Checker, RENDER_TIMEOUT};

use super::{Catalog, Phase, Plan, References, Scope};
use crate::finding::Findings;
use crate::inventory::Inventory;
use crate::template::{Templates, VariableError};

/// Checks a parsed plan against an inventory and the available actions.
pub fn check(plan: &Plan, inventory: &Inventory, catalog: &dyn Catalog, overrides: &Map<String, Value>) -> Findings {
    let templates = Templates::new(plan.project(inventory));
    let (scope, scope_errors) = Scope::new(plan, inventory, overrides, &templates);
    let mut checker = Checker {
        plan,
        inventory,
        catalog,
        overrides,
        references: References::new(plan, inventory, overrides, &templates),
        templates,
        scope,
        params: HashMap::new(),
        used: BTreeSet::new(),
        used_secrets: BTreeSet::new(),
        findings: Findings::new(),
        render_time_left: RENDER_TIMEOUT,
    };
    if scope_errors.iter().any(|error| matches!(error.error, VariableError::Full(_))) {
        // Variables are missing, so other checks would report false errors.
        checker.variables(&scope_errors);
        return checker.findings.sorted();
    }
    checker.structure();
    checker.paces();
    let steps = checker.steps();
    if !checker.check_unit_count(&steps) {
        return checker.findings.sorted();
    }
    checker.guards(&steps);
    checker.params(&steps);
    checker.repeats(&steps);
    checker.variables(&scope_errors);
    checker.loops(&steps);
    checker.templates(&steps);
    // An unknown action may use any variable.
    if steps.iter().all(|checked| checked.action.is_some()) {
        checker.unused();
    }
    checker.findings.sorted()
}

impl<'a> Checker<'a> {
    fn steps(&mut self) -> Vec<CheckedStep<'a>> {
        let plan = self.plan;
        let mut checked = Vec::new();
        for (phase, Phase { steps, .. }) in plan.phases.iter().enumerate() {
            for (number, step) in steps.iter().enumerate() {
                let action = self.action(step);
                let hosts = self.hosts(step, action.as_ref());
                checked.push(CheckedStep { phase, number, step, action, hosts });
            }
        }
        checked
    }
}
