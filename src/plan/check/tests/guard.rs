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
fn a_guarded_phase_of_which_no_step_is_guarded_is_told() {
    let file = "[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/x\"\n";
    let guarded = |steps: &str| Project::new().check(&format!("[phase.a]\nguard = \"2m\"\n{steps}"));
    assert_eq!(guarded(file), "0 errors");
    insta::assert_snapshot!(guarded(&format!("{file}guard = false\n")), @r#"
     × `guard` has no effect on phase `a`: none of its steps is under it
      ╭─[plans/a.toml:4:1]
    3 │ [phase.a]
    4 │ guard = "2m"
      · ─────
    5 │ [[phase.a.step]]
      ╰────
     help: it is for steps that change a host and say nothing of guards themselves: take it away
    "#);
    let release = "[[phase.a.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\n";
    for steps in [
        release.to_owned(),
        format!("{file}guard = \"1m\"\n"),
        format!("{release}{}", file.replace("a.step", "a.handler").replace("\"a\"", "\"h\"")),
    ] {
        let said = guarded(&steps);
        assert!(said.contains("× `guard` has no effect on phase `a`: none of its steps is under it"), "{said}");
    }
    let said = guarded("[[phase.a.step]]\nid = \"a\"\naction = \"test.flie\"\nhosts = \"pis\"\n");
    assert!(!said.contains("has no effect"), "an unknown action may change anything: {said}");
    insta::assert_snapshot!(Project::new().check(&format!("{file}guard = false\n")), @r#"
     × `guard = false` does nothing: phase `a` has no guard
      ╭─[plans/a.toml:8:1]
    7 │ path = "/x"
    8 │ guard = false
      · ─────
      ╰────
     help: take it away
    "#);
}

#[test]
fn what_is_said_of_a_guard_is_said_of_a_phases_once() {
    let file = |id: &str| {
        format!("[[phase.a.step]]\nid = \"{id}\"\naction = \"test.file\"\nhosts = \"all\"\npath = \"/{id}\"\n")
    };
    let handler = file("h").replace("a.step", "a.handler");
    let guarded =
        |keys: &str, steps: &str| Project::new().check(&format!("[phase.a]\nguard = \"2m\"\n{keys}\n{steps}"));
    let (two, asking) = (file("x") + &file("y"), file("x") + "notify = [\"h\"]\n" + &handler);
    for (keys, steps, said) in [
        ("", two.as_str(), "⚠ no connection leads to `control`, which is this machine"),
        ("guard_check = \"{{ domain }}\"", &two, "× commands of a guard take no templates"),
        ("guard_check = \"true\"", &asking, "⚠ `h` runs when the guard of step `x` is off already"),
    ] {
        let told = guarded(keys, steps);
        assert_eq!(told.matches(said).count(), 1, "{told}");
        assert_eq!(told.matches(['×', '⚠']).count(), 1, "{told}");
    }
    assert_eq!(guarded("guard_check = \"true\"", &two), "0 errors");
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
