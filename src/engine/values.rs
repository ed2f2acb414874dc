//! What templates see, and a step's parameters rendered with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::digest;
use crate::event::{Outputs, Problem, UnitRef};
use crate::graph::Unit;
use crate::inventory::Host;
use crate::journal::DefinitionKey;
use crate::plan::{Catalog, FileKind, Item, Kind, Plan, Scope, Step, folder, source, template_name};
use crate::template::{Context, Names, TemplateError, Templates, is_template};

/// Variables, and the outputs of finished steps.
pub struct Values {
    templates: Templates,
    scope: Scope,
    files: HashMap<&'static str, FileParams>,
    /// By the step's template name.
    outputs: HashMap<String, StepOutputs>,
    items: Mutex<Items>,
    sources: source::Sources,
    key: Option<DefinitionKey>,
}

/// Whose template it is: a unit's, with its step; `None`: a phase's.
pub type Of<'a> = Option<(&'a Step, &'a Unit)>;

/// The items of loops, by step and host.
type Items = HashMap<(String, Option<String>), Arc<[Item]>>;

#[derive(Default)]
struct StepOutputs {
    once: Option<Outputs>,
    by_host: HashMap<String, Outputs>,
}

impl Values {
    /// The values of a plan before its first step.
    pub fn new(templates: Templates, scope: Scope, catalog: &dyn Catalog) -> Self {
        let files = catalog.kinds().into_iter().map(|kind| (kind.name, FileParams::of(kind))).collect();
        let (items, sources) = (Mutex::default(), source::Sources::default());
        Self { templates, scope, files, outputs: HashMap::new(), items, sources, key: None }
    }

    /// With a key for the hashes of definitions, where there may be secrets in them.
    #[must_use]
    pub fn with_key(self, key: Option<DefinitionKey>) -> Self {
        Self { key, ..self }
    }

    /// Lets all loops of a plan have their items' outputs, also those that come to have no items.
    #[must_use]
    pub fn with_loops(mut self, plan: &Plan) -> Self {
        let loops = plan.phases.iter().flat_map(|phase| &phase.steps).filter(|step| step.for_each.is_some());
        for step in loops {
            let none = Outputs::from_iter([(ITEMS.to_owned(), json!({}))]);
            self.outputs.entry(step.template_name()).or_default().once = Some(none);
        }
        self
    }

    /// Remembers the outputs of a unit that ended well.
    pub fn remember(&mut self, unit: &UnitRef, outputs: Outputs) {
        let step = self.outputs.entry(template_name(&unit.step)).or_default();
        let here = match &unit.host {
            None => step.once.get_or_insert_default(),
            Some(host) => step.by_host.entry(host.clone()).or_default(),
        };
        match &unit.item {
            None => *here = outputs,
            Some(item) => here.entry(ITEMS).or_insert_with(|| json!({}))[item] = Value::Object(outputs),
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

    /// Whether a step reads files of the project.
    pub fn names_files(&self, step: &Step) -> bool {
        self.files.get(step.action.value.as_str()).is_some_and(|f| f.names(step, |kind| kind != FileKind::Written))
    }

    /// Whether a step writes files of the project, which steps behind it may name.
    pub fn writes_files(&self, step: &Step) -> bool {
        self.files.get(step.action.value.as_str()).is_some_and(|f| f.names(step, |kind| kind == FileKind::Written))
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
    pub fn holds(&self, expression: &str, of: Of<'_>) -> Result<bool, Problem> {
        let reads = step_names(&self.templates.names_in_expression(expression).unwrap_or_default());
        self.templates.is_true(expression, &self.context(of, &reads)?).map_err(|e| problem(&e))
    }

    /// A step's parameters, rendered, with the files that they name read in. `reads` is what [`Values::reads`] says of it.
    ///
    /// # Errors
    /// When a template fails or a file cannot be read.
    pub fn resolve(&self, step: &Step, unit: &Unit, reads: &BTreeSet<String>) -> Result<Value, Problem> {
        let context = self.context(Some((step, unit)), reads)?;
        let raw = Value::Object(step.params.clone());
        let mut params = self.templates.render_value(&raw, &context).map_err(|e| problem(&e))?;
        self.read_files(&mut params, &step.action.value, &context)?;
        Ok(params)
    }

    /// Hash of all that makes a unit what it is: its action, rendered parameters, item, host and rights. One that runs once
    /// is the same on whichever host.
    pub fn definition(&self, step: &Step, params: &Value, unit: &Unit) -> String {
        let name = |host: &Option<Arc<Host>>| host.as_ref().map(|h| json!([h.name, h.address]));
        let mut all = json!({
            "action": step.action.value,
            "params": params,
            "host": name(&unit.host),
            "become": step.r#become,
        });
        if let Some(item) = &unit.item {
            all["item"] = json!(**item);
        }
        if step.delegate_to.is_some() {
            all["on"] = json!(name(&unit.machine));
        }
        let text = all.to_string();
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
            FileKind::Source => {
                *value = self.sources.read(self.templates.project(), &path).map_err(Problem::new)?;
                return Ok(());
            }
            FileKind::Folder => {
                let files = folder::read(self.templates.project(), &path).map_err(Problem::new)?;
                *value = json!({ "path": path, "files": files });
                return Ok(());
            }
            FileKind::Written => {
                let at = self.templates.project().written(&path).map_err(|e| Problem::new(e.to_string()))?;
                *value = json!({ "path": path, "at": at });
                return Ok(());
            }
        };
        *value = json!({ "path": path, "content": content });
        Ok(())
    }

    /// Only the outputs that are read go in: with many steps on many hosts, all of them would cost more than the step.
    fn context(&self, of: Of<'_>, reads: &BTreeSet<String>) -> Result<Context, Problem> {
        let host = of.and_then(|(_, unit)| unit.sees.as_deref());
        let steps: Map<String, Value> =
            reads.iter().filter_map(|name| Some((name.clone(), self.outputs.get(name)?.value(host)))).collect();
        let context = self.base(host).with("steps", &Value::Object(steps));
        match of.and_then(|(step, unit)| Some((step, unit.item.as_deref()?))) {
            None => Ok(context),
            Some((step, item)) => Ok(context.with("item", &self.item(step, host, item)?)),
        }
    }

    fn base(&self, host: Option<&Host>) -> &Context {
        host.map_or(self.scope.controller(), |h| self.scope.host(&h.name))
    }

    /// An item of a loop, by its name: what it holds may have come to light since the graph was made.
    fn item(&self, step: &Step, host: Option<&Host>, name: &str) -> Result<Value, Problem> {
        let key = (step.id.value.clone(), host.map(|h| h.name.clone()));
        let mut all = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let items = match all.get(&key) {
            Some(items) => Arc::clone(items),
            None => {
                let items = step.items(&self.templates, self.base(host));
                let items: Arc<[Item]> = items.map_err(|e| Problem::new(e.to_string()))?.unwrap_or_default().into();
                all.entry(key).or_insert(items).clone()
            }
        };
        let found = items.iter().find(|item| item.key == name).map(|item| item.value.clone());
        found.ok_or_else(|| Problem::new(format!("`for_each` has no item named `{name}`")))
    }
}

/// Below this name of a loop's outputs stand those of its items.
const ITEMS: &str = "items";

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

    fn names(&self, step: &Step, right: impl Fn(FileKind) -> bool) -> bool {
        self.0.iter().any(|(name, kind)| right(*kind) && step.params.contains_key(name))
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
