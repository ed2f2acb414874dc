//! Checks that actions exist and accept their parameters.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::checker::{CheckedStep, Checker, View};
use super::templates::{collect_strings, is_render_failure};
use crate::digest::sha256;
use crate::finding::{Finding, Span, did_you_mean, listed};
use crate::plan::secret_entries::without_secrets;
use crate::plan::step::STEP_KEYS;
use crate::plan::{ActionInfo, Param, ParamError, Step};
use crate::template::Context;

impl Checker<'_> {
    /// The action of a step; reports an error if it does not exist.
    pub(super) fn action(&mut self, step: &Step) -> Option<ActionInfo> {
        let name = &step.action.value;
        if let Some(action) = self.catalog.action(name) {
            return Some(*action);
        }
        let actions = self.catalog.actions();
        let suggestion = did_you_mean(name, actions.iter().map(|k| k.name));
        let group = name.split('.').next().unwrap_or_default();
        let same_group: Vec<&str> =
            actions.iter().map(|k| k.name).filter(|n| n.split('.').next() == Some(group)).collect();
        let help = suggestion.unwrap_or_else(|| {
            if same_group.is_empty() {
                "`rollout actions` lists all actions".to_owned()
            } else {
                format!("there are {}", listed(same_group))
            }
        });
        self.error("unknown-action", &step.action.span, format!("no action is named `{name}`"), Some(help));
        None
    }

    pub(super) fn params(&mut self, steps: &[CheckedStep<'_>]) {
        for checked in steps {
            let Some(action) = &checked.action else { continue };
            let params = self.params_of(action);
            let mut unknown = self.unknown_params(checked.step, action, &params);
            unknown.extend(self.missing_params(checked.step, action, &params));
            self.param_values(checked, action, &params, &unknown);
        }
    }

    /// Reports parameters that the action does not have, and returns their names.
    fn unknown_params(&mut self, step: &Step, action: &ActionInfo, params: &[Param]) -> Vec<String> {
        let names = || params.iter().map(|p| p.name.as_str());
        let unknown: Vec<String> = step.params.keys().filter(|k| !names().any(|n| n == *k)).cloned().collect();
        for key in &unknown {
            let suggestion = did_you_mean(key, names().chain(STEP_KEYS.iter().copied()));
            let help = suggestion.unwrap_or_else(|| format!("it has {}", listed(names())));
            let span = step.key_place(&format!("/{key}"));
            self.error("unknown-parameter", &span, format!("{} has no parameter `{key}`", action.name), Some(help));
        }
        unknown
    }

    /// Reports required parameters that are missing, and returns their names.
    fn missing_params(&mut self, step: &Step, action: &ActionInfo, params: &[Param]) -> Vec<String> {
        let required = params.iter().filter(|p| p.required && !step.params.contains_key(&p.name));
        let mut missing = Vec::new();
        for param in required {
            let message = format!("step `{}` has no `{}`, which {} needs", step.id.value, param.name, action.name);
            let about = param.about.lines().next().unwrap_or_default();
            let help = format!("`{}` ({}): {about}", param.name, param.kind);
            self.error("missing-parameter", &step.action.span, message, Some(help));
            missing.push(param.name.clone());
        }
        missing
    }

    /// Checks the types and the action's own rules, with all values that are known before the run.
    fn param_values(&mut self, checked: &CheckedStep<'_>, action: &ActionInfo, params: &[Param], unknown: &[String]) {
        let mut checked_values = HashSet::new();
        let mut reported: BTreeSet<(String, String)> = BTreeSet::new();
        let renderings: Vec<Rendering> =
            checked.step.params.values().map(|raw| self.rendering(raw, checked.step)).collect();
        let mut views = self.views(checked);
        if !renderings.contains(&Rendering::PerHost) {
            let one_host = views.iter().take_while(|view| view.host == views[0].host).count();
            views.truncate(if renderings.contains(&Rendering::PerItem) { one_host } else { 1 });
        }
        let mut shared: Map<String, Value> = Map::new();
        for View { host, item, context } in views {
            let mut rendered = Map::new();
            let mut unknown: BTreeSet<String> = unknown.iter().cloned().collect();
            let mut secret_values = Map::new();
            for ((key, raw), rendering) in checked.step.params.iter().zip(&renderings) {
                let value = match (rendering, shared.get(key)) {
                    (Rendering::Later, _) => {
                        unknown.insert(key.clone());
                        continue;
                    }
                    (Rendering::Same, Some(value)) => Ok(value.clone()),
                    _ => self.templates.render_value(raw, &context),
                };
                match value {
                    Ok(value) if *rendering == Rendering::Secret => {
                        unknown.insert(key.clone());
                        secret_values.insert(key.clone(), value);
                    }
                    Err(_) if *rendering == Rendering::Secret => drop(unknown.insert(key.clone())),
                    Ok(value) => {
                        if *rendering == Rendering::Same && !shared.contains_key(key) {
                            shared.insert(key.clone(), value.clone());
                        }
                        rendered.insert(key.clone(), value);
                    }
                    Err(error) => {
                        unknown.insert(key.clone());
                        let place = self.failing_span(checked.step, key, raw, &context);
                        if is_render_failure(&error) && reported.insert((key.clone(), error.message.clone())) {
                            self.error("bad-template", &place, error.message, None);
                        }
                    }
                }
            }
            // Remembers only a hash: the values of all hosts together may be large.
            if !checked_values.insert(sha256(Value::Object(rendered.clone()).to_string().as_bytes())) {
                continue;
            }
            for error in shown_secrets(action, params, &rendered, &secret_values, &unknown) {
                if reported.insert((error.pointer.clone(), error.message.clone())) {
                    let span = checked.step.place(&error.pointer);
                    self.error("bad-parameter", &span, explain(&error, params, &rendered), None);
                }
            }
            for error in refusals(action, params, rendered.clone(), unknown) {
                let message = explain(&error, params, &rendered);
                if !reported.insert((error.pointer.clone(), message.clone())) {
                    continue;
                }
                let raw = checked.step.params.get(key_of(&error.pointer));
                let value = rendered.get(key_of(&error.pointer));
                let label = match (raw, value) {
                    (Some(raw), Some(value)) if raw != value => {
                        let of = item.as_ref().map(|item| format!(" for {item}")).unwrap_or_default();
                        let on = host.as_ref().map(|h| format!(" on {}", h.name)).unwrap_or_default();
                        format!("is {}{of}{on}", shortened(value))
                    }
                    _ => String::new(),
                };
                let span = checked.step.place(&error.pointer);
                let text = value.and_then(Value::as_str);
                let inside = text.and_then(|t| self.text_error_span(action, key_of(&error.pointer), t, &span));
                let span = inside.unwrap_or(span);
                let finding = Finding::error("bad-parameter", message).at(&self.plan.source, span, label);
                self.findings.push(finding.maybe_help(variant_help(&error)));
            }
        }
    }

    fn failing_span(&self, step: &Step, key: &str, raw: &Value, context: &Context) -> Span {
        let mut strings = Vec::new();
        collect_strings(raw, format!("/{key}"), &mut strings);
        let failing = strings.iter().find(|(_, text)| {
            self.templates
                .render_value(&Value::String((*text).to_owned()), context)
                .is_err_and(|e| is_render_failure(&e))
        });
        step.place(failing.map_or(&format!("/{key}"), |(pointer, _)| pointer))
    }

    pub(super) fn rendering(&self, raw: &Value, step: &Step) -> Rendering {
        let mut names = self.templates.names_in_value(raw);
        let of_item = names.iter().any(|n| n.split('.').next() == Some("item"));
        if let Some(items) = step.for_each.as_ref().filter(|_| of_item) {
            names.extend(self.templates.names_in_value(&items.value));
        }
        let roots: Vec<&str> = names.iter().filter_map(|n| n.split('.').next()).collect();
        if roots.contains(&"steps") {
            Rendering::Later
        } else if !self.references.secrets_of(&names).is_empty() {
            Rendering::Secret
        } else if roots.into_iter().any(|root| root == "host" || self.scope.differs(root)) {
            Rendering::PerHost
        } else if of_item {
            Rendering::PerItem
        } else {
            Rendering::Same
        }
    }
}

/// When a parameter's value is known, and for which hosts and items it must be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rendering {
    /// Known only after other steps have run.
    Later,
    /// Known only after secrets have been read.
    Secret,
    /// Known, and the same on all hosts.
    Same,
    /// Known, and may differ between the items of a loop.
    PerItem,
    /// Known, and may differ between hosts.
    PerHost,
}

/// All parameters that the action refuses. The values of `open` parameters are not known: samples of the right type
/// replace them, and errors about them are ignored.
fn refusals(
    action: &ActionInfo,
    params: &[Param],
    mut values: Map<String, Value>,
    mut unknown: BTreeSet<String>,
) -> Vec<ParamError> {
    let mut refused = Vec::new();
    let names: BTreeSet<&str> = params.iter().map(|p| p.name.as_str()).collect();
    values.retain(|key, _| names.contains(key.as_str()));
    for _ in 0..=params.len() {
        for param in params.iter().filter(|p| unknown.contains(&p.name)) {
            values.insert(param.name.clone(), param.sample());
        }
        let Err(error) = (action.validate)(&Value::Object(values.clone())) else { break };
        let key = key_of(&error.pointer).to_owned();
        if unknown.contains(&key) {
            // A rule about the real value. All types have been checked by then.
            break;
        }
        if key.is_empty() && !unknown.is_empty() {
            break;
        }
        let repeated = refused.iter().any(|r: &ParamError| r.pointer == error.pointer);
        if repeated {
            break;
        }
        refused.push(error);
        if key.is_empty() {
            break;
        }
        unknown.insert(key);
    }
    refused
}

/// Parameters that the action refuses only because they contain a secret. Other errors about such a parameter are
/// ignored, because its value is not known.
fn shown_secrets(
    action: &ActionInfo,
    params: &[Param],
    values: &Map<String, Value>,
    secret_values: &Map<String, Value>,
    unknown: &BTreeSet<String>,
) -> Vec<ParamError> {
    let mut values_with_samples = values.clone();
    for param in params.iter().filter(|p| unknown.contains(&p.name)) {
        values_with_samples.insert(param.name.clone(), param.sample());
    }
    let refused = |key: &String, value: &Value| {
        let with = Map::from_iter(values_with_samples.clone().into_iter().chain([(key.clone(), value.clone())]));
        let error = (action.validate)(&Value::Object(with.clone())).err().filter(|e| key_of(&e.pointer) == key)?;
        let without = (action.validate)(&Value::Object(without_secrets(&with))).err();
        (without.as_ref() != Some(&error)).then_some(error)
    };
    secret_values.iter().filter_map(|(key, value)| refused(key, value)).collect()
}

fn key_of(pointer: &str) -> &str {
    pointer.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// Rewrites errors of the deserialiser that name Rust types.
fn explain(error: &ParamError, params: &[Param], values: &Map<String, Value>) -> String {
    let path = error.pointer.trim_start_matches('/').replace('/', ".");
    let param = params.iter().find(|p| p.name == path);
    if let (Some(param), true) =
        (param, error.message.starts_with("invalid type") || error.message.starts_with("invalid value"))
    {
        let got = values.get(&path).map_or_else(|| "nothing".to_owned(), type_name);
        return format!("`{path}` must be {}, not {got}", with_article(&param.kind));
    }
    let message = error.message.split(" at line ").next().unwrap_or_default();
    if path.is_empty() || message.contains(&format!("`{path}`")) {
        message.to_owned()
    } else {
        format!("`{path}`: {message}")
    }
}

fn with_article(kind: &str) -> String {
    let a = match kind.chars().next() {
        _ if kind.starts_with("one of") || kind.starts_with("any") => return kind.to_owned(),
        Some('a' | 'e' | 'i' | 'o' | 'u') => "an",
        _ => "a",
    };
    format!("{a} {kind}")
}

fn type_name(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

/// "Did you mean" for an unknown value of an enumeration.
fn variant_help(error: &ParamError) -> Option<String> {
    let rest = error.message.strip_prefix("unknown variant `")?;
    let (got, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    did_you_mean(got, known)
}
