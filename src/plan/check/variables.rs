//! Reports variables that cannot be resolved, and variables and secrets that are not used.

use serde_json::Value;

use super::checker::Checker;
use super::templates::{is_render_failure, variable_help};
use crate::finding::Finding;
use crate::plan::ScopeError;
use crate::template::VariableError;

impl Checker<'_> {
    pub(super) fn variables(&mut self, errors: &[ScopeError]) {
        for error in errors {
            let name = error.error.variable();
            if self.depends_on_secret(&error.error) {
                continue;
            }
            let known = |what: &str| self.scope.controller().names_at(what);
            let mut message = error.error.to_string();
            if let Some(host) = &error.host {
                message = format!("{message} (on {host})");
            }
            let help = variable_help(&error.error, known);
            let finding = Finding::error("bad-variable", message).maybe_help(help);
            let place = if self.overrides.contains_key(name) {
                None
            } else {
                let in_plan = self.plan.vars.iter().find(|(key, _)| key.value == name);
                let in_plan = in_plan.map(|(_, value)| (&self.plan.source, &value.span));
                self.inventory.place(error.host.as_deref(), name).or(in_plan)
            };
            self.findings.push(match place {
                Some((source, span)) => finding.at(source, span.clone(), ""),
                None => finding,
            });
        }
    }

    /// Whether the error may be caused by the placeholder of a secret, such as a filter that needs the real value.
    fn depends_on_secret(&self, error: &VariableError) -> bool {
        let VariableError::Template { name, error } = error else { return false };
        let names = self.templates.names_in_value(&Value::String(format!("{{{{ {name} }}}}")));
        is_render_failure(error) && !self.references.secrets_of(&names).is_empty()
    }

    /// Warns about variables and secrets of the plan that are not used.
    pub(super) fn unused(&mut self) {
        let plan = self.plan;
        for (_, value) in &plan.vars {
            self.use_names_of(&value.value);
        }
        let inventory = self.inventory;
        inventory.vars.values().chain(inventory.hosts.iter().flat_map(|h| h.vars.values())).for_each(|value| {
            self.use_names_of(value);
        });
        for (name, _) in &plan.vars {
            if !self.used.contains(&name.value) {
                let message = format!("variable `{}` is not used", name.value);
                self.warn("unused-variable", &name.span, message, None);
            }
        }
        for entry in &plan.secrets {
            if !self.used_secrets.contains(&entry.name.value) {
                let message = format!("secret `{}` is not used", entry.name.value);
                self.warn("unused-secret", &entry.name.span, message, None);
            }
        }
    }

    pub(super) fn use_names_of(&mut self, value: &Value) {
        let names = self.templates.names_in_value(value);
        self.used_secrets.extend(self.references.secrets_of(&names));
        self.used.extend(names.iter().filter_map(|n| n.split('.').next()).map(str::to_owned));
    }
}
