//! Changes that may cut the connection.

use super::*;

/// What is said of a step of `test.file` with these keys; the place is the text that is marked.
fn said(keys: &str) -> String {
    Project::new().check(&format!("[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\npath = \"/x\"\n{keys}\n"))
}

#[test]
fn a_guarded_step_of_other_machines_is_fine() {
    let keys = "hosts = \"pis\"\nguard = \"2m\"\nguard_apply = \"systemctl reload ssh\"\nguard_check = \"true\"";
    assert_eq!(said(keys), "0 errors");
}

#[test]
fn a_guard_that_can_hold_nothing_is_told() {
    insta::assert_snapshot!(said("hosts = \"pi-1\"\nguard = \"2m\"\nguard_apply = \"reload {{ domain }}\""), @r#"
     × commands of a guard take no templates
      ╭─[plans/a.toml:9:15]
    8 │ guard = "2m"
    9 │ guard_apply = "reload {{ domain }}"
      ·               ─────────────────────
      ╰────
     help: write what it does into a script on the host, and run that
    "#);
    insta::assert_snapshot!(said("hosts = \"control, pi-1\"\nguard = \"2m\""), @r#"
     ⚠ no connection leads to `control`, which is this machine
      ╭─[plans/a.toml:8:1]
    7 │ hosts = "control, pi-1"
    8 │ guard = "2m"
      · ─────
      ╰────
     help: there, a guard needs a `guard_check` to tell whether all is well
    "#);
    assert_eq!(said("hosts = \"control\"\nguard = \"2m\"\nguard_check = \"true\""), "0 errors");
    let alone = Project::new()
        .check("[[phase.a.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\nguard = \"2m\"\n");
    assert!(alone.contains("× `guard` has no effect on step `a`, which runs on no host"), "{alone}");
}

#[test]
fn what_cannot_be_kept_needs_a_command_that_undoes_it() {
    let step = "[[phase.a.step]]\nid = \"a\"\naction = \"node.command\"\nhosts = \"pis\"\ncommand = \"true\"\nguard = \"2m\"\n";
    let check = |restore: &str| {
        let text = format!("[plan]\nname = \"demo\"\n{step}{restore}");
        let plan = Plan::parse(Path::new("plans/a.toml"), &text).unwrap();
        let inventory = Inventory::parse(Path::new("inventory/lab.toml"), INVENTORY).unwrap();
        check(&plan, &inventory, &crate::actions::Registry::standard(), &Map::new()).text(STYLE)
    };
    let said = check("");
    assert!(said.contains("× step `a` has no `guard_restore`, and what node.command changes cannot be kept"), "{said}");
    assert!(said.contains("the command that undoes it on the host"), "{said}");
    assert_eq!(check("guard_restore = \"false\"\n"), "");
}

#[test]
fn a_handler_comes_too_late_for_a_guard() {
    let handler = "[[phase.a.handler]]\nid = \"reload\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/y\"\n";
    let step = |more: &str| said(&format!("hosts = \"pis\"\nguard = \"2m\"\nnotify = [\"reload\"]\n{more}{handler}"));
    let told = step("");
    assert!(told.contains("⚠ `reload` runs when the guard of step `a` is off already"), "{told}");
    assert!(told.contains("belongs into `guard_apply`"), "{told}");
    assert_eq!(step("guard_apply = \"true\"\n"), "0 errors");
}

#[test]
fn keys_of_a_guard_need_one_that_lasts() {
    let refused = |keys: &str| {
        let text = format!("[plan]\nname = \"d\"\n[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\n{keys}\n");
        Plan::parse(Path::new("plans/a.toml"), &text).unwrap_err().text(STYLE)
    };
    let said = refused("guard_check = \"true\"");
    assert!(
        said.contains("`guard_check` without `guard` does nothing") && said.contains("add `guard = \"2m\"`"),
        "{said}"
    );
    assert!(refused("guard = \"10ms\"").contains("less than a second"));
}
