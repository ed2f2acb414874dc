//! What a run takes over from the run before, whether the plan was edited or not.

use super::plans::{Step, act, phase, plan, set, set_at, steps};
use super::runs::Runs;
use crate::event::{EventKind, Outcome};
use crate::plan::Plan;

fn abc(a: &str) -> Plan {
    steps([set("a", a), set("b", "1"), set("c", "1")])
}

/// A first run of the plan, of which `c` fails. In later runs it works.
async fn failed_at_c(plan: &Plan) -> Runs {
    let mut runs = Runs::default();
    runs.world.refuse("c");
    assert!(matches!(runs.run(plan).await.outcome("c"), Outcome::Failed(_)));
    runs.world.allow("c");
    runs
}

#[tokio::test]
async fn a_resumed_run_keeps_what_is_done_and_redoes_what_changed() {
    let plan = |b: &str| {
        let q = [set("a2", "1"), set_at("d", "d", "{{ steps.a.value }}")];
        let checks = set("checks", "1").with("read_only = true");
        plan([
            phase("aside", "", [checks]),
            phase("p", "", [set("a", "1"), set("b", b), set("c", "1")]),
            phase("q", "needs = ['p']", q),
        ])
    };
    let mut runs = failed_at_c(&plan("1")).await;
    runs.world.remove("a");
    let ran = runs.run(plan("2")).await;
    assert_eq!(ran.outcomes(), "a kept, a2 changed, b changed, c changed, checks same, d changed");
    assert_eq!(runs.world.get("a"), None, "a kept step is not even probed");
    assert_eq!(runs.world.get("d").as_deref(), Some("1"), "the outputs of a kept step are there");
}

#[tokio::test]
async fn each_step_of_an_edited_plan_has_a_reason_to_be_redone_or_dropped() {
    let mut runs = failed_at_c(&steps([set("a", "1"), set("b", "1"), set("gone", "1"), set("c", "1")])).await;
    let ran = runs.run(steps([set("a", "1"), set("b", "2"), set("c", "1"), set("new", "1")])).await;
    assert_eq!(ran.started(), ["b: its definition changed", "c: it had failed", "new"]);
    assert_eq!(ran.outcomes(), "a kept, b changed, c changed, new changed");
    let dropped = ran.events.iter().find_map(|e| match &e.kind {
        EventKind::Dropped { unit, why } => Some(format!("{unit}: {why}")),
        _ => None,
    });
    assert_eq!(dropped.as_deref(), Some("p/gone: the plan has no such step any more"));
}

#[tokio::test]
async fn an_act_that_was_cut_off_is_not_repeated_unless_the_plan_or_a_person_says_so() {
    // The act was cut off, or the step that undoes it was.
    for cut_at in ["a", "undo"] {
        for (keys, [done, rerun], outcome, acts) in [
            ("", [&[][..], &[]], "unknown", 1),
            ("rerun = true", [&[], &[]], if cut_at == "a" { "changed" } else { "" }, 2),
            ("", [&[], &["p/a"]], "changed", 2),
            ("", [&["a"], &[]], "kept", 1),
        ] {
            if outcome.is_empty() {
                continue;
            }
            let a = act("a").with(keys).undone_by("undo");
            let plan = steps([a, set("b", "1"), act("undo").undo()]);
            let mut runs = Runs::default();
            runs.world.refuse("b");
            runs.run(&plan).await;
            runs.cut_after_start_of(cut_at);
            runs.world.allow("b");
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            (runs.options.done, runs.options.rerun) = (names(done), names(rerun));
            let ran = runs.run(&plan).await;
            let b = if outcome == "unknown" { "cancelled" } else { "changed" };
            let text = format!("{cut_at} cut off, {keys} {done:?} {rerun:?}");
            assert_eq!(ran.outcomes(), format!("a {outcome}, b {b}"), "{text}");
            // The answer holds for the runs after this one, and so does the question.
            (runs.options.done, runs.options.rerun) = (Vec::new(), Vec::new());
            let ran = runs.run(&plan).await;
            let again = if outcome == "unknown" { "a unknown" } else { "a kept" };
            assert!(ran.outcomes().starts_with(again), "{text}: {}", ran.outcomes());
            assert_eq!(runs.world.acts("a"), acts, "{text}");
        }
    }
}

#[tokio::test]
async fn a_run_that_ends_early_does_not_forget_a_change_that_later_steps_need() {
    let mut runs = failed_at_c(&abc("1")).await;
    // The second run changes `a` and ends before it comes to `b`.
    runs.interrupt_at("a", 1);
    runs.run(abc("2")).await;
    assert_eq!(runs.run(abc("2")).await.outcomes(), "a kept, b same, c changed");
}

#[tokio::test]
async fn a_change_still_counts_if_its_step_is_left_out_of_the_run() {
    let plan = |a: &str| steps([set("a", a), set("b", "1").with("tags = ['quick']"), set("c", "1")]);
    let mut runs = failed_at_c(&plan("1")).await;
    runs.interrupt_at("a", 1);
    runs.run(plan("2")).await;
    runs.options.tags = vec!["quick".to_owned()];
    assert_eq!(runs.run(plan("2")).await.outcomes(), "a skipped, b same, c skipped");
}

#[tokio::test]
async fn a_change_by_a_handler_counts_for_the_step_that_flushes_it() {
    let plan = |flush: bool| {
        let b = set("b", "1").with(&format!("flush = {flush}"));
        steps([set("a", "1").notify("h"), b, set("c", "1"), set("h", "1").handler()])
    };
    let mut runs = failed_at_c(&plan(false)).await;
    // The handler runs before `b` now, and the run ends there.
    runs.interrupt_at("h", 1);
    runs.run(plan(true)).await;
    assert_eq!(runs.run(plan(true)).await.outcomes(), "a kept, b same, c changed");
}

#[tokio::test]
async fn a_step_that_failed_before_it_sent_anything_has_changed_nothing() {
    let mut runs = failed_at_c(&abc("1")).await;
    runs.options.rerun = vec!["a".into()];
    runs.world.silent_at([runs.world.probes() + 1]);
    assert!(runs.run(abc("1")).await.outcomes().starts_with("a failed"));
    runs.options.rerun.clear();
    assert_eq!(runs.run(abc("1")).await.outcomes(), "a same, b kept, c changed");
}

#[tokio::test]
async fn a_sensitive_step_is_probed_again_only_if_a_step_that_runs_reads_its_outputs() {
    for (value, outcome) in [("1", "kept"), ("{{ steps.a.value }}", "same")] {
        let hidden: Step = set("a", "1").with("sensitive = true");
        let plan = steps([hidden, set("c", value)]);
        let mut runs = failed_at_c(&plan).await;
        assert_eq!(runs.run(&plan).await.outcomes(), format!("a {outcome}, c changed"));
    }
}
