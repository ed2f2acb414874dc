//! Unknown actions, and parameters that actions refuse.

use super::*;

#[test]
fn unknown_actions_and_invalid_parameters() {
    insta::assert_snapshot!(Project::new().table(r#"
[vars]
port = "eighty"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.flie"
hosts = "all"
[[phase.one.step]]
id = "b"
action = "test.file"
hosts = "all"
pth = "/etc/motd"
state = "presnt"
aliases = "x"
count = 300
[[phase.one.step]]
id = "c"
action = "test.release"
release = "x"
port = "{{ port }}"
need = ["b"]
values = ["a.yaml", 3]
[[phase.one.step]]
id = "d"
action = "kube.what"
[[phase.one.step]]
id = "e"
action = "test.file"
hosts = "all"
path = "{{ steps.b.checksum }}"
source = "x"
template = "y"
"#), @r#"
    × 9:10 "test.flie": no action is named `test.flie`
        did you mean `test.file`?
    × 13:10 "test.file": step `b` has no `path`, which test.file needs
        `path` (string): Where it goes.
    × 15:1 pth: test.file has no parameter `pth`
        did you mean `path`?
    × 16:9 "presnt": `state`: unknown variant `presnt`, expected `present` or `absent`
        did you mean `present`?
    × 17:11 "x": `aliases` must be a list of strings, not a string
    × 18:9 300: `count` must be an integer 0–255, not 300
    × 23:8 "{{ port }}" (is "eighty"): `port` must be an integer 0–65535, not a string
    × 24:1 need: test.release has no parameter `need`
        did you mean `needs`?
    × 25:11 "a.yaml": cannot read ROOT/a.yaml: No such file or directory (os error 2)
        paths start from ROOT
    × 25:21 3: `values.1`: invalid type: integer `3`, expected a path
    × 28:10 "kube.what": no action is named `kube.what`
        `rollout actions` lists all actions
    × 34:10 "x": give either `template` or `source`, not both
    × 34:10 "x": cannot read ROOT/x: No such file or directory (os error 2)
        paths start from ROOT
    × 35:12 "y": cannot read ROOT/y: No such file or directory (os error 2)
        paths start from ROOT
    "#);
}

#[test]
fn values_that_differ_between_hosts() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
hosts = "pis"
path = "{{ disk }}"
count = "{{ host.slots }}"
"#), @r#"
    × 9:12 disk: `disk` is not defined on `pi-2`
        add it to [vars], or give it with --var
    × 10:9 "{{ host.slots }}" (is "many" on pi-2): `count` must be an integer 0–255, not a string
    "#);
}
