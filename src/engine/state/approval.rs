//! The saved plan that the user approved.

use std::collections::HashMap;

use crate::event::{Problem, UnitRef};
use crate::journal::{SavedPlan, SavedUnit};

#[derive(Debug)]
pub struct ApprovedPlan(HashMap<UnitRef, SavedUnit>);

impl ApprovedPlan {
    pub fn new(plan: SavedPlan) -> Self {
        Self(plan.units.into_iter().map(|unit| (unit.unit.clone(), unit)).collect())
    }

    /// The unit as the saved plan has it.
    ///
    /// # Errors
    /// If the saved plan does not have the unit, or has it with another definition.
    pub fn check(&self, unit: &UnitRef, definition: &str) -> Result<SavedUnit, Problem> {
        let hint = "nothing of it was done; save a new plan";
        match self.0.get(unit) {
            None => Err(Problem::new("it is not in the saved plan").hint(hint)),
            Some(saved) if saved.definition.as_ref().is_some_and(|saved| saved != definition) => {
                Err(Problem::new("its definition is not the one in the saved plan").hint(hint))
            }
            Some(saved) => Ok(saved.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::Diff;
    use crate::event::Outcome;

    #[test]
    fn a_unit_is_approved_as_it_was_defined() {
        let unit = |step: &str| UnitRef { phase: "p".into(), step: step.into(), item: None, host: None };
        let saved = |step: &str, definition: Option<&str>| SavedUnit {
            unit: unit(step),
            definition: definition.map(str::to_owned),
            outcome: Outcome::Changed,
            diff: Diff::default(),
        };
        // Where outputs were still pending, the saved plan has no definition.
        let units = [saved("a", Some("1")), saved("pending", None)].map(|saved| (saved.unit.clone(), saved));
        let plan = ApprovedPlan(units.into_iter().collect());
        assert_eq!(plan.check(&unit("a"), "1").unwrap().unit, unit("a"));
        assert!(plan.check(&unit("pending"), "2").is_ok());
        let message = |step, definition| plan.check(&unit(step), definition).unwrap_err().message;
        assert_eq!(message("a", "2"), "its definition is not the one in the saved plan");
        assert_eq!(message("b", "1"), "it is not in the saved plan");
    }
}
