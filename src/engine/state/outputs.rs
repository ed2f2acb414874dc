//! The outputs of steps, for the templates of later steps.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::event::{Mode, Outcome, Outputs, Problem, UnitRef};
use crate::inventory::Host;
use crate::plan::template_name;

/// The key below which a loop's outputs have those of its items.
const ITEMS_KEY: &str = "items";

/// Outputs by the name that a step has in templates.
#[derive(Debug, Default)]
pub struct OutputStore {
    by_step: HashMap<String, StepOutputs>,
    /// Preview: steps whose outputs are not known, since they would change something.
    undetermined: HashSet<String>,
    /// Steps that have no outputs on some host, with the unit that did not end well.
    missing: HashMap<String, String>,
    /// Steps whose outputs the plan reads somewhere. With many units, the outputs of all steps would take most of the memory.
    read: HashSet<String>,
    /// Whether a template that is written during the run may read the outputs of any step.
    keep_all: bool,
}

#[derive(Debug, Default)]
struct StepOutputs {
    once: Option<Outputs>,
    by_host: HashMap<String, Outputs>,
}

impl OutputStore {
    /// Keeps the outputs of the steps in `read`, or of all.
    pub fn new(read: HashSet<String>, keep_all: bool) -> Self {
        Self { read, keep_all, ..Self::default() }
    }

    /// Gives a loop outputs, even if it turns out to have no items.
    pub fn add_loop(&mut self, step: String) {
        let none = Outputs::from_iter([(ITEMS_KEY.to_owned(), json!({}))]);
        self.by_step.entry(step).or_default().once = Some(none);
    }

    /// Keeps the outputs of a unit that ended. One that did not end well has none, so that a template can test for that.
    pub fn record(&mut self, unit: &UnitRef, outcome: &Outcome, outputs: &Outputs, mode: Mode) {
        let name = template_name(&unit.step);
        let well = outcome.lets_dependents_start();
        if !well || matches!(outcome, Outcome::Warned(_)) {
            self.missing.entry(name.clone()).or_insert_with(|| unit.to_string());
        }
        if mode == Mode::Preview && would_change(outcome) {
            self.undetermined.insert(name);
        } else if self.keep_all || self.read.contains(&name) {
            self.keep(name, unit, if well { outputs.clone() } else { Outputs::new() });
        }
    }

    fn keep(&mut self, name: String, unit: &UnitRef, outputs: Outputs) {
        let step = self.by_step.entry(name).or_default();
        let here = match &unit.host {
            None => step.once.get_or_insert_default(),
            Some(host) => step.by_host.entry(host.clone()).or_default(),
        };
        match &unit.item {
            None => *here = outputs,
            Some(item) => here.entry(ITEMS_KEY).or_insert_with(|| json!({}))[item] = Value::Object(outputs),
        }
    }

    /// Whether some template reads a step's outputs.
    pub fn is_read(&self, step: &str) -> bool {
        self.read.contains(step)
    }

    /// A step's outputs as a template sees them: those of its own host first, those of each host below `hosts`.
    pub fn value(&self, step: &str, host: Option<&Host>) -> Option<Value> {
        let outputs = self.by_step.get(step)?;
        let mut all = outputs.once.clone().unwrap_or_default();
        if let Some(mine) = host.and_then(|host| outputs.by_host.get(&host.name)) {
            all.extend(mine.clone());
        }
        if !outputs.by_host.is_empty() {
            let hosts: Map<String, Value> =
                outputs.by_host.iter().map(|(host, outputs)| (host.clone(), Value::Object(outputs.clone()))).collect();
            all.insert("hosts".to_owned(), Value::Object(hosts));
        }
        Some(Value::Object(all))
    }

    /// The first of these steps whose outputs are not known.
    pub fn undetermined<'n>(&self, steps: &'n BTreeSet<String>) -> Option<&'n String> {
        steps.iter().find(|step| self.undetermined.contains(*step))
    }

    /// Adds a hint to the problem of a template that reads these steps, if one of them failed and so has no outputs.
    pub fn explain(&self, steps: &BTreeSet<String>, problem: Problem) -> Problem {
        let is_named = |step: &&String| problem.message.contains(&format!("`steps.{step}"));
        let Some(unit) = steps.iter().find(is_named).and_then(|step| self.missing.get(step)) else { return problem };
        problem.hint(format!(
            "{unit} failed, so its outputs are not there; say what to do then: `when = \"steps.ID.OUTPUT is defined\"`, or \
             `{{{{ steps.ID.OUTPUT | default('…') }}}}`"
        ))
    }
}

/// Preview: whether a unit would change something, so that what comes after it cannot be known.
pub fn would_change(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Changed | Outcome::Pending { .. } | Outcome::Waits { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(host: Option<&str>, item: Option<&str>) -> UnitRef {
        let owned = |text: &str| text.to_owned();
        UnitRef { phase: "p".to_owned(), step: "a-step".to_owned(), item: item.map(owned), host: host.map(owned) }
    }

    fn outputs(value: &str) -> Outputs {
        Outputs::from_iter([("v".to_owned(), json!(value))])
    }

    fn store() -> OutputStore {
        OutputStore::new(HashSet::from(["a_step".to_owned()]), false)
    }

    fn host(name: &str) -> Host {
        Host { name: name.to_owned(), ..Host::default() }
    }

    #[test]
    fn a_template_sees_its_own_host_first_and_all_below_hosts() {
        let mut store = store();
        for name in ["a", "b"] {
            store.record(&unit(Some(name), None), &Outcome::Changed, &outputs(name), Mode::Run);
        }
        let hosts = json!({ "a": { "v": "a" }, "b": { "v": "b" } });
        assert_eq!(store.value("a_step", Some(&host("b"))), Some(json!({ "v": "b", "hosts": hosts })));
        assert_eq!(store.value("a_step", None), Some(json!({ "hosts": hosts })));
        assert_eq!(store.value("other", None), None);
    }

    #[test]
    fn items_of_a_loop_stand_below_their_names() {
        let mut store = store();
        store.add_loop("a_step".to_owned());
        assert_eq!(store.value("a_step", None), Some(json!({ "items": {} })));
        store.record(&unit(None, Some("x")), &Outcome::Changed, &outputs("1"), Mode::Run);
        assert_eq!(store.value("a_step", None), Some(json!({ "items": { "x": { "v": "1" } } })));
    }

    #[test]
    fn what_nobody_reads_is_not_kept() {
        let mut store = OutputStore::default();
        store.record(&unit(None, None), &Outcome::Changed, &outputs("1"), Mode::Run);
        assert_eq!(store.value("a_step", None), None);
        let mut store = OutputStore::new(HashSet::new(), true);
        store.record(&unit(None, None), &Outcome::Changed, &outputs("1"), Mode::Run);
        assert!(store.value("a_step", None).is_some());
    }

    #[test]
    fn a_step_that_failed_has_no_outputs_and_a_problem_of_that_says_so() {
        let mut store = store();
        store.record(&unit(None, None), &Outcome::Failed(Problem::new("no")), &outputs("1"), Mode::Run);
        assert_eq!(store.value("a_step", None), Some(json!({})));
        let steps = BTreeSet::from(["a_step".to_owned()]);
        let explained = store.explain(&steps, Problem::new("`steps.a_step.v` is not defined"));
        assert!(explained.hint.unwrap().starts_with("p/a-step failed"));
        assert_eq!(store.explain(&steps, Problem::new("division by zero")).hint, None);
    }

    #[test]
    fn in_a_preview_a_change_leaves_outputs_undetermined() {
        let mut store = store();
        let steps = BTreeSet::from(["a_step".to_owned()]);
        store.record(&unit(None, None), &Outcome::Same { seen: String::new() }, &outputs("1"), Mode::Preview);
        assert_eq!(store.undetermined(&steps), None);
        store.record(&unit(None, None), &Outcome::Changed, &outputs("1"), Mode::Preview);
        assert_eq!(store.undetermined(&steps), steps.first());
    }
}
