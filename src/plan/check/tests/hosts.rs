//! Steps with wrong hosts.

use super::*;

#[test]
fn wrong_and_useless_hosts() {
    insta::assert_snapshot!(Project::new().table(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
path = "/x"
[[phase.one.step]]
id = "b"
action = "test.release"
hosts = "all"
release = "x"
[[phase.one.step]]
id = "c"
action = "test.file"
hosts = "control,pi-11"
path = "/x"
[[phase.one.step]]
id = "d"
action = "test.file"
hosts = "pi-1:!pis"
path = "/x"
[[phase.one.step]]
id = "e"
action = "test.file"
hosts = "{{ target }}"
path = "/x"
[[phase.one.step]]
id = "f"
action = "test.release"
become = true
release = "x"
"#), @r#"
    × 7:10 "test.file": step `a` has no `hosts`, and test.file runs on hosts
        add `hosts = "all"`, a group or a host of the inventory
    × 12:9 "all": step `b` has `hosts`, but test.release runs once, from this machine
        remove `hosts`
    × 17:18 pi-11: no host or group is named `pi-11`
        did you mean `pi-1`?
    ⚠ 22:9 "pi-1:!pis": no host is left of `pi-1:!pis`: step `d` does nothing
    × 27:9 "{{ target }}": `hosts` cannot contain templates
        use a group, and let each inventory say who is in it
    ⚠ 30:6 "f": `become` has no effect on step `f`, which runs on no host
    "#);
}
