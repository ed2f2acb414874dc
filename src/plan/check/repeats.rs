//! What would be done over and over: steps without a guard, and files that several hosts write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checker::{CheckedStep, Checker, View};
use super::params::Rendering;
use crate::finding::listed;
use crate::plan::{FileKind, StepKind};

impl Checker<'_> {
    pub(super) fn repeats(&mut self, steps: &[CheckedStep<'_>]) {
        for known in steps {
            self.unguarded(known);
        }
        self.written(steps);
    }

    /// A step that does the same again in each run; a handler runs only when it is asked to.
    fn unguarded(&mut self, known: &CheckedStep<'_>) {
        let Some(kind) = known.kind.filter(|kind| !kind.conditions.is_empty()) else { return };
        let step = known.step;
        let guarded = kind.conditions.iter().any(|guard| step.params.contains_key(*guard));
        if step.kind != StepKind::Step || guarded || self.conditional(known) {
            return;
        }
        let message =
            format!("step `{}` has no guard: {} would do the same again in each run", step.id.value, kind.name);
        let phase = &self.plan.phases[known.phase].name.value;
        let guards = listed(kind.conditions.iter().copied().chain(["when"]));
        let help = format!("give it one of {guards}, or make it a `[[phase.{phase}.handler]]` that steps notify");
        self.error("no-guard", &step.action.span, message, Some(help));
    }

    /// Files of the project that are written from more than one host, or for more than one item. Where a step may be left
    /// out, the run tells.
    fn written(&mut self, steps: &[CheckedStep<'_>]) {
        let mut writers: HashMap<PathBuf, Writer<'_>> = HashMap::new();
        for known in steps {
            let Some(kind) = known.kind.as_ref().filter(|_| !self.conditional(known)) else { continue };
            for param in self.params_of(kind).iter().filter(|param| param.file == Some(FileKind::Written)) {
                let Some(raw) = known.step.params.get(&param.name) else { continue };
                if matches!(self.rendering(raw, known.step), Rendering::Later | Rendering::Secret) {
                    continue;
                }
                let mut views = self.views(known);
                if known.step.run_once {
                    let one_host = views.iter().take_while(|view| view.host == views[0].host).count();
                    views.truncate(one_host);
                }
                for View { host, item, context } in views {
                    let Ok(Value::String(path)) = self.templates.render_value(raw, &context) else { continue };
                    let writer = Writer { step: &known.step.id.value, host: host.map(|host| host.name.clone()), item };
                    let first = writers.entry(Path::new(".").join(&path)).or_insert_with(|| writer.clone());
                    if first.host == writer.host && (first.step != writer.step || first.item == writer.item) {
                        continue;
                    }
                    let message = format!("{first} and {writer} would both write `{path}`");
                    let help = "have each write a file of its own: put `{{ host.name }}` or `{{ item }}` into the path";
                    let span = known.step.place(&format!("/{}", param.name));
                    self.error("written-twice", &span, message, Some(help.to_owned()));
                    break;
                }
            }
        }
    }

    fn conditional(&self, known: &CheckedStep<'_>) -> bool {
        known.step.when.is_some() || self.plan.phases[known.phase].when.is_some()
    }
}

/// Who writes a file.
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
