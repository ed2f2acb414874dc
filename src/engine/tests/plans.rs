//! Plans of the tests: short names for TOML tables, parsed as plan files are.

use crate::plan::Plan;

/// A step, handler or `on_failure` step.
#[derive(Clone)]
pub struct Step {
    part: &'static str,
    /// The lines of its table.
    keys: String,
}

/// A step of the action `test.<action>`; `params` are lines of TOML.
pub fn step(id: &str, action: &str, params: &str) -> Step {
    Step { part: "step", keys: format!("id = '{id}'\naction = 'test.{action}'\n{params}") }
}

/// Sets the path that is named like the step.
pub fn set(id: &str, value: &str) -> Step {
    set_at(id, id, value)
}

pub fn set_at(id: &str, path: &str, value: &str) -> Step {
    step(id, "set", &format!("path = '{path}'\nvalue = \"{value}\""))
}

/// Does something that leaves no trace; the world counts it under the path that is named like the step.
pub fn act(id: &str) -> Step {
    step(id, "act", &format!("path = '{id}'"))
}

/// Waits until a path has the value 1.
pub fn wait(path: &str) -> Step {
    step("wait", "wait", &format!("path = '{path}'\nvalue = '1'"))
}

impl Step {
    /// Adds lines of TOML.
    pub fn with(self, keys: &str) -> Self {
        Self { keys: format!("{}\n{keys}", self.keys), ..self }
    }

    pub fn on(self, hosts: &str) -> Self {
        self.with(&format!("hosts = '{hosts}'"))
    }

    /// Without the step before it as its `needs`.
    pub fn free(self) -> Self {
        self.with("needs = []")
    }

    pub fn notify(self, handler: &str) -> Self {
        self.with(&format!("notify = ['{handler}']"))
    }

    pub fn undone_by(self, undo: &str) -> Self {
        self.with(&format!("on_failure = ['{undo}']"))
    }

    pub fn handler(self) -> Self {
        Self { part: "handler", ..self }
    }

    pub fn undo(self) -> Self {
        Self { part: "on_failure", ..self }
    }
}

/// A phase with further keys, as lines of TOML. Steps time out after 600 ms unless they say otherwise.
pub fn phase(name: &str, keys: &str, steps: impl IntoIterator<Item = Step>) -> String {
    let table = |Step { part, keys }: Step| {
        let timeout = if keys.contains("timeout = ") { "" } else { "\ntimeout = '600ms'" };
        format!("[[phase.{name}.{part}]]\n{keys}{timeout}\n")
    };
    format!("[phase.{name}]\n{keys}\n{}", steps.into_iter().map(table).collect::<String>())
}

pub fn plan(phases: impl IntoIterator<Item = String>) -> Plan {
    let phases: String = phases.into_iter().collect();
    let text = format!("[plan]\nname = 'test'\n[vars]\ngreeting = 'hello'\n{phases}");
    Plan::parse("plan.toml".as_ref(), &text).unwrap_or_else(|findings| panic!("{findings:?}\n{text}"))
}

/// A plan whose only phase is `p`.
pub fn steps(steps: impl IntoIterator<Item = Step>) -> Plan {
    plan([phase("p", "", steps)])
}
