//! Redacts the texts of a unit in its own task, so that megabytes from a hostile host do not hold up the dispatcher.

use super::completion::last_lines;
use super::executor::job::{Execution, ExecutionResult, Note, Redacted};
use super::recorder::{redact_outputs, redact_text};
use crate::secret;

/// Executions with more text than this are redacted in a task of their own.
const SHORT_BYTES: usize = 4096;

impl Execution {
    /// Redacts all texts of the execution.
    pub fn redacted(mut self) -> Self {
        let secrets = secret::version();
        self.result.texts(&mut redact_text);
        self.diff = self.diff.redacted();
        self.printed = last_lines(&self.printed);
        let mut outputs = self.outputs.clone();
        redact_outputs(&mut outputs);
        self.redacted = Some(Box::new(Redacted { outputs, secrets }));
        self
    }

    /// Whether redacting takes so little time that the dispatcher may do it.
    pub fn is_short(&self) -> bool {
        let mut left = SHORT_BYTES.saturating_sub(self.printed.len());
        self.diff.is_empty() && left > 0 && self.outputs.values().all(|value| fits(value, &mut left))
    }
}

/// Whether a value fits into the bytes that are left; takes them off.
fn fits(value: &serde_json::Value, left: &mut usize) -> bool {
    let size = 8 + value.as_str().map_or(0, str::len);
    *left = left.saturating_sub(size);
    *left > 0
        && match value {
            serde_json::Value::Array(items) => items.iter().all(|item| fits(item, left)),
            serde_json::Value::Object(map) => map.values().all(|item| fits(item, left)),
            _ => true,
        }
}

impl ExecutionResult {
    fn texts(&mut self, each: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Same { seen: text } | Self::NotReady { seen: text } | Self::NotStarted { needs: text } => each(text),
            Self::Failed(problem) | Self::Diverged(problem) | Self::Unknown(problem) => problem.visit_texts(each),
            Self::Changed | Self::Missing(_) => {}
        }
    }
}

impl Note {
    pub fn redacted(mut self) -> Self {
        match &mut self {
            Self::Progress(text) | Self::Retried { message: text, .. } => redact_text(text),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diff::Diff;
    use crate::event::Outputs;
    use crate::event::Problem;

    #[test]
    fn all_that_is_told_is_clean_and_later_steps_get_what_was_said() {
        const POISON: &str = "poison-of-a-hostile-host";
        secret::register(POISON);
        let text = || format!("\x1b[31m{POISON}\x1b[0m\r");
        let outputs = Outputs::from_iter([("stdout".to_owned(), json!(text()))]);
        for result in [
            ExecutionResult::Same { seen: text() },
            ExecutionResult::NotReady { seen: text() },
            ExecutionResult::NotStarted { needs: text() },
            ExecutionResult::Failed(Problem::new(text()).hint(text())),
            ExecutionResult::Diverged(Problem::new(text())),
            ExecutionResult::Unknown(Problem::new(text())),
        ] {
            let (diff, printed) = (Diff::text(text(), text(), text() + "x"), text());
            let ended =
                Execution { result, diff, outputs: outputs.clone(), printed, provides: Vec::new(), redacted: None };
            let ended = ended.redacted();
            let told = ended.redacted.map(|redacted| redacted.outputs);
            let said = format!("{:?} {} {}", ended.result, ended.printed, ended.diff.0[0].lines().join(" "));
            assert!(!said.contains("poison") && !said.contains(['\x1b', '\r']), "{said}");
            assert!(!format!("{told:?}").contains("poison"), "{told:?}");
            assert_eq!(ended.outputs, outputs);
        }
    }
}
