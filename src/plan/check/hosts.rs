//! Checks host patterns, and whether the action of a step runs on hosts at all.

use std::sync::Arc;

use super::checker::Checker;
use crate::inventory::Host;
use crate::plan::{ActionInfo, RunsOn, Step};
use crate::template::is_template;

impl Checker<'_> {
    /// The hosts of a step. `None` without a valid pattern.
    pub(super) fn hosts(&mut self, step: &Step, action: Option<&ActionInfo>) -> Option<Vec<Arc<Host>>> {
        let id = &step.id.value;
        let Some(pattern) = &step.hosts else {
            if let Some(action) = action.filter(|k| k.runs_on == RunsOn::Host) {
                let message = format!("step `{id}` has no `hosts`, and {} runs on hosts", action.name);
                let help = "add `hosts = \"all\"`, a group or a host of the inventory".to_owned();
                self.error("no-hosts", &step.action.span, message, Some(help));
            } else if step.as_root {
                let message = format!("`become` has no effect on step `{id}`, which runs on no host");
                self.warn("useless-key", &step.id.span, message, None);
            }
            return None;
        };
        if let Some(action) = action.filter(|k| k.runs_on != RunsOn::Host) {
            let message = format!("step `{id}` has `hosts`, but {} runs once, from this machine", action.name);
            self.error("useless-hosts", &pattern.span, message, Some("remove `hosts`".into()));
            return None;
        }
        if is_template(&pattern.value) {
            let help = "use a group, and let each inventory say who is in it".to_owned();
            self.error("unknown-host", &pattern.span, "`hosts` cannot contain templates", Some(help));
            return None;
        }
        match self.inventory.select(&pattern.value) {
            Ok(hosts) => {
                if hosts.is_empty() {
                    let message = format!("no host is left of `{}`: step `{id}` does nothing", pattern.value);
                    self.warn("empty-pattern", &pattern.span, message, None);
                }
                Some(hosts)
            }
            Err(error) => {
                let part = pattern.value.get(error.range.clone()).unwrap_or_default();
                let start = self.plan.source.text[pattern.span.clone()].find(part).filter(|_| !part.is_empty());
                let span = start.map_or(pattern.span.clone(), |at| {
                    // If the wrong part occurs twice, marking the first occurrence is good enough.
                    pattern.span.start + at..pattern.span.start + at + part.len()
                });
                self.error("unknown-host", &span, error.message, error.help);
                None
            }
        }
    }
}
