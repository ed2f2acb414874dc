//! Renders events as text for people. The code is pure, so that snapshots can test it. Every meaning is in a word, too,
//! not only in a colour.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use anstyle::Style;

use super::appearance::{BAD, CHANGE, GOOD, HINT, QUIET, appearance, counts};
use crate::diff::{Delta, Diff};
use crate::event::{Event, EventKind, Mode, Outcome, Problem, Summary, UnitRef};
use crate::secret::visible;

/// How much of a step's changes to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DiffStyle {
    /// Every line
    Full,
    /// What changes, without the lines of texts
    Summary,
    /// Nothing
    None,
}

/// Renders events, with the state that it keeps between them.
#[derive(Debug, Clone)]
pub struct Text {
    pub diff: DiffStyle,
    /// The command that continues after a failure.
    pub resume_command: String,
    mode: Mode,
    /// Units that were not run, with what they needed. They are shown together at the end, by phase and cause.
    not_run: Vec<(UnitRef, String)>,
    /// Details to show when a running unit finishes: its machine, and why it runs again.
    start_details: HashMap<UnitRef, Vec<String>>,
}

impl Text {
    /// `resume_command` is the command that continues after a failure.
    pub fn new(diff: DiffStyle, resume_command: String) -> Self {
        Self { diff, resume_command, mode: Mode::Run, not_run: Vec::new(), start_details: HashMap::new() }
    }

    /// The lines for an event, each with a line break; most events have none.
    pub fn block(&mut self, event: &Event) -> Option<String> {
        let mut kind = event.kind.clone();
        // Journals of earlier versions may contain control characters.
        kind.visit_texts(&mut |text| {
            if let Cow::Owned(visible) = visible(text) {
                *text = visible;
            }
        });
        match &kind {
            EventKind::RunStarted { run, plan, mode, units, resumed_from, .. } => {
                self.mode = *mode;
                Some(run_start(run, plan, *mode, *units, resumed_from.as_deref()))
            }
            EventKind::Dropped { unit, why } => Some(unit_line(QUIET, '⊖', "dropped", unit, why)),
            EventKind::Undone { unit, by } => Some(unit_line(CHANGE, '↶', "undone", unit, &format!("by {by}"))),
            EventKind::UnitStarted { unit, on, why, .. } => {
                let on = on.iter().map(|on| format!("on {on}"));
                self.start_details
                    .insert(unit.clone(), on.chain(why.iter().map(|why| format!("again: {why}"))).collect());
                None
            }
            EventKind::UnitRetried { unit, attempt, message, delay } => Some(format!(
                "{CHANGE}↻ retry    {CHANGE:#} {unit}  attempt {attempt} failed: {message}; again in {delay} s\n"
            )),
            EventKind::UnitFinished { unit, outcome: Outcome::Cancelled { needs }, .. } => {
                self.not_run.push((unit.clone(), needs.clone()));
                None
            }
            EventKind::UnitFinished { unit, outcome, diff, output, elapsed, .. } => {
                let details = self.start_details.remove(unit).unwrap_or_default();
                Some(self.finished_unit(unit, outcome, diff, output, *elapsed, &details))
            }
            EventKind::RunFinished { summary, ok, interrupted, elapsed, handlers_left, stuck } => {
                let not_run = self.not_run();
                Some(not_run + &self.run_end(summary, *ok, *interrupted, *elapsed, handlers_left, stuck))
            }
            _ => None,
        }
    }

    fn finished_unit(
        &self,
        unit: &UnitRef,
        outcome: &Outcome,
        diff: &Diff,
        output: &str,
        elapsed: f64,
        details: &[String],
    ) -> String {
        let (style, sign, word) = appearance(outcome, diff, self.mode);
        let mut out = format!("{style}{sign} {word:<9}{style:#} {unit}");
        match outcome {
            Outcome::Same { seen } if !seen.is_empty() => push_detail(&mut out, seen),
            Outcome::Skipped { why } => push_detail(&mut out, why),
            Outcome::Waits { seen } => push_detail(&mut out, &format!("now: {seen}")),
            Outcome::Pending { needs } => push_detail(&mut out, &format!("needs {needs}")),
            _ => {}
        }
        details.iter().for_each(|detail| push_detail(&mut out, detail));
        if elapsed >= 0.1 {
            let _ = write!(out, "  {QUIET}{elapsed:.1} s{QUIET:#}");
        }
        out.push('\n');
        if let Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) = outcome {
            let style = if matches!(outcome, Outcome::Warned(_)) { CHANGE } else { BAD };
            out.push_str(&problem_lines(style, problem));
            for line in output.lines() {
                let _ = writeln!(out, "    {QUIET}│ {line}{QUIET:#}");
            }
        }
        self.push_changes(&mut out, diff);
        out
    }

    /// The units that were not run: one line for each phase and cause.
    pub(super) fn not_run(&mut self) -> String {
        let (style, sign, word) = (QUIET, '⊘', "not run");
        let mut groups: Vec<(&str, &str, Vec<&UnitRef>)> = Vec::new();
        for (unit, needs) in &self.not_run {
            match groups.iter_mut().find(|(phase, cause, _)| *phase == unit.phase && *cause == needs) {
                Some((_, _, units)) => units.push(unit),
                None => groups.push((&unit.phase, needs, vec![unit])),
            }
        }
        let mut out = String::new();
        for (phase, needs, units) in groups {
            let what = match units.as_slice() {
                [only] => only.to_string(),
                many => format!("{phase}, {} steps", many.len()),
            };
            let _ = write!(out, "{style}{sign} {word:<9}{style:#} {what}");
            push_detail(&mut out, &format!("needs {needs}"));
            out.push('\n');
        }
        self.not_run.clear();
        out
    }

    fn push_changes(&self, out: &mut String, diff: &Diff) {
        for delta in &diff.0 {
            let lines = delta.lines();
            let shown = match (self.diff, delta) {
                (DiffStyle::None, _) => 0,
                (DiffStyle::Summary, Delta::Text { .. }) => 1,
                _ => lines.len(),
            };
            for line in &lines[..shown] {
                let style = match line.chars().next() {
                    Some('+') => GOOD,
                    Some('-') => BAD,
                    Some('~' | '!') => CHANGE,
                    _ => QUIET,
                };
                let _ = writeln!(out, "    {style}{line}{style:#}");
            }
        }
    }

    fn run_end(
        &self,
        summary: &Summary,
        ok: bool,
        interrupted: bool,
        elapsed: f64,
        handlers_left: &[UnitRef],
        stuck: &[UnitRef],
    ) -> String {
        let changed = summary.get("changed");
        let counts = counts(summary, self.mode);
        let (style, head) = match (self.mode, ok, interrupted) {
            (_, _, true) => (CHANGE, "interrupted"),
            (_, false, _) => (BAD, "failed"),
            (Mode::Preview, ..) if changed + summary.get("pending") == 0 => (GOOD, "no changes"),
            (Mode::Preview, ..) => (CHANGE, "preview, nothing was changed"),
            (Mode::Run, ..) if changed == 0 => (GOOD, "no changes"),
            (Mode::Run, ..) => (GOOD, "done"),
        };
        let mut out = format!("\n{style}{head}{style:#}: {counts}, in {elapsed:.1} s\n");
        if !stuck.is_empty() {
            let _ = writeln!(
                out,
                "{BAD}stuck{BAD:#}: not undone: {}; see why above, and undo it by hand",
                unit_list(stuck)
            );
        }
        if !handlers_left.is_empty() {
            let _ = writeln!(out, "{CHANGE}handlers left{CHANGE:#} for the next run: {}", unit_list(handlers_left));
        }
        if !ok && self.mode == Mode::Run {
            out += &self.resume_hint();
        }
        out
    }

    /// The hint that says how to continue.
    pub(super) fn resume_hint(&self) -> String {
        format!("{HINT}hint{HINT:#}: `{}` continues from here\n", self.resume_command)
    }
}

fn unit_list(units: &[UnitRef]) -> String {
    units.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One line about a unit.
pub(super) fn unit_line(style: Style, sign: char, word: &str, unit: &UnitRef, detail: &str) -> String {
    let mut out = format!("{style}{sign} {word:<9}{style:#} {unit}");
    push_detail(&mut out, detail);
    out.push('\n');
    out
}

fn run_start(run: &str, plan: &str, mode: Mode, units: usize, resumed_from: Option<&str>) -> String {
    let what = match mode {
        Mode::Preview => "preview of",
        Mode::Run => "run",
    };
    let mut out = match mode {
        Mode::Preview => format!("{what} {plan}: {units} steps\n"),
        Mode::Run => format!("{what} {run} of {plan}: {units} steps\n"),
    };
    if let Some(earlier) = resumed_from {
        let _ = writeln!(out, "continuing run {earlier}; --fresh starts anew");
    }
    out.push('\n');
    out
}

fn problem_lines(style: Style, problem: &Problem) -> String {
    let mut out = String::new();
    for line in problem.message.lines() {
        let _ = writeln!(out, "    {style}{line}{style:#}");
    }
    if let Some(hint) = &problem.hint {
        for (number, line) in hint.lines().enumerate() {
            let head = if number == 0 { "hint: " } else { "      " };
            let _ = writeln!(out, "    {HINT}{head}{HINT:#}{line}");
        }
    }
    out
}

/// The most characters of a detail; the journal has the full text.
const MAX_DETAIL_CHARS: usize = 110;

fn push_detail(out: &mut String, detail: &str) {
    let line = detail.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(MAX_DETAIL_CHARS).collect();
    let more = if cut.len() < detail.len() { "…" } else { "" };
    let _ = write!(out, "  {QUIET}{cut}{more}{QUIET:#}");
}

#[cfg(test)]
mod tests;
