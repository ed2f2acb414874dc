//! State that all checks share: the plan, its surroundings, and the findings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::finding::{Finding, Findings, Span};
use crate::inventory::{Host, Inventory};
use crate::plan::{ActionInfo, Catalog, Param, Plan, References, Scope, Step};
use crate::template::{Context, Templates};

/// The values that the templates of a step see on one host, for one item.
pub(super) struct View {
    /// `None`: on the controller.
    pub(super) host: Option<Arc<Host>>,
    /// Key of the loop item.
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
    /// Cached parameters of each action, by action name.
    pub(super) params: HashMap<&'static str, Arc<Vec<Param>>>,
    /// First parts of all names that templates use, for the warning about unused variables.
    pub(super) used: BTreeSet<String>,
    /// Names of the secrets that templates use, directly or through variables.
    pub(super) used_secrets: BTreeSet<String>,
    pub(super) findings: Findings,
    /// Time left for rendering template files on all hosts.
    pub(super) render_time_left: Duration,
}

/// Maximum total time for rendering template files on all hosts.
pub(super) const RENDER_TIMEOUT: Duration = Duration::from_secs(2);

/// A step with its action and hosts.
pub(super) struct CheckedStep<'a> {
    pub(super) phase: usize,
    pub(super) number: usize,
    pub(super) step: &'a Step,
    pub(super) action: Option<ActionInfo>,
    /// The hosts of the step. `None` if it has no `hosts` or the pattern is wrong.
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

    pub(super) fn params_of(&mut self, action: &ActionInfo) -> Arc<Vec<Param>> {
        Arc::clone(self.params.entry(action.name).or_insert_with(|| Arc::new(action.params())))
    }
}

/// Finds a name in a text as a whole word, preferably inside the braces of a template.
pub(super) fn find_word(text: &str, name: &str) -> Option<Span> {
    let is_name_char = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let is_whole_word = |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        !before.ends_with(is_name_char) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let is_in_braces = |at: &usize| {
        let before = &text[..*at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        let close = before.rfind("}}").max(before.rfind("%}"));
        open.is_some() && open > close
    };
    let all: Vec<usize> = text.match_indices(name).map(|(at, _)| at).filter(is_whole_word).collect();
    let at = all.iter().find(|at| is_in_braces(at)).or_else(|| all.first())?;
    Some(*at..at + name.len())
}
