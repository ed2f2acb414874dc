//! Loops and where their steps run: `for_each`, `run_once`, `delegate_to`. All are known before the run, or never.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{CheckedStep, Checker, View};
use super::outputs::{Before, Owner};
use super::templates::{collect, fails};
use crate::finding::{Span, Spanned, did_you_mean, listed};
use crate::inventory::Host;
use crate::plan::{ItemError, RunsOn, Step};

impl Checker<'_> {
    pub(super) fn loops(&mut self, steps: &[CheckedStep<'_>]) {
        let before = Before::new(self.plan, steps);
        for (n, known) in steps.iter().enumerate() {
            let step = known.step;
            if let Some(list) = &step.for_each {
                let mut strings = Vec::new();
                collect(&list.value, "/for_each".to_owned(), &mut strings);
                let mut sound = true;
                for (pointer, text) in strings {
                    sound &= self.is_known_ahead("for_each", text, &step.place(&pointer));
                }
                if sound {
                    self.items(n, list, steps, &before);
                }
            }
            if step.run_once && step.hosts.is_none() {
                let message = format!("`run_once` has no effect on step `{}`, which runs once anyway", step.id.value);
                self.warn("useless-key", &step.id.span, message, None);
            }
            if let Some(name) = &step.delegate_to
                && self.may_delegate(known, name)
                && self.is_known_ahead("delegate_to", &name.value, &name.span)
            {
                self.text(&name.value, &name.span, Owner::Step(n), &self.views(known), steps, &before);
                self.machines(known, name);
            }
        }
    }

    /// Whether a text uses only what is known before the first step runs.
    fn is_known_ahead(&mut self, key: &str, text: &str, span: &Span) -> bool {
        let names = self.templates.names("", text).unwrap_or_default();
        let uses = |root: &str| names.iter().any(|n| n.split('.').next() == Some(root));
        let (what, help) = if uses("steps") {
            let help = match key {
                "for_each" => "write the items into [vars], or let one step do it for all of them with a template",
                _ => "use variables of the hosts",
            };
            (format!("`{key}` is decided before the first step runs, so no step's outputs are there yet"), help)
        } else if key == "for_each" && uses("item") {
            ("`item` is not there yet in `for_each` itself".to_owned(), "use variables, `groups` or `hosts`")
        } else if key == "delegate_to" && !self.references.secrets_of(&names).is_empty() {
            ("`delegate_to` uses a secret, and is shown everywhere".to_owned(), "write the machine's name")
        } else {
            return true;
        };
        self.error("known-too-late", span, what, Some(help.to_owned()));
        false
    }

    /// What a loop is over.
    fn items(&mut self, n: usize, list: &Spanned<serde_json::Value>, steps: &[CheckedStep<'_>], before: &Before) {
        let (known, step) = (&steps[n], steps[n].step);
        let outside = self.outside(known);
        let mut strings = Vec::new();
        collect(&list.value, "/for_each".to_owned(), &mut strings);
        for (pointer, text) in strings {
            self.text(text, &step.place(&pointer), Owner::Step(n), &outside, steps, before);
        }
        let asked = if self.same_items(step) { outside.get(..1).unwrap_or_default() } else { &outside };
        let (mut count, mut wrong) = (0, BTreeMap::new());
        for View { host, context, .. } in asked {
            match step.items(&self.templates, context) {
                Ok(items) => count += items.map_or(0, |items| items.len()),
                Err(error) => {
                    let (_, hosts) = wrong.entry(error.to_string()).or_insert_with(|| (error, Vec::new()));
                    hosts.extend(host.as_ref().map(|h| h.name.as_str()));
                }
            }
        }
        if count == 0 && !outside.is_empty() && wrong.is_empty() {
            let message = format!("`for_each` has no items: step `{}` does nothing", step.id.value);
            self.warn("empty-loop", &list.span, message, None);
        }
        for (error, hosts) in wrong.into_values() {
            let on = if hosts.len() < asked.len() { format!(" on {}", listed(hosts)) } else { String::new() };
            self.bad_items(step, list, error, &on);
        }
    }

    fn bad_items(&mut self, step: &Step, list: &Spanned<serde_json::Value>, error: ItemError, on: &str) {
        match error {
            ItemError::Bad { pointer, message, help } => {
                self.error("bad-loop", &step.place(&pointer), message + on, Some(help));
            }
            ItemError::Template(error) if fails(&error) => {
                let secrets = self.references.secrets_of(&self.templates.names_in_value(&list.value));
                if secrets.is_empty() {
                    self.error("bad-loop", &list.span, error.message, None);
                } else {
                    let message = "the items of `for_each` are made from a secret, so their names cannot be known";
                    let help = "write the items with their names, and the secret in another field of each";
                    self.error("bad-loop", &list.span, message, Some(help.to_owned()));
                }
            }
            // What is not defined has been found.
            ItemError::Template(_) => {}
        }
    }

    /// Whether a step runs on hosts, in whose place another machine can be.
    fn may_delegate(&mut self, known: &CheckedStep<'_>, name: &Spanned<String>) -> bool {
        let (id, action) = (&known.step.id.value, &known.step.action.value);
        let (message, help) = match (&known.kind, &known.step.hosts) {
            (Some(kind), _) if kind.runs_on != RunsOn::Host => {
                (format!("step `{id}` has `delegate_to`, but {action} runs once, from this machine"), "take it away")
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

    /// The machines that a step is delegated to are there.
    fn machines(&mut self, known: &CheckedStep<'_>, name: &Spanned<String>) {
        let views = self.views(known);
        let named: BTreeSet<String> =
            views.iter().filter_map(|view| known.step.delegate(&self.templates, &view.context)?.ok()).collect();
        let names = || self.inventory.hosts.iter().map(|h| h.name.as_str());
        let unknown: Vec<&String> =
            named.iter().filter(|n| *n != Host::CONTROLLER && !names().any(|h| h == *n)).collect();
        let Some(first) = unknown.first() else { return };
        let help = did_you_mean(first, names().chain([Host::CONTROLLER]));
        let help = help.unwrap_or_else(|| "write the name of one host of the inventory, or `localhost`".to_owned());
        self.error("unknown-host", &name.span, format!("no host is named `{first}`"), Some(help));
    }
}
