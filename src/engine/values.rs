//! What templates see, and a step's parameters rendered with it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::digest;
use crate::event::{Outputs, Problem};
use crate::inventory::Host;
use crate::journal::DefinitionKey;
use crate::plan::{Catalog, FileKind, Kind, Plan, Scope, Step, folder, template_name};
use crate::template::{Context, Names, TemplateError, Templates, is_template};

/// Variables, and the outputs of finished steps.
pub struct Values {
    templates: Templates,
    scope: Scope,
    files: HashMap<&'static str, FileParams>,
    /// By the step's template name.
    outputs: HashMap<String, StepOutputs>,
    key: Option<DefinitionKey>,
}

#[derive(Default)]
struct StepOutputs {
    once: Option<Outputs>,
    by_host: HashMap<String, Outputs>,
}

impl Values {
    /// The values of a plan before its first step.
    pub fn new(templates: Templates, scope: Scope, catalog: &dyn Catalog) -> Self {
        let files = catalog.kinds().into_iter().map(|kind| (kind.name, FileParams::of(kind))).collect();
        Self { templates, scope, files, outputs: HashMap::new(), key: None }
    }

    /// With a key for the hashes of definitions, where there may be secrets in them.
    #[must_use]
    pub fn with_key(self, key: Option<DefinitionKey>) -> Self {
        Self { key, ..self }
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
    pub fn reads(&self, step: &Step) -> BTreeSet<String> {
        let params = Value::Object(step.params.clone());
        let mut names = self.templates.names_in_value(&params);
        if let Some(when) = &step.when {
            names.extend(self.templates.names_in_expression(&when.value).unwrap_or_default());
        }
        for path in self.files.get(step.action.value.as_str()).into_iter().flat_map(|f| f.template_paths(&params)) {
            names.extend(self.templates.names_in_file(&path).unwrap_or_default());
        }
        step_names(&names)
    }

    /// Whether a step names files of the project.
    pub fn names_files(&self, step: &Step) -> bool {
        self.files
            .get(step.action.value.as_str())
            .is_some_and(|f| f.0.keys().any(|name| step.params.contains_key(name)))
    }

    /// The steps (by template name) whose outputs a plan reads somewhere.
    pub fn read_in(&self, plan: &Plan) -> HashSet<String> {
        let phases = plan.phases.iter().filter_map(|phase| phase.when.as_ref());
        let phases = phases.flat_map(|when| self.templates.names_in_expression(&when.value));
        let steps = plan.phases.iter().flat_map(|phase| &phase.steps);
        steps.flat_map(|step| self.reads(step)).chain(phases.flat_map(|names| step_names(&names))).collect()
    }

    /// Whether an expression (a `when`) holds.
    ///
    /// # Errors
    /// When it names something that is not defined.
    pub fn holds(&self, expression: &str, host: Option<&Host>) -> Result<bool, Problem> {
        let reads = step_names(&self.templates.names_in_expression(expression).unwrap_or_default());
        self.templates.is_true(expression, &self.context(host, &reads)).map_err(|e| problem(&e))
    }

    /// A step's parameters, rendered, with the files that they name read in. `reads` is what [`Values::reads`] says of it.
    ///
    /// # Errors
    /// When a template fails or a file cannot be read.
    pub fn resolve(&self, step: &Step, host: Option<&Host>, reads: &BTreeSet<String>) -> Result<Value, Problem> {
        let context = self.context(host, reads);
        let raw = Value::Object(step.params.clone());
        let mut params = self.templates.render_value(&raw, &context).map_err(|e| problem(&e))?;
        self.read_files(&mut params, &step.action.value, &context)?;
        Ok(params)
    }

    /// Hash of all that makes a step what it is: its action, rendered parameters, host and rights.
    pub fn definition(&self, step: &Step, params: &Value, host: Option<&Host>) -> String {
        let text = json!({
            "action": step.action.value,
            "params": params,
            "host": host.map(|h| [&h.name, &h.address]),
            "become": step.r#become,
        });
        let text = text.to_string();
        self.key.as_ref().map_or_else(|| digest::sha256(text.as_bytes())[..32].to_owned(), |key| key.hash(&text))
    }

    fn read_files(&self, params: &mut Value, action: &str, context: &Context) -> Result<(), Problem> {
        let Some((files, params)) = self.files.get(action).zip(params.as_object_mut()) else { return Ok(()) };
        for (name, value) in params {
            match (files.0.get(name), value) {
                (Some(kind), value @ Value::String(_)) => self.read_file(value, *kind, context)?,
                (Some(kind), Value::Array(items)) => {
                    for item in items {
                        self.read_file(item, *kind, context)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_file(&self, value: &mut Value, kind: FileKind, context: &Context) -> Result<(), Problem> {
        let Some(path) = value.as_str().filter(|p| !p.is_empty()).map(str::to_owned) else { return Ok(()) };
        let text = || self.templates.read(&path).map_err(|e| problem(&e));
        let content = match kind {
            FileKind::Template => self.templates.render(&path, &text()?, context).map_err(|e| problem(&e))?,
            FileKind::Plain => text()?,
            FileKind::Folder => {
                let files = folder::read(self.templates.root(), &path).map_err(Problem::new)?;
                *value = json!({ "path": path, "files": files });
                return Ok(());
            }
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

fn step_names(names: &Names) -> BTreeSet<String> {
    names.outputs().into_iter().map(|output| output.step).collect()
}

/// The parameters of an action that name files.
struct FileParams(HashMap<String, FileKind>);

impl FileParams {
    fn of(kind: &Kind) -> Self {
        Self(kind.params().into_iter().filter_map(|param| Some((param.name, param.file?))).collect())
    }

    /// The template files that parameters name, as far as the paths are no templates themselves.
    fn template_paths(&self, params: &Value) -> Vec<String> {
        let named = self.0.iter().filter(|(_, kind)| **kind == FileKind::Template);
        named
            .flat_map(|(name, _)| match &params[name.as_str()] {
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
                other => other.as_str().into_iter().collect::<Vec<_>>(),
            })
            .filter(|path| !path.is_empty() && !is_template(path))
            .map(str::to_owned)
            .collect()
    }
}

fn problem(error: &TemplateError) -> Problem {
    Problem::new(error.to_string())
}
