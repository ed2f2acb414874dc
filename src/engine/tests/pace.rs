//! Batches, limits of failures, and failures that are ignored.

use super::plans::{Step, act, phase, plan, set, set_at, step, steps};
use super::runs::{Runs, run};
use super::world::FakeWorld;
use crate::event::Outcome;
use crate::plan::Plan;

/// Sets a path of each of three hosts.
fn each(id: &str) -> Step {
    set_at(id, &format!("{id}.{{{{ host.name }}}}"), "1").on("h1,h2,h3")
}

fn act_each(id: &str) -> Step {
    step(id, "act", &format!("path = '{id}.{{{{ host.name }}}}'")).on("h1,h2,h3")
}

/// A phase with these keys, then one that needs it.
fn rolling(keys: &str, p: impl IntoIterator<Item = Step>, after: impl IntoIterator<Item = Step>) -> Plan {
    plan([phase("p", keys, p), phase("after", "needs = ['p']", after)])
}

#[tokio::test]
async fn a_batch_goes_through_all_steps_and_its_handlers_before_the_next_one() {
    let plan = rolling("serial = 1", [each("a").notify("r"), each("b"), act_each("r").handler()], [set("c", "1")]);
    let ran = run(&plan, &FakeWorld::default()).await;
    let expected = "a@h1 b@h1 r@h1 a@h2 b@h2 r@h2 a@h3 b@h3 r@h3 c";
    assert_eq!((ran.started().join(" ").as_str(), ran.report.ok), (expected, true));
}

#[tokio::test]
async fn within_the_limit_the_others_go_on_and_the_failed_host_takes_no_further_part() {
    let world = FakeWorld::default();
    world.refuse("a.h1");
    let keys = "serial = 1\nmax_failures = '34%'";
    let ran = run(rolling(keys, [each("a"), each("b")], [each("c"), set("once", "1")]), &world).await;
    let changed = ["a@h2", "a@h3", "b@h2", "b@h3", "c@h2", "c@h3", "once"];
    assert_eq!(ran.ended_well().len(), changed.len());
    assert!(changed.iter().all(|unit| ran.outcomes().contains(&format!("{unit} changed"))), "{}", ran.outcomes());
    assert_eq!([ran.needs("b@h1"), ran.needs("c@h1")], ["p/a@h1"; 2]);
    assert!(!ran.report.ok, "a failure is a failure");
    let hint = "1 of 3 hosts failed, and max_failures = \"34%\" lets the others go on; h1 takes no further part";
    assert_eq!(ran.problem("a@h1").hint.as_deref(), Some(hint));
}

#[tokio::test]
async fn beyond_the_limit_no_host_begins_and_hosts_that_have_begun_go_on() {
    let why = "fewer failures: 2 of 3 hosts failed, more than max_failures = 1";
    let world = FakeWorld::default();
    world.refuse("a.h1");
    world.refuse("a.h2");
    let plan = |keys: &str| rolling(&format!("max_failures = 1{keys}"), [each("a"), each("b")], [each("c")]);
    let ran = run(plan("\nserial = 1"), &world).await;
    assert_eq!(["a@h3", "b@h3"].map(|unit| ran.needs(unit)), [why; 2]);
    assert!(ran.outcomes().contains("c@h1 cancelled, c@h2 cancelled, c@h3 cancelled"));

    let ran = run(plan(""), &world).await;
    assert!(ran.outcomes().contains("a@h3 changed, b@h1 cancelled, b@h2 cancelled, b@h3 changed"), "it had begun");
    // Without batches, but with one task at a time: the third host has not begun when two have failed.
    world.refuse("a.h3");
    world.remove("a.h3");
    let mut runs = Runs::of(&world);
    runs.options.parallel = 1;
    let ran = runs.run(plan("")).await;
    let needs_fewer = |unit: &str| matches!(ran.outcome(unit), Outcome::Cancelled { needs } if needs == why);
    assert_eq!(
        ["a@h1", "a@h2", "a@h3", "b@h1", "b@h2", "b@h3"].into_iter().filter(|unit| needs_fewer(unit)).count(),
        2
    );
}

#[tokio::test]
async fn a_failure_of_a_step_without_hosts_is_within_no_limit() {
    let world = FakeWorld::default();
    world.refuse("once");
    let ran = run(rolling("max_failures = 2", [each("a"), set("once", "1")], [each("c")]), &world).await;
    assert_eq!(ran.needs("c@h1"), "p/once");
}

#[tokio::test]
async fn within_the_limit_only_the_failed_host_is_undone() {
    for (most, undone) in [(1, &["a@h2"][..]), (0, &["a@h1", "a@h2"])] {
        let world = FakeWorld::default();
        world.refuse("b.h2");
        let keys = format!("serial = 1\nmax_failures = {most}");
        let p = [each("a").undone_by("u"), each("b"), act_each("u").undo()];
        let ran = run(rolling(&keys, p, [set("c", "1")]), &world).await;
        let mut units: Vec<String> = ran.undone().iter().map(|undone| undone[..4].to_owned()).collect();
        units.sort();
        assert_eq!((units, ran.stuck().len()), (undone.iter().map(|unit| (*unit).to_owned()).collect(), 0), "{keys}");
    }
}

#[tokio::test]
async fn a_unit_that_needs_what_this_run_undid_is_not_kept() {
    let check = step("b", "wait", "path = 'b.{{ host.name }}'\nvalue = '1'").on("h1,h2,h3");
    let p = [each("a").undone_by("undo"), check, set("undo", "1").undo()];
    let plan = rolling("max_failures = 1", p, [each("c"), set("d", "1")]);
    let mut runs = Runs::default();
    ["b.h1", "b.h2", "b.h3", "undo"].iter().for_each(|path| runs.world.put(path, "1"));
    runs.world.refuse("d");
    runs.run(&plan).await;
    runs.world.remove("b.h1");
    let ran = runs.run(&plan).await;
    // Nothing was left to undo. The next run would probe again all the same, and so does this one.
    let expected = "a@h1 kept, a@h2 kept, a@h3 kept, b@h1 failed, b@h2 same, b@h3 same, \
                    c@h1 cancelled, c@h2 same, c@h3 same, d failed, undo same";
    assert_eq!(ran.outcomes(), expected);
}

fn ignoring(step: Step) -> Step {
    step.with("ignore_errors = true")
}

#[tokio::test]
async fn an_ignored_failure_stops_nothing_and_has_no_outputs() {
    let world = FakeWorld::default();
    world.refuse("a");
    let steps_behind = [
        set("asks", "{{ steps.a.value }}").with("when = 'steps.a.value is defined'"),
        set("or", "{{ steps.a.value | default('none') }}"),
        set("reads", "{{ steps.a.value }}"),
    ];
    let ran = run(steps([ignoring(set("a", "1"))].into_iter().chain(steps_behind)), &world).await;
    assert_eq!(ran.outcomes(), "a warned, asks skipped, or changed, reads failed");
    assert_eq!(world.get("or").as_deref(), Some("none"));
    let hint = ran.problem("reads").hint.as_deref();
    assert!(hint.is_some_and(|hint| hint.starts_with("p/a failed")), "{hint:?}");
    let ran = run(steps([ignoring(set("a", "1")), set("b", "1")]), &world).await;
    assert_eq!((ran.outcomes().as_str(), ran.report.ok), ("a warned, b changed", true));
}

#[tokio::test]
async fn an_ignored_failure_notifies_handlers_if_an_effect_was_sent() {
    let plan = steps([ignoring(set("a", "1")).notify("h"), act("h").handler()]);
    let world = FakeWorld::default();
    world.refuse("a");
    assert_eq!(run(&plan, &world).await.outcomes(), "a warned, h changed");
    world.unreadable("a");
    assert_eq!(run(&plan, &world).await.outcomes(), "a warned");
}

#[tokio::test]
async fn an_ignored_failure_is_probed_again_by_the_next_run() {
    let plan = steps([ignoring(set("a", "1")), set("b", "1"), set("c", "1")]);
    let mut runs = Runs::default();
    runs.world.refuse("a");
    runs.world.refuse("c");
    runs.run(&plan).await;
    runs.world.allow("a");
    let ran = runs.run(&plan).await;
    assert_eq!(ran.started()[0], "a: it had failed, which was ignored");
    assert_eq!(ran.outcomes(), "a changed, b same, c failed", "`b` needs `a`, which has changed now");
}
