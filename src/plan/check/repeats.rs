//! Checks for work that would be repeated: steps that would act in each run, and files that several units write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checker::{CheckedStep, Checker, View};
use super::params::Rendering;
use crate::finding::listed;
use crate::plan::{FileKind, StepKind};

impl Checker<'_> {
    pub(super) fn repeats(&mut self, steps: &[CheckedStep<'_>]) {
        for checked in steps {
            self.unconditional_step(checked);
        }
        self.written_files(steps);
    }

    /// Reports a step that would act again in each run because it has no condition. Handlers are exempt: they run only
    /// when notified.
    fn unconditional_step(&mut self, checked: &CheckedStep<'_>) {
        let Some(action) = checked.action.filter(|action| !action.conditions.is_empty()) else { return };
        let step = checked.step;
        let guarded = action.conditions.iter().any(|guard| step.params.contains_key(*guard));
        if step.kind != StepKind::Step || guarded || self.is_conditional(checked) {
            return;
        }
        let message = format!("step `{}` has no condition: {} would act again in each run", step.id.value, action.name);
        let phase = &self.plan.phases[checked.phase].name.value;
        let guards = listed(action.conditions.iter().copied().chain(["when"]));
        let help = format!("give it one of {guards}, or make it a `[[phase.{phase}.handler]]` that steps notify");
        self.error("no-guard", &step.action.span, message, Some(help));
    }

    /// Reports files of the project that are written for more than one host or item. Steps with `when` are left to the
    /// run, which checks again.
    fn written_files(&mut self, steps: &[CheckedStep<'_>]) {
        let mut writers: HashMap<PathBuf, Writer<'_>> = HashMap::new();
        for checked in steps {
            let Some(action) = checked.action.as_ref().filter(|_| !self.is_conditional(checked)) else { continue };
            for param in self.params_of(action).iter().filter(|param| param.file == Some(FileKind::Written)) {
                let Some(raw) = checked.step.params.get(&param.name) else { continue };
                if matches!(self.rendering(raw, checked.step), Rendering::Later | Rendering::Secret) {
                    continue;
                }
                let mut views = self.views(checked);
                if checked.step.run_once {
                    let one_host = views.iter().take_while(|view| view.host == views[0].host).count();
                    views.truncate(one_host);
                }
                for View { host, item, context } in views {
                    let Ok(Value::String(path)) = self.templates.render_value(raw, &context) else { continue };
                    let writer =
                        Writer { step: &checked.step.id.value, host: host.map(|host| host.name.clone()), item };
                    let first = writers.entry(Path::new(".").join(&path)).or_insert_with(|| writer.clone());
                    if first.host == writer.host && (first.step != writer.step || first.item == writer.item) {
                        continue;
                    }
                    let message = format!("{first} and {writer} would both write `{path}`");
                    let help = "have each write a file of its own: put `{{ host.name }}` or `{{ item }}` into the path";
                    let span = checked.step.place(&format!("/{}", param.name));
                    self.error("written-twice", &span, message, Some(help.to_owned()));
                    break;
                }
            }
        }
    }

    fn is_conditional(&self, checked: &CheckedStep<'_>) -> bool {
        checked.step.when.is_some() || self.plan.phases[checked.phase].when.is_some()
    }
}

/// The unit that writes a file.
#[derive(Clone)]
struct Writer<'a> {
    step: &'a str,
    host: Option<String>,
    item: Option<String>,
}

impl std::fmt::Display for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.step)?;
        self.item.iter().try_for_each(|item| write!(f, "[{item}]"))?;
        self.host.iter().try_for_each(|host| write!(f, "@{host}"))
    }
}
