//! Ids, needs and circles; handlers and `on_failure` steps.

use super::*;

#[test]
fn needs_and_circles() {
    insta::assert_snapshot!(Project::new().check(r#"
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
     × phases need each other: a → b → c → a
      ╭─[plans/a.toml:5:10]
    4 │ [phase.a]
    5 │ needs = ["b", "x-step"]
      ·          ───
    6 │ [[phase.a.step]]
      ╰────
     help: an arrow reads "needs"; take one of them away

     × no phase is named `x-step`
      ╭─[plans/a.toml:5:15]
    4 │ [phase.a]
    5 │ needs = ["b", "x-step"]
      ·               ────────
    6 │ [[phase.a.step]]
      ╰────
     help: it is a step of phase `b`; phases need phases

     × steps of phase `a` need each other: one → three → two → one
       ╭─[plans/a.toml:10:10]
     9 │ release = "x"
    10 │ needs = ["three"]
       ·          ───────
    11 │ [[phase.a.step]]
       ╰────
     help: an arrow reads "needs"; take one of them away

     × steps of phase `b` need each other: x-step → one → x.step → x-step
       ╭─[plans/a.toml:25:10]
    24 │ release = "x"
    25 │ needs = ["one", "a", "tow"]
       ·          ─────
    26 │ [[phase.b.step]]
       ╰────
     help: an arrow reads "needs"; take one of them away

     × no step of phase `b` is named `a`
       ╭─[plans/a.toml:25:17]
    24 │ release = "x"
    25 │ needs = ["one", "a", "tow"]
       ·                 ───
    26 │ [[phase.b.step]]
       ╰────
     help: it is a phase: write `needs` below [phase.b]

     × no step of phase `b` is named `tow`
       ╭─[plans/a.toml:25:22]
    24 │ release = "x"
    25 │ needs = ["one", "a", "tow"]
       ·                      ─────
    26 │ [[phase.b.step]]
       ╰────
     help: the steps are `x.step`, `one`

     × steps `x-step` and `x.step` have the same name in templates
       ╭─[plans/a.toml:27:6]
    21 │ [[phase.b.step]]
    22 │ id = "x-step"
       ·      ────┬───
       ·          ╰── first
    23 │ action = "test.release"
    24 │ release = "x"
    25 │ needs = ["one", "a", "tow"]
    26 │ [[phase.b.step]]
    27 │ id = "x.step"
       ·      ────┬───
       ·          ╰── again
    28 │ action = "test.release"
       ╰────
     help: both are steps.x_step there; give one of them another id

     × two steps have the id `one`
      ╭─[plans/a.toml:7:6]
    6 │ [[phase.a.step]]
    7 │ id = "one"
      ·      ──┬──
      ·        ╰── first
    8 │ action = "test.release"
      ╰────
       ╭─[plans/a.toml:31:6]
    30 │ [[phase.b.step]]
    31 │ id = "one"
       ·      ──┬──
       ·        ╰── again
    32 │ action = "test.release"
       ╰────
     help: ids are unique in the whole plan, since outputs are addressed by them

     ⚠ phase `c` has no steps
       ╭─[plans/a.toml:34:8]
    33 │ release = "x"
    34 │ [phase.c]
       ·        ─
    35 │ needs = ["a", "bb"]
       ╰────
     help: add [[phase.c.step]], or take the phase away

     × no phase is named `bb`
       ╭─[plans/a.toml:35:15]
    34 │ [phase.c]
    35 │ needs = ["a", "bb"]
       ·               ────
       ╰────
     help: the phases are `a`, `b`, `c`
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
     help: add [[phase.one.step]], or take the phase away
    "#);
}

#[test]
fn handlers_and_on_failure_steps_that_are_not_there() {
    insta::assert_snapshot!(Project::new().check(r#"
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
     × `handler` of phase `one` has no step named `relaod`
       ╭─[plans/a.toml:9:11]
     8 │ release = "x"
     9 │ notify = ["relaod", "b", "elsewhere"]
       ·           ────────
    10 │ on_failure = ["reload", "nothing-like-it"]
       ╰────
     help: did you mean `reload`?

     × `handler` of phase `one` has no step named `b`
       ╭─[plans/a.toml:9:21]
     8 │ release = "x"
     9 │ notify = ["relaod", "b", "elsewhere"]
       ·                     ───
    10 │ on_failure = ["reload", "nothing-like-it"]
       ╰────
     help: it stands in another list: write it below [[phase.one.handler]]

     × `handler` of phase `one` has no step named `elsewhere`
       ╭─[plans/a.toml:9:26]
     8 │ release = "x"
     9 │ notify = ["relaod", "b", "elsewhere"]
       ·                          ───────────
    10 │ on_failure = ["reload", "nothing-like-it"]
       ╰────
     help: it is in phase `two`: a step notifies what stands in its own phase

     × `on_failure` of phase `one` has no step named `reload`
       ╭─[plans/a.toml:10:15]
     9 │ notify = ["relaod", "b", "elsewhere"]
    10 │ on_failure = ["reload", "nothing-like-it"]
       ·               ────────
    11 │ [[phase.one.step]]
       ╰────
     help: it stands in another list: write it below [[phase.one.on_failure]]

     × `on_failure` of phase `one` has no step named `nothing-like-it`
       ╭─[plans/a.toml:10:25]
     9 │ notify = ["relaod", "b", "elsewhere"]
    10 │ on_failure = ["reload", "nothing-like-it"]
       ·                         ─────────────────
    11 │ [[phase.one.step]]
       ╰────
     help: add [[phase.one.on_failure]] with this id
    "#);
}

#[test]
fn handlers_and_on_failure_steps_that_nobody_names() {
    insta::assert_snapshot!(Project::new().check(r#"
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
     × no step notifies `reload`, so it never runs
       ╭─[plans/a.toml:10:6]
     9 │ [[phase.one.handler]]
    10 │ id = "reload"
       ·      ────────
    11 │ action = "test.release"
       ╰────
     help: add notify = ["reload"] to a step of the phase, or take it away

     × no step names `undo`, so it never runs
       ╭─[plans/a.toml:14:6]
    13 │ [[phase.one.on_failure]]
    14 │ id = "undo"
       ·      ──────
    15 │ action = "test.release"
       ╰────
     help: add on_failure = ["undo"] to a step of the phase, or take it away

     × `handler` of phase `two` has no step named `reload`
       ╭─[plans/a.toml:22:11]
    21 │ release = "x"
    22 │ notify = ["reload"]
       ·           ────────
       ╰────
     help: it is in phase `one`: a step notifies what stands in its own phase
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
