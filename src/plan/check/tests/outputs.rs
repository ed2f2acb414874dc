//! Uses of step outputs.

use super::*;

#[test]
fn missing_outputs_and_outputs_used_too_early() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
when = "steps.here.revision > 1"
[[phase.one.step]]
id = "here"
action = "test.release"
release = "{{ steps.here.revision }}{{ steps.after.revision }}{{ steps.far_away.revision }}"
[[phase.one.step]]
id = "after"
action = "test.release"
release = "{{ steps.heer.revision }}{{ steps.here.revison }}{{ steps['here'].revision }}"
[[phase.one.step]]
id = "on-pis"
action = "test.file"
hosts = "pis"
path = "/x"
[[phase.one.step]]
id = "once"
action = "test.release"
release = "{{ steps.on_pis.checksum }}{{ steps.after.hosts['pi-1'].revision }}"
[[phase.one.step]]
id = "everywhere"
action = "test.file"
hosts = "all"
path = "{{ steps.on_pis.checksum }}"
[phase.two]
[[phase.two.step]]
id = "far-away"
action = "test.release"
release = "x"
"#), @r#"
    × 5:9 steps.here: phase `one` uses an output of step `here`, which may not have run by then
        a phase's `when` is decided before its steps
    × 9:15 steps.here: step `here` uses its own output
    × 9:40 steps.after: step `here` uses an output of step `after`, which may not have run by then
        put it after step `after`, or let it need that step
    × 9:66 steps.far_away: step `here` uses an output of step `far-away`, which may not have run by then
        let phase `one` need phase `two`
    × 13:15 steps.heer: no step is called `heer` in templates
        did you mean `here`?
    × 13:15 steps: `steps` is used without a step id, so it is unknown which step must run first
        write steps.ID.OUTPUT, with `_` in the place of `-` and `.` in the id
    × 13:40 steps.here.revison: step `here` has no output `revison`
        did you mean `revision`?
    × 22:15 steps.on_pis.checksum: step `on-pis` runs on hosts: each has a `checksum` of its own
        write steps.on_pis.hosts['NAME'].checksum
    × 22:42 steps.after: step `after` does not run on hosts
        write steps.after.OUTPUT
    × 27:12 steps.on_pis.checksum: step `on-pis` does not run on `control`
        write steps.on_pis.hosts['NAME'].checksum
    "#);
}
