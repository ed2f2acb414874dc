//! Checks `for_each`, `run_once` and `delegate_to`. Their values must be known before the run.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{CheckedStep, Checker, View};
use super::outputs::{Owner, StepOrder};
use super::templates::{TemplateScope, collect_strings, is_render_failure};
use crate::finding::{Span, Spanned, did_you_mean, listed};
use crate::inventory::Host;
use crate::plan::{ItemError, RunsOn, Step};

impl Checker<'_> {
    pub(super) fn loops(&mut self, steps: &[CheckedStep<'_>]) {
        let order = StepOrder::new(self.plan, steps);
        for (n, checked) in steps.iter().enumerate() {
            let step = checked.step;
            if let Some(list) = &step.for_each {
                let mut strings = Vec::new();
                collect_strings(&list.value, "/for_each".to_owned(), &mut strings);
                let mut all_known = true;
                for (pointer, text) in strings {
                    all_known &= self.is_known_before_run("for_each", text, &step.place(&pointer));
                }
                if all_known {
                    self.items(n, list, steps, &order);
                }
            }
            if step.run_once && step.hosts.is_none() {
                let message = format!("`run_once` has no effect on step `{}`, which runs once anyway", step.id.value);
                self.warn("useless-key", &step.id.span, message, None);
            }
            if let Some(name) = &step.delegate_to
                && self.may_delegate(checked, name)
                && self.is_known_before_run("delegate_to", &name.value, &name.span)
            {
                let views = self.views(checked);
                let scope = TemplateScope { owner: Owner::Step(n), views: &views, steps, order: &order };
                self.text(&name.value, &name.span, scope);
                self.delegate_hosts_exist(checked, name);
            }
        }
    }

    /// Whether a text uses only values that are known before the first step runs; reports an error if not.
    fn is_known_before_run(&mut self, key: &str, text: &str, span: &Span) -> bool {
        let names = self.templates.names("", text).unwrap_or_default();
        let uses = |root: &str| names.iter().any(|n| n.split('.').next() == Some(root));
        let (what, help) = if uses("steps") {
            let help = match key {
                "for_each" => "write the items into [vars], or let one step do it for all of them with a template",
                _ => "use variables of the hosts",
            };
            (format!("`{key}` is evaluated before the first step runs, so outputs of steps are not available"), help)
        } else if key == "for_each" && uses("item") {
            ("`item` is not defined in `for_each` itself".to_owned(), "use variables, `groups` or `hosts`")
        } else if key == "delegate_to" && !self.references.secrets_of(&names).is_empty() {
            ("`delegate_to` uses a secret, but its value is shown in output".to_owned(), "write the machine's name")
        } else {
            return true;
        };
        self.error("known-too-late", span, what, Some(help.to_owned()));
        false
    }

    /// Checks the items of a loop on all hosts.
    fn items(&mut self, n: usize, list: &Spanned<serde_json::Value>, steps: &[CheckedStep<'_>], order: &StepOrder) {
        let (checked, step) = (&steps[n], steps[n].step);
        let host_views = self.host_views(checked);
        let mut strings = Vec::new();
        collect_strings(&list.value, "/for_each".to_owned(), &mut strings);
        let scope = TemplateScope { owner: Owner::Step(n), views: &host_views, steps, order };
        for (pointer, text) in strings {
            self.text(text, &step.place(&pointer), scope);
        }
        let checked_views = if self.same_items(step) { host_views.get(..1).unwrap_or_default() } else { &host_views };
        let (mut count, mut errors) = (0, BTreeMap::new());
        for View { host, context, .. } in checked_views {
            match step.items(&self.templates, context) {
                Ok(items) => count += items.map_or(0, |items| items.len()),
                Err(error) => {
                    let (_, hosts) = errors.entry(error.to_string()).or_insert_with(|| (error, Vec::new()));
                    hosts.extend(host.as_ref().map(|h| h.name.as_str()));
                }
            }
        }
        if count == 0 && !host_views.is_empty() && errors.is_empty() {
            let message = format!("`for_each` has no items: step `{}` does nothing", step.id.value);
            self.warn("empty-loop", &list.span, message, None);
        }
        for (error, hosts) in errors.into_values() {
            let on = if hosts.len() < checked_views.len() { format!(" on {}", listed(hosts)) } else { String::new() };
            self.bad_items(step, list, error, &on);
        }
    }

    fn bad_items(&mut self, step: &Step, list: &Spanned<serde_json::Value>, error: ItemError, on: &str) {
        match error {
            ItemError::Bad { pointer, message, help } => {
                self.error("bad-loop", &step.place(&pointer), message + on, Some(help));
            }
            ItemError::Template(error) if is_render_failure(&error) => {
                let secrets = self.references.secrets_of(&self.templates.names_in_value(&list.value));
                if secrets.is_empty() {
                    self.error("bad-loop", &list.span, error.message, None);
                } else {
                    let message = "the items of `for_each` are made from a secret, so their names cannot be known";
                    let help = "write the items with their names, and the secret in another field of each";
                    self.error("bad-loop", &list.span, message, Some(help.to_owned()));
                }
            }
            // Undefined names have been reported by [`Checker::text`].
            ItemError::Template(_) => {}
        }
    }

    /// Whether the step runs on hosts, so that it can be delegated; reports an error if not.
    fn may_delegate(&mut self, checked: &CheckedStep<'_>, name: &Spanned<String>) -> bool {
        let (id, action_name) = (&checked.step.id.value, &checked.step.action.value);
        let (message, help) = match (&checked.action, &checked.step.hosts) {
            (Some(action), _) if action.runs_on != RunsOn::Host => {
                (format!("step `{id}` has `delegate_to`, but {action_name} runs once, from this machine"), "remove it")
            }
            (_, None) => {
                let help = "write the machine as `hosts`; `delegate_to` does for each host something elsewhere";
                (format!("step `{id}` has `delegate_to` and no `hosts`"), help)
            }
            _ => return true,
        };
        self.error("useless-delegate", &name.span, message, Some(help.to_owned()));
        false
    }

    /// Checks that the machines in `delegate_to` exist.
    fn delegate_hosts_exist(&mut self, checked: &CheckedStep<'_>, name: &Spanned<String>) {
        let views = self.views(checked);
        let machines: BTreeSet<String> =
            views.iter().filter_map(|view| checked.step.delegate(&self.templates, &view.context)?.ok()).collect();
        let names = || self.inventory.hosts.iter().map(|h| h.name.as_str());
        let unknown: Vec<&String> =
            machines.iter().filter(|n| *n != Host::CONTROLLER && !names().any(|h| h == *n)).collect();
        let Some(first) = unknown.first() else { return };
        let help = did_you_mean(first, names().chain([Host::CONTROLLER]));
        let help = help.unwrap_or_else(|| "write the name of one host of the inventory, or `localhost`".to_owned());
        self.error("unknown-host", &name.span, format!("no host is named `{first}`"), Some(help));
    }
}
