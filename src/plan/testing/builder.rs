//! Builders for plans, phases and steps. Everything that is not set has the value that parsing gives to a missing key.
//!
//! ```ignore
//! let restart = Step::new("restart", "node.service").hosts("pis").kind(StepKind::Handler);
//! let config = Step::new("config", "node.file").hosts("pis").param("path", "/etc/a").notify(&["restart"]);
//! let plan = Plan::new("test", vec![Phase::new("a", vec![config, restart]).serial(&[Portion::Hosts(1)])]);
//! ```

use std::time::Duration;

use serde_json::{Map, Value};

use crate::plan::{Guard, Pace, Phase, Plan, Portion, Retry, Source, Spanned, Step, StepKind};

/// A value without a place in a file.
pub fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, 0..0)
}

fn name(text: &str) -> Spanned<String> {
    at(text.to_owned())
}

fn names(texts: &[&str]) -> Vec<Spanned<String>> {
    texts.iter().map(|text| name(text)).collect()
}

impl Plan {
    /// A plan without variables and secrets, whose root is the current folder.
    pub fn new(plan: &str, phases: Vec<Phase>) -> Self {
        Self {
            source: Source { path: "plan.toml".into(), text: String::new() }.into(),
            root: ".".into(),
            name: name(plan),
            description: None,
            vars: Vec::new(),
            secrets: Vec::new(),
            phases,
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn var(mut self, variable: &str, value: impl Into<Value>) -> Self {
        self.vars.push((name(variable), at(value.into())));
        self
    }
}

impl Phase {
    /// A phase that needs no other phase. `steps` are in the order of [`StepKind::ALL`].
    pub fn new(phase: &str, steps: Vec<Step>) -> Self {
        let (needs, pace) = (Vec::new(), Pace::default());
        Self { name: name(phase), description: None, needs, when: None, pace, guard: None, steps }
    }

    #[must_use]
    pub fn needs(self, phases: &[&str]) -> Self {
        Self { needs: names(phases), ..self }
    }

    #[must_use]
    pub fn when(self, expression: &str) -> Self {
        Self { when: Some(name(expression)), ..self }
    }

    #[must_use]
    pub fn serial(mut self, sizes: &[Portion]) -> Self {
        self.pace.serial = Some(at(sizes.to_vec()));
        self
    }

    #[must_use]
    pub fn max_failures(mut self, most: Portion) -> Self {
        self.pace.max_failures = Some(at(most));
        self
    }

    #[must_use]
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }
}

impl Guard {
    /// A guard without commands.
    pub fn new(time: Duration) -> Self {
        Self { time: at(time), apply: None, restore: None, check: None }
    }
}

impl Step {
    /// A step without hosts and parameters.
    pub fn new(id: &str, action: &str) -> Self {
        Self {
            kind: StepKind::Step,
            id: name(id),
            action: name(action),
            hosts: None,
            needs: None,
            for_each: None,
            run_once: false,
            delegate_to: None,
            when: None,
            as_root: false,
            retry: Retry::default(),
            timeout: None,
            pace: Pace::default(),
            ignore_errors: false,
            notify: Vec::new(),
            flush: false,
            on_failure: Vec::new(),
            guard: None,
            unguarded: None,
            sensitive: false,
            tags: Vec::new(),
            params: Map::new(),
            spans: Vec::new(),
            key_spans: Vec::new(),
        }
    }

    #[must_use]
    pub fn kind(self, kind: StepKind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub fn hosts(self, pattern: &str) -> Self {
        Self { hosts: Some(name(pattern)), ..self }
    }

    #[must_use]
    pub fn needs(self, ids: &[&str]) -> Self {
        Self { needs: Some(names(ids)), ..self }
    }

    #[must_use]
    pub fn when(self, expression: &str) -> Self {
        Self { when: Some(name(expression)), ..self }
    }

    #[must_use]
    pub fn for_each(self, items: impl Into<Value>) -> Self {
        Self { for_each: Some(at(items.into())), ..self }
    }

    #[must_use]
    pub fn run_once(self) -> Self {
        Self { run_once: true, ..self }
    }

    #[must_use]
    pub fn delegate_to(self, machine: &str) -> Self {
        Self { delegate_to: Some(name(machine)), ..self }
    }

    #[must_use]
    pub fn as_root(self) -> Self {
        Self { as_root: true, ..self }
    }

    #[must_use]
    pub fn retry(self, times: u32, delay: Duration) -> Self {
        Self { retry: Retry { times, delay }, ..self }
    }

    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    #[must_use]
    pub fn serial(mut self, sizes: &[Portion]) -> Self {
        self.pace.serial = Some(at(sizes.to_vec()));
        self
    }

    #[must_use]
    pub fn max_failures(mut self, most: Portion) -> Self {
        self.pace.max_failures = Some(at(most));
        self
    }

    #[must_use]
    pub fn ignore_errors(self) -> Self {
        Self { ignore_errors: true, ..self }
    }

    #[must_use]
    pub fn notify(self, handlers: &[&str]) -> Self {
        Self { notify: names(handlers), ..self }
    }

    #[must_use]
    pub fn flush(self) -> Self {
        Self { flush: true, ..self }
    }

    #[must_use]
    pub fn on_failure(self, rollback_steps: &[&str]) -> Self {
        Self { on_failure: names(rollback_steps), ..self }
    }

    #[must_use]
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// Sets `guard = false`.
    #[must_use]
    pub fn without_guard(self) -> Self {
        Self { unguarded: Some(0..0), ..self }
    }

    #[must_use]
    pub fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }

    #[must_use]
    pub fn tags(self, tags: &[&str]) -> Self {
        Self { tags: names(tags), ..self }
    }

    /// Sets one parameter.
    #[must_use]
    pub fn param(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.params.insert(key.to_owned(), value.into());
        self
    }

    /// Replaces all parameters by those of a JSON object.
    #[must_use]
    pub fn params(self, params: Value) -> Self {
        let Value::Object(params) = params else { panic!("parameters are a table") };
        Self { params, ..self }
    }
}
