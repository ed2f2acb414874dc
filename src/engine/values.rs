//! What templates see, and a step's parameters rendered with it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::event::{Outputs, Problem};
use crate::inventory::Host;
use crate::plan::{Kind, Scope, Step, template_name};
use crate::template::{Context, Names, TemplateError, Templates};

/// Variables, and the outputs of finished steps.
pub struct Values {
    templates: Templates,
    scope: Scope,
    /// By the step's template name.
    outputs: HashMap<String, StepOutputs>,
}

#[derive(Default)]
struct StepOutputs {
    once: Option<Outputs>,
    by_host: HashMap<String, Outputs>,
}

impl Values {
    /// The values of a plan before its first step.
    pub fn new(templates: Templates, scope: Scope) -> Self {
        Self { templates, scope, outputs: HashMap::new() }
    }

    /// Remembers the outputs of a step that ended well.
    pub fn remember(&mut self, step: &str, host: Option<&str>, outputs: Outputs) {
        let entry = self.outputs.entry(template_name(step)).or_default();
        match host {
            None => entry.once = Some(outputs),
            Some(host) => drop(entry.by_host.insert(host.to_owned(), outputs)),
        }
    }

    /// The steps (by template name) whose outputs a step reads.
    pub fn reads(&self, step: &Step, kind: &Kind) -> BTreeSet<String> {
        let params = Value::Object(step.params.clone());
        let mut names = self.templates.names_in_value(&params);
        if let Some(when) = &step.when {
            names.extend(self.templates.names_in_expression(&when.value).unwrap_or_default());
        }
        for path in file_paths(&params, kind, "template") {
            names.extend(self.templates.names_in_file(&path).unwrap_or_default());
        }
        step_names(&names)
    }

    /// Whether an expression (a `when`) holds.
    ///
    /// # Errors
    /// When it names something that is not defined.
    pub fn holds(&self, expression: &str, host: Option<&Host>) -> Result<bool, Problem> {
        let reads = step_names(&self.templates.names_in_expression(expression).unwrap_or_default());
        self.templates.is_true(expression, &self.context(host, &reads)).map_err(|e| problem(&e))
    }

    /// A step's parameters, rendered, with the files that they name read in.
    ///
    /// # Errors
    /// When a template fails or a file cannot be read.
    pub fn resolve(&self, step: &Step, kind: &Kind, host: Option<&Host>) -> Result<Value, Problem> {
        let context = self.context(host, &self.reads(step, kind));
        let raw = Value::Object(step.params.clone());
        let mut params = self.templates.render_value(&raw, &context).map_err(|e| problem(&e))?;
        self.read_files(&mut params, kind, &context)?;
        Ok(params)
    }

    fn read_files(&self, params: &mut Value, kind: &Kind, context: &Context) -> Result<(), Problem> {
        let schema = (kind.schema)();
        let Some(params) = params.as_object_mut() else { return Ok(()) };
        for (name, value) in params {
            let property = &schema["properties"][name];
            match (file_format(property), value) {
                (Some(format), value @ Value::String(_)) => self.read_file(value, format, context)?,
                (Some(format), Value::Array(items)) => {
                    for item in items {
                        self.read_file(item, format, context)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_file(&self, value: &mut Value, format: &str, context: &Context) -> Result<(), Problem> {
        let Some(path) = value.as_str().filter(|p| !p.is_empty()).map(str::to_owned) else { return Ok(()) };
        let text = self.templates.read(&path).map_err(|e| problem(&e))?;
        let content = match format {
            "template" => self.templates.render(&path, &text, context).map_err(|e| problem(&e))?,
            _ => text,
        };
        *value = json!({ "path": path, "content": content });
        Ok(())
    }

    /// Only the outputs that are read go in: with many steps on many hosts, all of them would cost more than the step.
    fn context(&self, host: Option<&Host>, reads: &BTreeSet<String>) -> Context {
        let base = host.map_or(self.scope.controller(), |h| self.scope.host(&h.name));
        let steps: Map<String, Value> =
            reads.iter().filter_map(|name| Some((name.clone(), self.outputs.get(name)?.value(host)))).collect();
        base.with("steps", &Value::Object(steps))
    }
}

impl StepOutputs {
    fn value(&self, host: Option<&Host>) -> Value {
        let mut all = self.once.clone().unwrap_or_default();
        if let Some(mine) = host.and_then(|h| self.by_host.get(&h.name)) {
            all.extend(mine.clone());
        }
        if !self.by_host.is_empty() {
            let hosts: Map<String, Value> =
                self.by_host.iter().map(|(host, outputs)| (host.clone(), Value::Object(outputs.clone()))).collect();
            all.insert("hosts".to_owned(), Value::Object(hosts));
        }
        Value::Object(all)
    }
}

/// Hash of all that makes a step what it is: its action, rendered parameters, host and rights.
pub fn definition(step: &Step, params: &Value, host: Option<&Host>) -> String {
    let text = json!({
        "action": step.action.value,
        "params": params,
        "host": host.map(|h| [&h.name, &h.address]),
        "become": step.r#become,
    })
    .to_string();
    Sha256::digest(text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn step_names(names: &Names) -> BTreeSet<String> {
    names.outputs().into_iter().map(|output| output.step).collect()
}

/// The `format` of a parameter that names a file or a list of files.
fn file_format(property: &Value) -> Option<&'static str> {
    let of = |schema: &Value| match schema["format"].as_str() {
        Some("template") => Some("template"),
        Some("file") => Some("file"),
        _ => None,
    };
    let alternatives = property["anyOf"].as_array().into_iter().flatten();
    of(property).or_else(|| of(&property["items"])).or_else(|| alternatives.clone().find_map(file_format))
}

/// The paths in parameters of one file format, as far as they are no templates themselves.
fn file_paths(params: &Value, kind: &Kind, format: &str) -> Vec<String> {
    let schema = (kind.schema)();
    let params = params.as_object().into_iter().flatten();
    params
        .filter(|(name, _)| file_format(&schema["properties"][name.as_str()]) == Some(format))
        .flat_map(|(_, value)| match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect::<Vec<_>>(),
        })
        .filter(|path| !path.is_empty() && !path.contains("{{"))
        .map(str::to_owned)
        .collect()
}

fn problem(error: &TemplateError) -> Problem {
    Problem::new(error.to_string())
}
