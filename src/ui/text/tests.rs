use super::*;
use crate::event::VERSION;

fn show(diff: DiffStyle, kinds: Vec<EventKind>) -> String {
    let mut text = Text::new(diff, "rollout run plan.toml".into());
    let at = jiff::Timestamp::UNIX_EPOCH;
    let events: Vec<Event> = kinds.into_iter().map(|kind| Event { v: VERSION, seq: 0, at, kind }).collect();
    anstream::adapter::strip_str(&super::super::render_events(&events, &mut text)).to_string()
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
    hint: `rollout run plan.toml` continues from here
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
