//! Actions, and whether they take the parameters that they are given.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::checker::{CheckedStep, Checker, View};
use super::templates::{collect, fails};
use crate::digest::sha256;
use crate::finding::{Finding, Span, did_you_mean, listed};
use crate::plan::secret_entries::without_secrets;
use crate::plan::step::STEP_KEYS;
use crate::plan::{ActionInfo, Param, ParamError, Step};
use crate::template::Context;

impl Checker<'_> {
    /// The action of a step, when there is one of that name.
    pub(super) fn kind(&mut self, step: &Step) -> Option<ActionInfo> {
        let name = &step.action.value;
        if let Some(kind) = self.catalog.action(name) {
            return Some(*kind);
        }
        let kinds = self.catalog.actions();
        let near = did_you_mean(name, kinds.iter().map(|k| k.name));
        let group = name.split('.').next().unwrap_or_default();
        let same_group: Vec<&str> =
            kinds.iter().map(|k| k.name).filter(|n| n.split('.').next() == Some(group)).collect();
        let help = near.unwrap_or_else(|| {
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
        for known in steps {
            let Some(kind) = &known.kind else { continue };
            let params = self.params_of(kind);
            let mut open = self.unknown(known.step, kind, &params);
            open.extend(self.missing(known.step, kind, &params));
            self.values(known, kind, &params, &open);
        }
    }

    /// Parameters that the action does not have.
    fn unknown(&mut self, step: &Step, kind: &ActionInfo, params: &[Param]) -> Vec<String> {
        let names = || params.iter().map(|p| p.name.as_str());
        let extra: Vec<String> = step.params.keys().filter(|k| !names().any(|n| n == *k)).cloned().collect();
        for key in &extra {
            let near = did_you_mean(key, names().chain(STEP_KEYS.iter().copied()));
            let help = near.unwrap_or_else(|| format!("it has {}", listed(names())));
            let span = step.key_place(&format!("/{key}"));
            self.error("unknown-parameter", &span, format!("{} has no parameter `{key}`", kind.name), Some(help));
        }
        extra
    }

    /// Parameters that the action needs and does not get.
    fn missing(&mut self, step: &Step, kind: &ActionInfo, params: &[Param]) -> Vec<String> {
        let absent = params.iter().filter(|p| p.required && !step.params.contains_key(&p.name));
        let mut missing = Vec::new();
        for param in absent {
            let message = format!("step `{}` has no `{}`, which {} needs", step.id.value, param.name, kind.name);
            let about = param.about.lines().next().unwrap_or_default();
            let help = format!("`{}` ({}): {about}", param.name, param.kind);
            self.error("missing-parameter", &step.action.span, message, Some(help));
            missing.push(param.name.clone());
        }
        missing
    }

    /// Types, and the action's own rules, on the values that are known without running anything.
    fn values(&mut self, known: &CheckedStep<'_>, kind: &ActionInfo, params: &[Param], open: &[String]) {
        let mut seen = HashSet::new();
        let mut said: BTreeSet<(String, String)> = BTreeSet::new();
        let kinds: Vec<Rendering> = known.step.params.values().map(|raw| self.rendering(raw, known.step)).collect();
        let mut views = self.views(known);
        if !kinds.contains(&Rendering::PerHost) {
            let one_host = views.iter().take_while(|view| view.host == views[0].host).count();
            views.truncate(if kinds.contains(&Rendering::PerItem) { one_host } else { 1 });
        }
        let mut same: Map<String, Value> = Map::new();
        for View { host, item, context } in views {
            let mut rendered = Map::new();
            let mut open: BTreeSet<String> = open.iter().cloned().collect();
            let mut secret = Map::new();
            for ((key, raw), rendering) in known.step.params.iter().zip(&kinds) {
                let value = match (rendering, same.get(key)) {
                    (Rendering::Later, _) => {
                        open.insert(key.clone());
                        continue;
                    }
                    (Rendering::Same, Some(value)) => Ok(value.clone()),
                    _ => self.templates.render_value(raw, &context),
                };
                match value {
                    Ok(value) if *rendering == Rendering::Secret => {
                        open.insert(key.clone());
                        secret.insert(key.clone(), value);
                    }
                    Err(_) if *rendering == Rendering::Secret => drop(open.insert(key.clone())),
                    Ok(value) => {
                        if *rendering == Rendering::Same && !same.contains_key(key) {
                            same.insert(key.clone(), value.clone());
                        }
                        rendered.insert(key.clone(), value);
                    }
                    Err(error) => {
                        open.insert(key.clone());
                        let place = self.failing(known.step, key, raw, &context);
                        if fails(&error) && said.insert((key.clone(), error.message.clone())) {
                            self.error("bad-template", &place, error.message, None);
                        }
                    }
                }
            }
            // By hash: the values of all hosts together may be large.
            if !seen.insert(sha256(Value::Object(rendered.clone()).to_string().as_bytes())) {
                continue;
            }
            for error in shown_secrets(kind, params, &rendered, &secret, &open) {
                if said.insert((error.pointer.clone(), error.message.clone())) {
                    let span = known.step.place(&error.pointer);
                    self.error("bad-parameter", &span, explain(&error, params, &rendered), None);
                }
            }
            for error in refusals(kind, params, rendered.clone(), open) {
                let message = explain(&error, params, &rendered);
                if !said.insert((error.pointer.clone(), message.clone())) {
                    continue;
                }
                let raw = known.step.params.get(key_of(&error.pointer));
                let value = rendered.get(key_of(&error.pointer));
                let label = match (raw, value) {
                    (Some(raw), Some(value)) if raw != value => {
                        let of = item.as_ref().map(|item| format!(" for {item}")).unwrap_or_default();
                        let on = host.as_ref().map(|h| format!(" on {}", h.name)).unwrap_or_default();
                        format!("is {}{of}{on}", short(value))
                    }
                    _ => String::new(),
                };
                let span = known.step.place(&error.pointer);
                let text = value.and_then(Value::as_str);
                let inside = text.and_then(|t| self.in_the_plan(kind, key_of(&error.pointer), t, &span));
                let span = inside.unwrap_or(span);
                let finding = Finding::error("bad-parameter", message).at(&self.plan.source, span, label);
                self.findings.push(finding.maybe_help(variant_help(&error)));
            }
        }
    }

    /// The place of the string that cannot be rendered.
    fn failing(&self, step: &Step, key: &str, raw: &Value, context: &Context) -> Span {
        let mut strings = Vec::new();
        collect(raw, format!("/{key}"), &mut strings);
        let failing = strings.iter().find(|(_, text)| {
            self.templates.render_value(&Value::String((*text).to_owned()), context).is_err_and(|e| fails(&e))
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

/// When a parameter's value is known, and how often it must be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rendering {
    /// Only when other steps have run.
    Later,
    /// Only when secrets have been read.
    Secret,
    /// Now; it is the same on all hosts.
    Same,
    /// Now; it may differ between the items of a loop.
    PerItem,
    /// Now; it may differ between hosts.
    PerHost,
}

/// Everything that the action refuses. `open` parameters are not known: they get a value of the right type, and what is
/// said of them does not count.
fn refusals(
    kind: &ActionInfo,
    params: &[Param],
    mut values: Map<String, Value>,
    mut open: BTreeSet<String>,
) -> Vec<ParamError> {
    let mut refused = Vec::new();
    let known: BTreeSet<&str> = params.iter().map(|p| p.name.as_str()).collect();
    values.retain(|key, _| known.contains(key.as_str()));
    for _ in 0..=params.len() {
        for param in params.iter().filter(|p| open.contains(&p.name)) {
            values.insert(param.name.clone(), param.sample());
        }
        let Err(error) = (kind.validate)(&Value::Object(values.clone())) else { break };
        let key = key_of(&error.pointer).to_owned();
        if open.contains(&key) {
            // A rule that only the real value can meet; by then all types have been found right.
            break;
        }
        if key.is_empty() && !open.is_empty() {
            break;
        }
        let again = refused.iter().any(|r: &ParamError| r.pointer == error.pointer);
        if again {
            break;
        }
        refused.push(error);
        if key.is_empty() {
            break;
        }
        open.insert(key);
    }
    refused
}

/// What the action refuses since there is a secret in it, and would take without. All else that it says of such a
/// parameter is about the value, which is not known.
fn shown_secrets(
    kind: &ActionInfo,
    params: &[Param],
    values: &Map<String, Value>,
    secret: &Map<String, Value>,
    open: &BTreeSet<String>,
) -> Vec<ParamError> {
    let mut filled = values.clone();
    for param in params.iter().filter(|p| open.contains(&p.name)) {
        filled.insert(param.name.clone(), param.sample());
    }
    let refused = |key: &String, value: &Value| {
        let with = Map::from_iter(filled.clone().into_iter().chain([(key.clone(), value.clone())]));
        let error = (kind.validate)(&Value::Object(with.clone())).err().filter(|e| key_of(&e.pointer) == key)?;
        let without = (kind.validate)(&Value::Object(without_secrets(&with))).err();
        (without.as_ref() != Some(&error)).then_some(error)
    };
    secret.iter().filter_map(|(key, value)| refused(key, value)).collect()
}

fn key_of(pointer: &str) -> &str {
    pointer.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The refusal in our words where the deserialiser's are about Rust.
fn explain(error: &ParamError, params: &[Param], values: &Map<String, Value>) -> String {
    let path = error.pointer.trim_start_matches('/').replace('/', ".");
    let param = params.iter().find(|p| p.name == path);
    if let (Some(param), true) =
        (param, error.message.starts_with("invalid type") || error.message.starts_with("invalid value"))
    {
        let got = values.get(&path).map_or_else(|| "nothing".to_owned(), type_name);
        return format!("`{path}` must be {}, not {got}", article(&param.kind));
    }
    let message = error.message.split(" at line ").next().unwrap_or_default();
    if path.is_empty() || message.contains(&format!("`{path}`")) {
        message.to_owned()
    } else {
        format!("`{path}`: {message}")
    }
}

fn article(kind: &str) -> String {
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

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

/// "Did you mean" for a value that is none of those that there are.
fn variant_help(error: &ParamError) -> Option<String> {
    let rest = error.message.strip_prefix("unknown variant `")?;
    let (got, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    did_you_mean(got, known)
}
