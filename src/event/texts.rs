//! The texts in an event that somebody outside may have written.

use super::{EventKind, Outcome, Problem, UnitRef};

impl EventKind {
    /// Calls `each` with every text that a person is shown, but for outputs: they are data, shown as JSON only.
    pub fn texts(&mut self, each: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Progress { unit, message: text }
            | Self::UnitRetried { unit, message: text, .. }
            | Self::Dropped { unit, why: text } => {
                unit.texts(each);
                each(text);
            }
            Self::UnitStarted { unit, why, on, .. } => {
                unit.texts(each);
                why.iter_mut().chain(on).for_each(each);
            }
            Self::UnitFinished { unit, outcome, diff, output, .. } => {
                unit.texts(each);
                outcome.texts(each);
                diff.texts(each);
                each(output);
            }
            Self::Undone { unit, by } | Self::Notified { handler: unit, by } => {
                unit.texts(each);
                by.texts(each);
            }
            Self::RunFinished { handlers_left, stuck, .. } => {
                handlers_left.iter_mut().chain(stuck).for_each(|unit| unit.texts(each));
            }
            Self::RunStarted { run, plan, resumed_from, .. } => {
                [Some(run), Some(plan), resumed_from.as_mut()].into_iter().flatten().for_each(each);
            }
            Self::Remembered { unit, .. } => unit.texts(each),
            Self::Unknown => {}
        }
    }
}

impl UnitRef {
    /// The same for its names.
    pub fn texts(&mut self, each: &mut dyn FnMut(&mut String)) {
        let names = [Some(&mut self.phase), Some(&mut self.step), self.item.as_mut(), self.host.as_mut()];
        names.into_iter().flatten().for_each(each);
    }
}

impl Outcome {
    /// The same for what it says.
    pub fn texts(&mut self, each: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Same { seen: text }
            | Self::Waits { seen: text }
            | Self::Skipped { why: text }
            | Self::Pending { needs: text }
            | Self::Cancelled { needs: text } => each(text),
            Self::Failed(problem) | Self::Warned(problem) | Self::Unknown(problem) => problem.texts(each),
            Self::Changed | Self::Kept { .. } => {}
        }
    }
}

impl Problem {
    /// The same for what it says.
    pub fn texts(&mut self, each: &mut dyn FnMut(&mut String)) {
        std::iter::once(&mut self.message).chain(&mut self.hint).for_each(each);
    }
}
