//! Parses one step: takes the common keys off the table and keeps the rest as the action's parameters.

use serde_json::Value;

use super::guard::{guard, unguarded};
use super::keys::{collect_spans, is_name};
use super::pace::pace;
use super::{Retry, Step, StepKind};
use crate::document::{Item, Node, Reader, Table};
use crate::finding::{Span, Spanned};
use crate::template::is_template;

pub(super) const STEP_KEYS: &[&str] = &[
    "id",
    "action",
    "hosts",
    "needs",
    "when",
    "for_each",
    "run_once",
    "delegate_to",
    "become",
    "retry",
    "retry_delay",
    "timeout",
    "serial",
    "max_failures",
    "ignore_errors",
    "notify",
    "flush",
    "on_failure",
    "guard",
    "guard_apply",
    "guard_restore",
    "guard_check",
    "sensitive",
    "tags",
];

/// Keys that only `step` may have. Handlers and `on_failure` steps have a fixed place in the phase.
const STEP_ONLY_KEYS: &[&str] = &[
    "needs",
    "serial",
    "max_failures",
    "notify",
    "flush",
    "on_failure",
    "guard",
    "guard_apply",
    "guard_restore",
    "guard_check",
    "tags",
];

/// Maximum for `retry`. More is taken for a typo.
const MAX_RETRIES: u32 = 1000;

pub(super) fn step(reader: &mut Reader, phase: &str, kind: StepKind, node: Node) -> Option<Step> {
    let key = kind.key();
    let Item::Table(mut table) = node.item else {
        let help = format!("write [[phase.{phase}.{key}]] and under it the step's keys");
        reader.wrong_type(key, &node, "a table", Some(help));
        return None;
    };
    let header = header(&table, &node.span);
    if kind != StepKind::Step {
        for name in STEP_ONLY_KEYS {
            if let Some((name, _)) = table.take(name) {
                let message = format!("`{}` is not a key of a step of `{key}`", name.value);
                let help = match kind {
                    StepKind::Handler => "a handler runs at the end of its phase when a step has notified it",
                    _ => "rollback steps run when the phase fails, in reverse order",
                };
                reader.error("unknown-key", &name.span, message, Some(help.to_owned()));
            }
        }
    }
    let id = reader.required(&mut table, "id", &header, "a step");
    let name = id.as_ref().map_or_else(|| "a step".to_owned(), |id| format!("step `{}`", id.value));
    let place = id.as_ref().map_or(header, |id| id.span.clone());
    let action = reader.required(&mut table, "action", &place, &name);
    let hosts = reader.string(&mut table, "hosts");
    let needs = reader.strings(&mut table, "needs");
    let when = reader.string(&mut table, "when");
    let mut spans = Vec::new();
    let mut key_spans = Vec::new();
    let for_each = for_each(reader, &mut table, &mut spans, &mut key_spans);
    let run_once = reader.flag(&mut table, "run_once").unwrap_or_default();
    let delegate_to = reader.string(&mut table, "delegate_to");
    let as_root = reader.flag(&mut table, "become").unwrap_or_default();
    let retry = retry(reader, &mut table);
    let timeout = reader.duration(&mut table, "timeout");
    let pace = pace(reader, &mut table);
    let ignore_errors = ignore_errors(reader, &mut table, kind);
    let notify = reader.strings(&mut table, "notify").unwrap_or_default();
    let flush = reader.flag(&mut table, "flush").unwrap_or_default();
    let on_failure = reader.strings(&mut table, "on_failure").unwrap_or_default();
    let unguarded = unguarded(&mut table);
    let guard = guard(reader, &mut table);
    let sensitive = reader.flag(&mut table, "sensitive").unwrap_or_default();
    let tags = reader.strings(&mut table, "tags").unwrap_or_default();

    let (id, action) = (id?, action?);
    is_name(reader, &id, "a step's id");
    spans.push((String::new(), place));
    for (key, node) in &table.entries {
        let pointer = format!("/{}", key.value);
        key_spans.push((pointer.clone(), key.span.clone()));
        collect_spans(&pointer, node, &mut spans, &mut key_spans);
    }
    let params = table.to_json();
    Some(Step {
        kind,
        id,
        action,
        hosts,
        needs,
        when,
        for_each,
        run_once,
        delegate_to,
        as_root,
        retry,
        timeout,
        pace,
        ignore_errors,
        notify,
        flush,
        on_failure,
        guard,
        unguarded,
        sensitive,
        tags,
        params,
        spans,
        key_spans,
    })
}

/// Takes `for_each`, a list, a table or a template, and collects the places of its values.
fn for_each(
    reader: &mut Reader,
    table: &mut Table,
    spans: &mut Vec<(String, Span)>,
    keys: &mut Vec<(String, Span)>,
) -> Option<Spanned<Value>> {
    let (_, node) = table.take("for_each")?;
    let help = match &node.item {
        Item::List(_) | Item::Table(_) => None,
        Item::Scalar(Value::String(text)) if is_template(text) => None,
        Item::Scalar(Value::String(text)) => Some(format!("write for_each = [\"{text}\"], or \"{{{{ {text} }}}}\"")),
        Item::Scalar(value) => Some(format!("write for_each = [{value}]")),
    };
    if help.is_some() {
        reader.wrong_type("for_each", &node, "a list, a table or one `{{ expression }}`", help);
        return None;
    }
    collect_spans("/for_each", &node, spans, keys);
    Some(Spanned::new(node.to_json(), node.span))
}

fn retry(reader: &mut Reader, table: &mut Table) -> Retry {
    let default = Retry::default();
    let times = reader.integer(table, "retry", 0..=MAX_RETRIES).unwrap_or(default.times);
    let delay_key = table.entries.iter().find(|(k, _)| k.value == "retry_delay").map(|(k, _)| k.span.clone());
    let delay = reader.duration(table, "retry_delay").unwrap_or(default.delay);
    if let (0, Some(span)) = (times, delay_key) {
        let help = "add `retry = 3`, or leave `retry_delay` out".to_owned();
        reader.error("useless-key", &span, "`retry_delay` without `retry` does nothing", Some(help));
    }
    Retry { times, delay }
}

fn ignore_errors(reader: &mut Reader, table: &mut Table, kind: StepKind) -> bool {
    let place = table.entries.iter().find(|(k, _)| k.value == "ignore_errors").map(|(k, _)| k.span.clone());
    let ignores = reader.flag(table, "ignore_errors").unwrap_or_default();
    if let (StepKind::OnFailure, Some(span)) = (kind, place) {
        let message = "`ignore_errors` is not a key of a step of `on_failure`";
        let help = "failures of rollback steps are always reported at the end of the run".to_owned();
        reader.error("unknown-key", &span, message, Some(help));
    }
    ignores
}

/// Place of the step's header, or of its first key if it has no header.
fn header(table: &Table, span: &Span) -> Span {
    let first = table.entries.first().map_or(span.start, |(key, _)| key.span.start);
    if span.start < first {
        span.clone()
    } else {
        table.entries.first().map_or(span.clone(), |(key, _)| key.span.clone())
    }
}

impl Step {
    /// Place of a parameter's value. For a pointer that does not exist, the nearest enclosing place.
    pub fn place(&self, pointer: &str) -> Span {
        nearest(&self.spans, pointer).unwrap_or_else(|| self.id.span.clone())
    }

    /// Place of a parameter's key. For a pointer that does not exist, the place of the step's id.
    pub fn key_place(&self, pointer: &str) -> Span {
        nearest(&self.key_spans, pointer).unwrap_or_else(|| self.id.span.clone())
    }
}

fn nearest(spans: &[(String, Span)], pointer: &str) -> Option<Span> {
    let mut pointer = pointer;
    loop {
        if let Some((_, span)) = spans.iter().find(|(p, _)| p == pointer) {
            return Some(span.clone());
        }
        pointer = &pointer[..pointer.rfind('/')?];
    }
}
