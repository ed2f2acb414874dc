//! Ids, needs and cycles; handlers and `on_failure` steps.

use super::*;

#[test]
fn needs_and_cycles() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.a]
needs = ["b", "x-step"]
[[phase.a.step]]
id = "one"
action = "test.release"
release = "x"
needs = ["three"]
[[phase.a.step]]
id = "two"
action = "test.release"
release = "x"
[[phase.a.step]]
id = "three"
action = "test.release"
release = "x"
[phase.b]
needs = ["c"]
[[phase.b.step]]
id = "x-step"
action = "test.release"
release = "x"
needs = ["one", "a", "tow"]
[[phase.b.step]]
id = "x.step"
action = "test.release"
release = "x"
[[phase.b.step]]
id = "one"
action = "test.release"
release = "x"
[phase.c]
needs = ["a", "bb"]
"#), @r#"
    × 5:10 "b": phases need each other: a → b → c → a
        an arrow means "needs"; remove one of them
    × 5:15 "x-step": no phase is named `x-step`
        it is a step of phase `b`; phases need phases
    × 10:10 "three": steps of phase `a` need each other: one → three → two → one
        an arrow means "needs"; remove one of them
    × 25:10 "one": steps of phase `b` need each other: x-step → one → x.step → x-step
        an arrow means "needs"; remove one of them
    × 25:17 "a": no step of phase `b` is named `a`
        it is a phase: write `needs` below [phase.b]
    × 25:22 "tow": no step of phase `b` is named `tow`
        the steps are `x.step`, `one`
    × 27:6 "x.step" (again) and 22:6 "x-step" (first): steps `x-step` and `x.step` have the same name in templates
        both are steps.x_step there; give one of them another id
    × 31:6 "one" (again) and 7:6 "one" (first): two steps have the id `one`
        ids are unique in the whole plan, since outputs are addressed by them
    ⚠ 34:8 c: phase `c` has no steps
        add [[phase.c.step]], or remove the phase
    × 35:15 "bb": no phase is named `bb`
        the phases are `a`, `b`, `c`
    "#);
}

#[test]
fn an_empty_phase_is_a_warning() {
    insta::assert_snapshot!(Project::new().check("[phase.one]\n"), @r#"
     ⚠ phase `one` has no steps
      ╭─[plans/a.toml:3:8]
    2 │ name = "demo"
    3 │ [phase.one]
      ·        ───
      ╰────
     help: add [[phase.one.step]], or remove the phase
    "#);
}

#[test]
fn missing_handlers_and_on_failure_steps() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x"
notify = ["relaod", "b", "elsewhere"]
on_failure = ["reload", "nothing-like-it"]
[[phase.one.step]]
id = "b"
action = "test.release"
release = "x"
notify = ["reload"]
on_failure = ["undo"]
[[phase.one.handler]]
id = "reload"
action = "test.release"
release = "x"
[[phase.one.on_failure]]
id = "undo"
action = "test.release"
release = "x"
[phase.two]
[[phase.two.step]]
id = "c"
action = "test.release"
release = "x"
notify = ["elsewhere"]
[[phase.two.handler]]
id = "elsewhere"
action = "test.release"
release = "x"
"#), @r#"
    × 9:11 "relaod": `handler` of phase `one` has no step named `relaod`
        did you mean `reload`?
    × 9:21 "b": `handler` of phase `one` has no step named `b`
        it is in another list: move it below [[phase.one.handler]]
    × 9:26 "elsewhere": `handler` of phase `one` has no step named `elsewhere`
        it is in phase `two`: a step notifies steps of its own phase only
    × 10:15 "reload": `on_failure` of phase `one` has no step named `reload`
        it is in another list: move it below [[phase.one.on_failure]]
    × 10:25 "nothing-like-it": `on_failure` of phase `one` has no step named `nothing-like-it`
        add [[phase.one.on_failure]] with this id
    "#);
}

#[test]
fn unused_handlers_and_on_failure_steps() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x"
[[phase.one.handler]]
id = "reload"
action = "test.release"
release = "x"
[[phase.one.on_failure]]
id = "undo"
action = "test.release"
release = "x"
[phase.two]
[[phase.two.step]]
id = "b"
action = "test.release"
release = "x"
notify = ["reload"]
"#), @r#"
    × 10:6 "reload": no step notifies `reload`, so it never runs
        add notify = ["reload"] to a step of the phase, or remove it
    × 14:6 "undo": no step names `undo`, so it never runs
        add on_failure = ["undo"] to a step of the phase, or remove it
    × 22:11 "reload": `handler` of phase `two` has no step named `reload`
        it is in phase `one`: a step notifies steps of its own phase only
    "#);
}

#[test]
fn handlers_and_on_failure_steps_may_be_named_by_many() {
    let said = Project::new().check(
        r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x"
notify = ["reload"]
on_failure = ["undo"]
[[phase.one.step]]
id = "b"
action = "test.release"
release = "x"
notify = ["reload"]
on_failure = ["undo"]
[[phase.one.handler]]
id = "reload"
action = "test.release"
release = "x"
[[phase.one.on_failure]]
id = "undo"
action = "test.release"
release = "x"
"#,
    );
    assert_eq!(said, "0 errors");
}
