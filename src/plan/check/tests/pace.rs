//! Batches, failure limits and ignored failures.

use super::*;

#[test]
fn batches_and_limits_need_hosts() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
serial = 1
max_failures = 1
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x"
serial = 1
[phase.two]
serial = [1, "50%"]
[[phase.two.step]]
id = "first"
action = "test.release"
release = "x"
[[phase.two.step]]
id = "b"
action = "test.file"
hosts = "pis"
path = "/a"
max_failures = "10%"
[[phase.two.step]]
id = "between"
action = "test.release"
release = "x"
[[phase.two.step]]
id = "c"
action = "test.file"
hosts = "pis"
path = "{{ steps.b.hosts['pi-1'].checksum }}"
[[phase.two.step]]
id = "last"
action = "test.release"
release = "{{ steps.b.hosts['pi-1'].checksum }}"
"#), @r#"
    × 5:10 1: `serial` does nothing: phase `one` has no `hosts`
        these keys need hosts: give its steps `hosts`, or remove the key
    × 6:16 1: `max_failures` does nothing: phase `one` has no `hosts`
        these keys need hosts: give its steps `hosts`, or remove the key
    × 11:10 1: `serial` does nothing: step `a` has no `hosts`
        these keys need hosts: add `hosts`, or remove the key
    × 25:6 "between" (runs once) and 13:10 [1, "50%"] (batch by batch): step `between` runs once, between steps that run on hosts, and phase `two` has `serial`
        each batch goes through all steps before the next one: give it `hosts`, or a phase of its own
    × 32:12 steps.b: a batch cannot read what other hosts make of step `b`: their batch may come later
        write steps.b.OUTPUT, or read it in a phase after this one
    "#);
}

#[test]
fn outputs_of_a_step_that_may_fail_need_a_default_or_a_condition() {
    insta::assert_snapshot!(Project::new().check(r#"
[phase.one]
[[phase.one.step]]
id = "may-fail"
action = "test.release"
release = "x"
ignore_errors = true
[[phase.one.step]]
id = "bold"
action = "test.release"
release = "{{ steps.may_fail.revision }}"
[[phase.one.step]]
id = "asks"
action = "test.release"
when = "steps.may_fail.revision is defined"
release = "{{ steps.may_fail.revision }}"
[[phase.one.step]]
id = "or"
action = "test.release"
release = "{{ steps.may_fail.revision | default('none') }}"
"#), @r#"
     ⚠ step `may-fail` may fail, which it ignores, and then it has no output `revision`
       ╭─[plans/a.toml:13:15]
    12 │ action = "test.release"
    13 │ release = "{{ steps.may_fail.revision }}"
       ·               ───────────────────────
    14 │ [[phase.one.step]]
       ╰────
     help: write when = "steps.may_fail.revision is defined", or steps.may_fail.revision | default(…)
    "#);
}
