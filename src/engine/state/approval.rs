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
