//! Everything that can be known of a plan without a connection, all findings at once.
//!
//! Split by concern: [`structure`] (ids, needs, circles), [`hosts`] (patterns), [`pace`] (batches, limits), [`loops`]
//! (`for_each` and its relatives), [`guard`] (changes that may cut the connection), [`params`] (actions and what they take),
//! [`repeats`] (what would be done over and over), [`templates`] (names in strings and files), [`outputs`] (what steps hand
//! to later ones), [`units`] (how many there are), [`variables`] (what fails, and what nothing uses).

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

/// What is wrong with a plan that is read, against an inventory and the actions that there are.
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
        rendering: RENDER_TIMEOUT,
    };
    if scope_errors.iter().any(|error| matches!(error.error, VariableError::Full(_))) {
        // Nothing else can be told: variables are missing.
        checker.variables(&scope_errors);
        return checker.findings.sorted();
    }
    checker.structure();
    checker.paces();
    let steps = checker.steps();
    if !checker.units(&steps) {
        return checker.findings.sorted();
    }
    checker.guards(&steps);
    checker.params(&steps);
    checker.repeats(&steps);
    checker.variables(&scope_errors);
    checker.loops(&steps);
    checker.templates(&steps);
    // An unknown action may use anything.
    if steps.iter().all(|known| known.kind.is_some()) {
        checker.unused();
    }
    checker.findings.sorted()
}

impl<'a> Checker<'a> {
    /// All steps, with their action and hosts.
    fn steps(&mut self) -> Vec<CheckedStep<'a>> {
        let plan = self.plan;
        let mut known = Vec::new();
        for (phase, Phase { steps, .. }) in plan.phases.iter().enumerate() {
            for (number, step) in steps.iter().enumerate() {
                let kind = self.kind(step);
                let hosts = self.hosts(step, kind.as_ref());
                known.push(CheckedStep { phase, number, step, kind, hosts });
            }
        }
        known
    }
}
