//! Renders a step's templates to an action and the hash of its definition.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use petgraph::graph::NodeIndex;
use serde_json::{Map, Value, json};

use super::outputs::OutputStore;
use crate::actions::ActionRef;
use crate::defect::catch_panic;
use crate::digest;
use crate::engine::run_spec::RunSpec;
use crate::event::{Mode, Outcome, Outputs, Problem, UnitRef};
use crate::graph::Unit;
use crate::inventory::{Connection, Host};
use crate::journal::DefinitionKey;
use crate::plan::{ActionInfo, Catalog, FileKind, Item, Plan, Scope, Step, folder, source};
use crate::sync::lock;
use crate::template::{Context, Names, TemplateError, Templates, is_template};

/// A unit's action, ready to run.
#[derive(Clone)]
pub struct Rendered {
    pub action: ActionRef,
    /// Hash of everything that defines the unit; see [`Renderer::definition`].
    pub definition: String,
}

/// Renders steps with variables, secrets and the outputs of earlier steps.
pub struct Renderer {
    templates: Templates,
    scope: Scope,
    files: HashMap<&'static str, FileParams>,
    outputs: OutputStore,
    items: Mutex<LoopItems>,
    sources: source::Sources,
    key: Option<DefinitionKey>,
    /// The steps whose outputs each step reads, by its phase and index.
    dependencies: HashMap<(usize, usize), Arc<BTreeSet<String>>>,
    /// Units that were rendered ahead of their turn.
    prepared: HashMap<NodeIndex, Rendered>,
}

/// The unit of a template, with its step; `None`: the template is a phase's.
pub type TemplateOwner<'a> = Option<(&'a Step, &'a Unit)>;

/// The items of loops, by step and host.
type LoopItems = HashMap<(String, Option<String>), Arc<[Item]>>;

impl Renderer {
    pub fn new(templates: Templates, scope: Scope, catalog: &dyn Catalog) -> Self {
        let files = catalog.actions().into_iter().map(|kind| (kind.name, FileParams::of(kind))).collect();
        let (items, sources) = (Mutex::default(), source::Sources::default());
        let (outputs, dependencies, prepared) = (OutputStore::default(), HashMap::new(), HashMap::new());
        Self { templates, scope, files, outputs, items, sources, key: None, dependencies, prepared }
    }

    /// Sets the key for the hashes of definitions, which may contain secrets.
    #[must_use]
    pub fn with_key(self, key: Option<DefinitionKey>) -> Self {
        Self { key, ..self }
    }

    /// Prepares for a plan: gives its loops outputs, and finds out which outputs to keep.
    pub(in crate::engine) fn start(&mut self, plan: &Plan) {
        let steps = || plan.phases.iter().flat_map(|phase| &phase.steps);
        let keep_all = steps().any(|step| self.writes_files(step));
        self.outputs = OutputStore::new(self.outputs_read_by_plan(plan), keep_all);
        for step in steps().filter(|step| step.for_each.is_some()) {
            self.outputs.add_loop(step.template_name());
        }
    }

    /// Keeps the outputs of a unit that ended, for the templates of later steps.
    pub(in crate::engine) fn record(&mut self, unit: &UnitRef, outcome: &Outcome, outputs: &Outputs, mode: Mode) {
        self.outputs.record(unit, outcome, outputs, mode);
    }

    /// Whether some template reads a step's outputs.
    pub(in crate::engine) fn is_read(&self, step: &Step) -> bool {
        self.outputs.is_read(&step.template_name())
    }

    /// Whether a unit was rendered ahead of its turn.
    pub(in crate::engine) fn is_prepared(&self, node: NodeIndex) -> bool {
        self.prepared.contains_key(&node)
    }

    /// Keeps a unit that was rendered ahead of its turn.
    pub(in crate::engine) fn keep(&mut self, node: NodeIndex, rendered: Rendered) {
        self.prepared.insert(node, rendered);
    }

    /// A unit's action and the hash of its definition: taken if they were prepared, or else rendered now.
    ///
    /// # Errors
    /// The outcome of a unit that cannot be rendered.
    pub(in crate::engine) fn take(&mut self, run: &RunSpec, node: NodeIndex, unit: &Unit) -> Result<Rendered, Outcome> {
        if let Some(prepared) = self.prepared.remove(&node) {
            return Ok(prepared);
        }
        let reads = self.dependencies_of(run, unit);
        self.render(run, unit, &reads)
    }

    /// Renders a unit ahead of its turn; `None` if it reads outputs of `unfinished` steps. The result is kept for the unit's turn,
    /// unless the unit runs on this machine, where steps may yet write the files from which it is rendered.
    pub(in crate::engine) fn prepare(
        &mut self,
        run: &RunSpec,
        node: NodeIndex,
        unit: &Unit,
        unfinished: &HashSet<String>,
    ) -> Option<Rendered> {
        let reads = self.dependencies_of(run, unit);
        if reads.iter().any(|step| unfinished.contains(step)) {
            return None;
        }
        let rendered = match self.prepared.get(&node) {
            Some(prepared) => prepared.clone(),
            None => self.render(run, unit, &reads).ok()?,
        };
        if unit.runs_on.as_ref().is_some_and(|host| host.connection != Connection::Local) {
            self.prepared.insert(node, rendered.clone());
        }
        Some(rendered)
    }

    /// The steps whose outputs a unit's step reads. Found once, unless a step may yet write the template that names them.
    fn dependencies_of(&mut self, run: &RunSpec, unit: &Unit) -> Arc<BTreeSet<String>> {
        let key = (unit.phase, unit.step);
        if let Some(reads) = self.dependencies.get(&key) {
            return Arc::clone(reads);
        }
        let step = run.step(unit);
        let reads = Arc::new(self.outputs_read_by(step));
        if !self.reads_files(step) {
            self.dependencies.insert(key, Arc::clone(&reads));
        }
        reads
    }

    fn render(&self, run: &RunSpec, unit: &Unit, reads: &BTreeSet<String>) -> Result<Rendered, Outcome> {
        catch_panic(|| self.try_render(run, unit, reads)).unwrap_or_else(|defect| Err(Outcome::Unknown(defect)))
    }

    fn try_render(&self, run: &RunSpec, unit: &Unit, reads: &BTreeSet<String>) -> Result<Rendered, Outcome> {
        let step = run.step(unit);
        if let Some(needs) = self.outputs.undetermined(reads) {
            return Err(Outcome::Pending { needs: format!("outputs of step {needs}") });
        }
        let failed = |problem| Outcome::Failed(self.outputs.explain(reads, problem));
        if let Some(when) = &step.when {
            match self.holds(&when.value, Some((step, unit))) {
                Ok(true) => {}
                Ok(false) => return Err(Outcome::Skipped { why: format!("when: {}", when.value) }),
                Err(problem) => return Err(Outcome::Failed(self.outputs.explain(reads, problem).within("when"))),
            }
        }
        let params = self.render_params(step, unit, reads).map_err(failed)?;
        let action = run.registry.build(&step.action.value, &params).map_err(|error| {
            let parameter = error.pointer.trim_start_matches('/').replace('/', ".");
            Outcome::Failed(Problem::new(error.message).within(&parameter))
        })?;
        let definition = self.definition(step, &params, unit);
        Ok(Rendered { action, definition })
    }

    /// The steps, by their names in templates, whose outputs a step reads.
    fn outputs_read_by(&self, step: &Step) -> BTreeSet<String> {
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
    pub(in crate::engine) fn reads_files(&self, step: &Step) -> bool {
        self.files.get(step.action.value.as_str()).is_some_and(|f| f.names(step, |kind| kind != FileKind::Written))
    }

    /// Whether a step writes files of the project, which later steps may read.
    pub(in crate::engine) fn writes_files(&self, step: &Step) -> bool {
        self.files.get(step.action.value.as_str()).is_some_and(|f| f.names(step, |kind| kind == FileKind::Written))
    }

    /// The steps whose outputs some step of the plan reads.
    fn outputs_read_by_plan(&self, plan: &Plan) -> HashSet<String> {
        let phases = plan.phases.iter().filter_map(|phase| phase.when.as_ref());
        let phases = phases.flat_map(|when| self.templates.names_in_expression(&when.value));
        let steps = plan.phases.iter().flat_map(|phase| &phase.steps);
        steps.flat_map(|step| self.outputs_read_by(step)).chain(phases.flat_map(|names| step_names(&names))).collect()
    }

    /// Whether an expression (a `when`) holds.
    ///
    /// # Errors
    /// If the expression names something undefined.
    pub(in crate::engine) fn holds(&self, expression: &str, of: TemplateOwner<'_>) -> Result<bool, Problem> {
        let reads = step_names(&self.templates.names_in_expression(expression).unwrap_or_default());
        self.templates.is_true(expression, &self.context(of, &reads)?).map_err(|e| problem(&e))
    }

    /// Renders a step's parameters and reads the files that they name. `reads` are the steps whose outputs the step reads.
    fn render_params(&self, step: &Step, unit: &Unit, reads: &BTreeSet<String>) -> Result<Value, Problem> {
        let context = self.context(Some((step, unit)), reads)?;
        let raw = Value::Object(step.params.clone());
        let mut params = self.templates.render_value(&raw, &context).map_err(|e| problem(&e))?;
        self.read_files(&mut params, &step.action.value, &context)?;
        Ok(params)
    }

    /// Hash of everything that defines a unit: action, rendered parameters, item, host and rights. A unit that runs once has the
    /// same hash on whichever host.
    fn definition(&self, step: &Step, params: &Value, unit: &Unit) -> String {
        let name = |host: &Option<Arc<Host>>| host.as_ref().map(|h| json!([h.name, h.address]));
        let mut all = json!({
            "action": step.action.value,
            "params": params,
            "host": name(&unit.host),
            "become": step.as_root,
        });
        if let Some(item) = &unit.item {
            all["item"] = json!(**item);
        }
        if step.delegate_to.is_some() {
            all["on"] = json!(name(&unit.runs_on));
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
                let at = self.templates.project().path_for_writing(&path).map_err(|e| Problem::new(e.to_string()))?;
                *value = json!({ "path": path, "at": at });
                return Ok(());
            }
        };
        *value = json!({ "path": path, "content": content });
        Ok(())
    }

    /// The context of a template. It has the outputs of `reads` only: those of all steps on all hosts would cost more than the step.
    fn context(&self, of: TemplateOwner<'_>, reads: &BTreeSet<String>) -> Result<Context, Problem> {
        let host = of.and_then(|(_, unit)| unit.vars_host.as_deref());
        let steps: Map<String, Value> =
            reads.iter().filter_map(|name| Some((name.clone(), self.outputs.value(name, host)?))).collect();
        let context = self.base(host).with("steps", &Value::Object(steps));
        match of.and_then(|(step, unit)| Some((step, unit.item.as_deref()?))) {
            None => Ok(context),
            Some((step, item)) => Ok(context.with("item", &self.item(step, host, item)?)),
        }
    }

    fn base(&self, host: Option<&Host>) -> &Context {
        host.map_or(self.scope.controller(), |h| self.scope.host(&h.name))
    }

    /// The value of a loop's item, by the item's name. It may contain outputs that were unknown when the graph was made.
    fn item(&self, step: &Step, host: Option<&Host>, name: &str) -> Result<Value, Problem> {
        let key = (step.id.value.clone(), host.map(|h| h.name.clone()));
        let mut all = lock(&self.items);
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

fn step_names(names: &Names) -> BTreeSet<String> {
    names.outputs().into_iter().map(|output| output.step).collect()
}

/// The parameters of an action that name files.
struct FileParams(HashMap<String, FileKind>);

impl FileParams {
    fn of(kind: &ActionInfo) -> Self {
        Self(kind.params().into_iter().filter_map(|param| Some((param.name, param.file?))).collect())
    }

    fn names(&self, step: &Step, right: impl Fn(FileKind) -> bool) -> bool {
        self.0.iter().any(|(name, kind)| right(*kind) && step.params.contains_key(name))
    }

    /// The template files that parameters name; paths that are templates themselves are left out.
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
