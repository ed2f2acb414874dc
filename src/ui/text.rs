//! Events as text for people: pure, so that it is tested by snapshots. Every meaning stands in words as well as in
//! colour.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::diff::{Delta, Diff};
use crate::event::{Event, EventKind, Mode, Outcome, Problem, Summary, UnitRef, name};
use crate::secret::visible;

/// How much of a step's changes is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DiffStyle {
    /// Every line.
    Full,
    /// What changes, without the texts.
    Summary,
    /// Nothing.
    None,
}

/// The form of the text, and what it must remember between events.
#[derive(Debug, Clone)]
pub struct Text {
    /// How much of the changes is shown.
    pub diff: DiffStyle,
    /// The command that goes on after a failure.
    pub again: String,
    mode: Mode,
    /// Units that were not run, with what they needed; told together at the end, phase by phase.
    not_run: Vec<(UnitRef, String)>,
    /// What there is to say of running units: on which machine, and why they run again.
    begun: HashMap<UnitRef, Vec<String>>,
}

const GOOD: Style = AnsiColor::Green.on_default();
const CHANGE: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const HINT: Style = AnsiColor::Cyan.on_default();
const QUIET: Style = Style::new().dimmed();

impl Text {
    /// `again` is the command that goes on after a failure.
    pub fn new(diff: DiffStyle, again: String) -> Self {
        Self { diff, again, mode: Mode::Run, not_run: Vec::new(), begun: HashMap::new() }
    }

    /// The lines that an event leaves behind, each ended; most leave none.
    pub fn block(&mut self, event: &Event) -> Option<String> {
        let mut kind = event.kind.clone();
        // What earlier versions wrote down is as it came.
        kind.texts(&mut |text| {
            if let Cow::Owned(visible) = visible(text) {
                *text = visible;
            }
        });
        match &kind {
            EventKind::RunStarted { run, plan, mode, units, resumed_from, .. } => {
                self.mode = *mode;
                Some(started(run, plan, *mode, *units, resumed_from.as_deref()))
            }
            EventKind::Dropped { unit, why } => Some(line(QUIET, '⊖', "dropped", unit, why)),
            EventKind::Undone { unit, by } => Some(line(CHANGE, '↶', "undone", unit, &format!("by {by}"))),
            EventKind::UnitStarted { unit, on, why, .. } => {
                let on = on.iter().map(|on| format!("on {on}"));
                self.begun.insert(unit.clone(), on.chain(why.iter().map(|why| format!("again: {why}"))).collect());
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
                let begun = self.begun.remove(unit).unwrap_or_default();
                Some(self.unit(unit, outcome, diff, output, *elapsed, &begun))
            }
            EventKind::RunFinished { summary, ok, interrupted, elapsed, handlers_left, stuck } => {
                let not_run = self.not_run();
                Some(not_run + &self.end(summary, *ok, *interrupted, *elapsed, handlers_left, stuck))
            }
            _ => None,
        }
    }

    fn unit(
        &self,
        unit: &UnitRef,
        outcome: &Outcome,
        diff: &Diff,
        output: &str,
        elapsed: f64,
        begun: &[String],
    ) -> String {
        let (style, sign, word) = face(outcome, diff, self.mode);
        let mut out = format!("{style}{sign} {word:<9}{style:#} {unit}");
        match outcome {
            Outcome::Same { seen } if !seen.is_empty() => push(&mut out, seen),
            Outcome::Skipped { why } => push(&mut out, why),
            Outcome::Waits { seen } => push(&mut out, &format!("now: {seen}")),
            Outcome::Pending { needs } => push(&mut out, &format!("needs {needs}")),
            _ => {}
        }
        begun.iter().for_each(|detail| push(&mut out, detail));
        if elapsed >= 0.1 {
            let _ = write!(out, "  {QUIET}{elapsed:.1} s{QUIET:#}");
        }
        out.push('\n');
        if let Outcome::Failed(problem) | Outcome::Warned(problem) | Outcome::Unknown(problem) = outcome {
            let style = if matches!(outcome, Outcome::Warned(_)) { CHANGE } else { BAD };
            out.push_str(&trouble(style, problem));
            for line in output.lines() {
                let _ = writeln!(out, "    {QUIET}│ {line}{QUIET:#}");
            }
        }
        self.changes(&mut out, diff);
        out
    }

    /// One line for each phase and cause.
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
            push(&mut out, &format!("needs {needs}"));
            out.push('\n');
        }
        self.not_run.clear();
        out
    }

    fn changes(&self, out: &mut String, diff: &Diff) {
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

    fn end(
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
            let _ =
                writeln!(out, "{BAD}stuck{BAD:#}: not undone: {}; see why above, and undo it by hand", listed(stuck));
        }
        if !handlers_left.is_empty() {
            let _ = writeln!(out, "{CHANGE}handlers left{CHANGE:#} for the next run: {}", listed(handlers_left));
        }
        if !ok && self.mode == Mode::Run {
            out += &self.hint();
        }
        out
    }

    /// How to go on.
    pub(super) fn hint(&self) -> String {
        format!("{HINT}hint{HINT:#}: `{}` goes on from here\n", self.again)
    }
}

fn listed(units: &[UnitRef]) -> String {
    units.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What became of a unit, in one line.
pub(super) fn line(style: Style, sign: char, word: &str, unit: &UnitRef, detail: &str) -> String {
    let mut out = format!("{style}{sign} {word:<9}{style:#} {unit}");
    push(&mut out, detail);
    out.push('\n');
    out
}

fn started(run: &str, plan: &str, mode: Mode, units: usize, resumed_from: Option<&str>) -> String {
    let what = match mode {
        Mode::Preview => "preview of",
        Mode::Run => "run",
    };
    let mut out = match mode {
        Mode::Preview => format!("{what} {plan}: {units} steps\n"),
        Mode::Run => format!("{what} {run} of {plan}: {units} steps\n"),
    };
    if let Some(earlier) = resumed_from {
        let _ = writeln!(out, "going on from run {earlier}; --fresh starts anew");
    }
    out.push('\n');
    out
}

/// How an outcome looks, and its word, which is that of JSON but where another one says more.
fn face(outcome: &Outcome, diff: &Diff, mode: Mode) -> (Style, char, &'static str) {
    let (style, sign) = match outcome {
        Outcome::Same { .. } => (GOOD, '✓'),
        Outcome::Changed => (CHANGE, '±'),
        Outcome::Kept { .. } => (QUIET, '✓'),
        Outcome::Skipped { .. } => (QUIET, '↷'),
        Outcome::Waits { .. } => (HINT, '…'),
        // Where its change is known, only the time is not.
        Outcome::Pending { .. } if !diff.is_empty() => (CHANGE, '±'),
        Outcome::Pending { .. } => (HINT, '…'),
        Outcome::Failed(_) => (BAD, '✗'),
        Outcome::Warned(_) => (CHANGE, '!'),
        Outcome::Unknown(_) => (BAD, '?'),
        Outcome::Cancelled { .. } => (QUIET, '⊘'),
    };
    let word = match outcome {
        Outcome::Same { .. } => "ok",
        Outcome::Changed if mode == Mode::Preview => "would do",
        Outcome::Cancelled { .. } => "not run",
        _ => name(outcome),
    };
    (style, sign, word)
}

fn counts(summary: &Summary, mode: Mode) -> String {
    let names = [
        ("failed", "failed"),
        ("unknown", "unknown"),
        ("warned", "failed and ignored"),
        ("changed", if mode == Mode::Preview { "would change" } else { "changed" }),
        ("pending", "pending"),
        ("waits", "waiting"),
        ("kept", "kept"),
        ("same", "ok"),
        ("skipped", "skipped"),
        ("cancelled", "not run"),
    ];
    let parts: Vec<String> = names
        .iter()
        .filter(|(key, _)| summary.get(key) > 0)
        .map(|(key, word)| format!("{} {word}", summary.get(key)))
        .collect();
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}

fn trouble(style: Style, problem: &Problem) -> String {
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

/// Details longer than this many characters are cut: the journal has them whole.
const MAX_DETAIL_CHARS: usize = 110;

fn push(out: &mut String, detail: &str) {
    let line = detail.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(MAX_DETAIL_CHARS).collect();
    let more = if cut.len() < detail.len() { "…" } else { "" };
    let _ = write!(out, "  {QUIET}{cut}{more}{QUIET:#}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::VERSION;

    fn show(diff: DiffStyle, kinds: Vec<EventKind>) -> String {
        let mut text = Text::new(diff, "rollout run plan.toml".into());
        let at = jiff::Timestamp::UNIX_EPOCH;
        let events: Vec<Event> = kinds.into_iter().map(|kind| Event { v: VERSION, seq: 0, at, kind }).collect();
        anstream::adapter::strip_str(&super::super::finished(&events, &mut text)).to_string()
    }

    fn ended(step: &str, outcome: Outcome, diff: Diff, elapsed: f64) -> EventKind {
        let unit = UnitRef { phase: "mesh".into(), step: step.into(), item: None, host: None };
        EventKind::UnitFinished {
            unit,
            outcome,
            definition: None,
            diff,
            outputs: serde_json::Map::new(),
            output: "last words".into(),
            elapsed,
            acted: true,
        }
    }

    fn run(mode: Mode, ok: bool, outcomes: Vec<EventKind>) -> Vec<EventKind> {
        let mut summary = Summary::default();
        for kind in &outcomes {
            if let EventKind::UnitFinished { outcome, .. } = kind {
                summary.count(outcome);
            }
        }
        let mut kinds = vec![EventKind::RunStarted {
            run: "r1".into(),
            plan: "istio".into(),
            mode,
            units: outcomes.len(),
            resumed_from: None,
            whole: None,
            source: None,
        }];
        kinds.extend(outcomes);
        kinds.push(EventKind::RunFinished {
            summary,
            ok,
            interrupted: false,
            elapsed: 1.25,
            handlers_left: Vec::new(),
            stuck: Vec::new(),
        });
        kinds
    }

    #[test]
    fn a_failed_run_says_what_why_and_how_to_go_on() {
        let problem = Problem::new("vault-1 is sealed").hint("unseal it: bao operator unseal");
        let kinds = vec![
            ended("same", Outcome::Same { seen: "3 nodes Ready".into() }, Diff::default(), 0.2),
            ended("health", Outcome::Failed(problem), Diff::default(), 0.0),
            ended("istiod", Outcome::Cancelled { needs: "mesh/health".into() }, Diff::default(), 0.0),
            ended("gateway", Outcome::Cancelled { needs: "mesh/health".into() }, Diff::default(), 0.0),
        ];
        insta::assert_snapshot!(show(DiffStyle::Full, run(Mode::Run, false, kinds)), @r"
        run r1 of istio: 4 steps

        ✓ ok        mesh/same  3 nodes Ready  0.2 s
        ✗ failed    mesh/health
            vault-1 is sealed
            hint: unseal it: bao operator unseal
            │ last words
        ⊘ not run   mesh, 2 steps  needs mesh/health

        failed: 1 failed, 1 ok, 2 not run, in 1.2 s
        hint: `rollout run plan.toml` goes on from here
        ");
    }

    #[test]
    fn an_ignored_failure_is_told_and_counted() {
        let problem = Problem::new("it exited with 3");
        let kinds = vec![
            ended("try", Outcome::Warned(problem), Diff::default(), 0.0),
            ended("next", Outcome::Changed, Diff::default(), 0.0),
        ];
        insta::assert_snapshot!(show(DiffStyle::Full, run(Mode::Run, true, kinds)), @r"
        run r1 of istio: 2 steps

        ! warned    mesh/try
            it exited with 3
            │ last words
        ± changed   mesh/next

        done: 1 failed and ignored, 1 changed, in 1.2 s
        ");
    }

    #[test]
    fn a_preview_shows_changes_and_what_is_not_known() {
        let diff = Diff::text("/etc/motd", "a\n", "b\n");
        let kinds = vec![
            ended("motd", Outcome::Changed, diff, 0.0),
            ended("gateway", Outcome::Pending { needs: "step base".into() }, Diff::default(), 0.0),
        ];
        insta::assert_snapshot!(show(DiffStyle::Full, run(Mode::Preview, true, kinds)), @r"
        preview of istio: 2 steps

        ± would do  mesh/motd
            ~ /etc/motd
            @@ -1 +1 @@
            -a
            +b
        … pending   mesh/gateway  needs step base

        preview, nothing was changed: 1 would change, 1 pending, in 1.2 s
        ");
    }

    #[test]
    fn a_summary_leaves_texts_out() {
        let kinds = vec![ended("motd", Outcome::Changed, Diff::text("/etc/motd", "a\n", "b\n"), 0.0)];
        assert!(!show(DiffStyle::Summary, run(Mode::Run, true, kinds.clone())).contains("+b"));
        assert!(show(DiffStyle::Summary, run(Mode::Run, true, kinds.clone())).contains("/etc/motd"));
        assert!(!show(DiffStyle::None, run(Mode::Run, true, kinds)).contains("/etc/motd"));
    }

    #[test]
    fn nothing_changed_is_said_first() {
        let kinds = vec![ended("same", Outcome::Same { seen: String::new() }, Diff::default(), 0.0)];
        assert!(show(DiffStyle::Full, run(Mode::Run, true, kinds)).contains("no changes: 1 ok, in 1.2 s"));
    }
}
