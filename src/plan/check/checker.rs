//! What all checks share: the plan, what is known of it, and what was found.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::finding::{Finding, Findings, Span};
use crate::inventory::{Host, Inventory};
use crate::plan::{ActionInfo, Catalog, Param, Plan, References, Scope, Step};
use crate::template::{Context, Templates};

/// What the templates of a step see.
pub(super) struct View {
    /// Without one, on the controller.
    pub(super) host: Option<Arc<Host>>,
    /// The item's name, in a loop.
    pub(super) item: Option<String>,
    pub(super) context: Context,
}

pub(super) struct Checker<'a> {
    pub(super) plan: &'a Plan,
    pub(super) inventory: &'a Inventory,
    pub(super) catalog: &'a dyn Catalog,
    pub(super) overrides: &'a Map<String, Value>,
    pub(super) templates: Templates,
    pub(super) scope: Scope,
    pub(super) references: References,
    /// The actions' parameters, by action.
    pub(super) params: HashMap<&'static str, Arc<Vec<Param>>>,
    /// First parts of all names that templates use.
    pub(super) used: BTreeSet<String>,
    /// The secrets that templates use, also through variables.
    pub(super) used_secrets: BTreeSet<String>,
    pub(super) findings: Findings,
    /// What is left of the time for trying templates on one host after the other.
    pub(super) rendering: Duration,
}

/// How long template files are tried on one host after the other, all together.
pub(super) const RENDER_TIMEOUT: Duration = Duration::from_secs(2);

/// A step with what the checks found out about it.
pub(super) struct CheckedStep<'a> {
    pub(super) phase: usize,
    pub(super) number: usize,
    pub(super) step: &'a Step,
    pub(super) kind: Option<ActionInfo>,
    /// The hosts that it runs on; `None` when it runs on none or its pattern is wrong.
    pub(super) hosts: Option<Vec<Arc<Host>>>,
}

impl Checker<'_> {
    pub(super) fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        let finding = Finding::error(code, message).at(&self.plan.source, span.clone(), "").maybe_help(help);
        self.findings.push(finding);
    }

    pub(super) fn warn(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: Option<String>) {
        let finding = Finding::warning(code, message).at(&self.plan.source, span.clone(), "").maybe_help(help);
        self.findings.push(finding);
    }

    pub(super) fn params_of(&mut self, kind: &ActionInfo) -> Arc<Vec<Param>> {
        Arc::clone(self.params.entry(kind.name).or_insert_with(|| Arc::new(kind.params())))
    }
}

/// Where a name stands in a text as a word of its own, inside of a template's braces if it is there.
pub(super) fn word(text: &str, name: &str) -> Option<Span> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let whole = |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        !before.ends_with(part) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let inside = |at: &usize| {
        let before = &text[..*at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        let close = before.rfind("}}").max(before.rfind("%}"));
        open.is_some() && open > close
    };
    let all: Vec<usize> = text.match_indices(name).map(|(at, _)| at).filter(whole).collect();
    let at = all.iter().find(|at| inside(at)).or_else(|| all.first())?;
    Some(*at..at + name.len())
}
