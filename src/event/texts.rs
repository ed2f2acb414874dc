//! Visits the texts of an event, which hosts, plans or users may have written.

use super::{EventKind, Outcome, Problem, UnitRef};

impl EventKind {
    /// Calls `visit` with every text that is shown to people. Outputs are left out: they are shown as JSON only.
    pub fn visit_texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Progress { unit, message: text }
            | Self::UnitRetried { unit, message: text, .. }
            | Self::Dropped { unit, why: text } => {
                unit.visit_texts(visit);
                visit(text);
            }
            Self::UnitStarted { unit, why, on, .. } => {
                unit.visit_texts(visit);
                why.iter_mut().chain(on).for_each(visit);
            }
            Self::UnitFinished { unit, outcome, diff, output, .. } => {
                unit.visit_texts(visit);
                outcome.visit_texts(visit);
                diff.visit_texts(visit);
                visit(output);
            }
            Self::Undone { unit, by } | Self::Notified { handler: unit, by } => {
                unit.visit_texts(visit);
                by.visit_texts(visit);
            }
            Self::RunFinished { handlers_left, stuck, .. } => {
                handlers_left.iter_mut().chain(stuck).for_each(|unit| unit.visit_texts(visit));
            }
            Self::RunStarted { run, plan, resumed_from, .. } => {
                [Some(run), Some(plan), resumed_from.as_mut()].into_iter().flatten().for_each(visit);
            }
            Self::Remembered { unit, .. } => unit.visit_texts(visit),
            Self::Unknown => {}
        }
    }
}

impl UnitRef {
    /// Calls `visit` with every name.
    pub fn visit_texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let names = [Some(&mut self.phase), Some(&mut self.step), self.item.as_mut(), self.host.as_mut()];
        names.into_iter().flatten().for_each(visit);
    }
}

impl Outcome {
    /// Calls `visit` with every text.
    pub fn visit_texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Same { seen: text }
            | Self::Waits { seen: text }
            | Self::Skipped { why: text }
            | Self::Pending { needs: text }
            | Self::Cancelled { needs: text } => visit(text),
            Self::Failed(problem) | Self::Warned(problem) | Self::Unknown(problem) => problem.visit_texts(visit),
            Self::Changed | Self::Kept { .. } => {}
        }
    }
}

impl Problem {
    /// Calls `visit` with every text.
    pub fn visit_texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        std::iter::once(&mut self.message).chain(&mut self.hint).for_each(visit);
    }
}
