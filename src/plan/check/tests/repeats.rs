//! Steps that would act in each run.

use super::*;

fn fetch(part: &str, id: &str, rest: &str) -> String {
    format!("[[phase.p.{part}]]\nid = \"{id}\"\naction = \"test.fetch\"\n{rest}\n")
}

#[test]
fn a_step_that_would_act_in_each_run_needs_a_condition() {
    let guarded = fetch("step", "a", "hosts = \"pi-1\"\nto = \"a\"\nonly_if = \"x\"");
    let when = fetch("step", "b", "hosts = \"pi-1\"\nto = \"b\"\nwhen = \"host.name == 'pi-1'\"\nnotify = [\"c\"]");
    let handler = fetch("handler", "c", "hosts = \"pi-1\"\nto = \"c\"");
    assert_eq!(Project::new().check(&format!("[phase.p]\n{guarded}{when}{handler}")), "0 errors");
    let bare = fetch("step", "d", "hosts = \"pi-1\"\nto = \"d\"");
    let said = Project::new().check(&format!("[phase.p]\n{bare}"));
    assert!(said.contains("step `d` has no condition: test.fetch would act again in each run"), "{said}");
    assert!(said.contains("`only_if`, `when`, or make it a `[[phase.p.handler]]`"), "{said}");
}

#[test]
fn no_two_hosts_write_the_same_file() {
    let to = |id: &str, hosts: &str, to: &str| {
        fetch("step", id, &format!("hosts = \"{hosts}\"\nonly_if = \"x\"\nto = \"{to}\""))
    };
    let check = |steps: &[String]| Project::new().check(&format!("[phase.p]\n{}", steps.concat()));
    assert_eq!(check(&[to("a", "pis", "got/{{ host.name }}/x"), to("b", "pi-1", "got/y")]), "0 errors");
    let one = check(&[to("a", "pis", "got/x")]);
    assert!(one.contains("a@pi-1 and a@pi-2 would both write `got/x`") && one.contains("{{ host.name }}"), "{one}");
    assert!(check(&[to("a", "pis", "got/{{ domain }}/x")]).contains("would both write `got/lan/x`"));
    assert!(
        check(&[to("a", "pi-1", "x"), to("b", "pi-2", "./x")]).contains("a@pi-1 and b@pi-2 would both write `./x`")
    );
    let each = |path: &str| format!("{}for_each = [\"u\", \"v\"]\n", to("a", "pi-1", path));
    assert_eq!(check(&[each("got/{{ item }}")]), "0 errors");
    assert!(check(&[each("got/x")]).contains("a[u]@pi-1 and a[v]@pi-1 would both write `got/x`"));
    assert_eq!(check(&[format!("{}run_once = true\n", to("a", "pis", "x"))]), "0 errors");
    // Whether a step is skipped on a host is known only during the run.
    let when = fetch("step", "a", "hosts = \"pis\"\nto = \"x\"\nwhen = \"host.name == 'pi-1'\"");
    assert_eq!(check(&[when]), "0 errors");
}
