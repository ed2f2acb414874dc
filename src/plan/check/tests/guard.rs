//! Changes that may cut the connection.

use super::*;

/// The findings about a step of `test.file` with these keys.
fn report(keys: &str) -> String {
    Project::new().check(&format!("[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\npath = \"/x\"\n{keys}\n"))
}

#[test]
fn a_guarded_step_on_other_machines_has_no_findings() {
    let keys = "hosts = \"pis\"\nguard = \"2m\"\nguard_apply = \"systemctl reload ssh\"\nguard_check = \"true\"";
    assert_eq!(report(keys), "0 errors");
}

#[test]
fn a_useless_guard_of_a_step_is_reported() {
    insta::assert_snapshot!(report("hosts = \"pi-1\"\nguard = \"2m\"\nguard_apply = \"reload {{ domain }}\""), @r#"
     × the commands of a guard cannot contain templates
      ╭─[plans/a.toml:9:15]
    8 │ guard = "2m"
    9 │ guard_apply = "reload {{ domain }}"
      ·               ─────────────────────
      ╰────
     help: put the command into a script on the host, and run the script
    "#);
    insta::assert_snapshot!(report("hosts = \"control, pi-1\"\nguard = \"2m\""), @r#"
     ⚠ no connection leads to `control`, which is this machine
      ╭─[plans/a.toml:8:1]
    7 │ hosts = "control, pi-1"
    8 │ guard = "2m"
      · ─────
      ╰────
     help: add a `guard_check`, a command that tells whether the change works
    "#);
    assert_eq!(report("hosts = \"control\"\nguard = \"2m\"\nguard_check = \"true\""), "0 errors");
    let alone = Project::new()
        .check("[[phase.a.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\nguard = \"2m\"\n");
    assert!(alone.contains("× `guard` has no effect on step `a`, which runs on no host"), "{alone}");
}

#[test]
fn a_useless_guard_of_a_phase_is_reported() {
    let file = "[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/x\"\n";
    let guarded = |steps: &str| Project::new().check(&format!("[phase.a]\nguard = \"2m\"\n{steps}"));
    assert_eq!(guarded(file), "0 errors");
    insta::assert_snapshot!(guarded(&format!("{file}guard = false\n")), @r#"
     × `guard` has no effect on phase `a`: it applies to none of its steps
      ╭─[plans/a.toml:4:1]
    3 │ [phase.a]
    4 │ guard = "2m"
      · ─────
    5 │ [[phase.a.step]]
      ╰────
     help: it applies to steps that change a host and have no `guard` of their own: remove it
    "#);
    let release = "[[phase.a.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\n";
    for steps in [
        release.to_owned(),
        format!("{file}guard = \"1m\"\n"),
        format!("{release}{}", file.replace("a.step", "a.handler").replace("\"a\"", "\"h\"")),
    ] {
        let report = guarded(&steps);
        assert!(report.contains("× `guard` has no effect on phase `a`: it applies to none of its steps"), "{report}");
    }
    let report = guarded("[[phase.a.step]]\nid = \"a\"\naction = \"test.flie\"\nhosts = \"pis\"\n");
    assert!(!report.contains("has no effect"), "an unknown action may change anything: {report}");
    insta::assert_snapshot!(Project::new().check(&format!("{file}guard = false\n")), @r#"
     × `guard = false` does nothing: phase `a` has no guard
      ╭─[plans/a.toml:8:1]
    7 │ path = "/x"
    8 │ guard = false
      · ─────
      ╰────
     help: remove it
    "#);
}

#[test]
fn findings_about_the_guard_of_a_phase_are_reported_once() {
    let file = |id: &str| {
        format!("[[phase.a.step]]\nid = \"{id}\"\naction = \"test.file\"\nhosts = \"all\"\npath = \"/{id}\"\n")
    };
    let handler = file("h").replace("a.step", "a.handler");
    let guarded =
        |keys: &str, steps: &str| Project::new().check(&format!("[phase.a]\nguard = \"2m\"\n{keys}\n{steps}"));
    let (two, asking) = (file("x") + &file("y"), file("x") + "notify = [\"h\"]\n" + &handler);
    for (keys, steps, expected) in [
        ("", two.as_str(), "⚠ no connection leads to `control`, which is this machine"),
        ("guard_check = \"{{ domain }}\"", &two, "× the commands of a guard cannot contain templates"),
        ("guard_check = \"true\"", &asking, "⚠ `h` runs only after the guard of step `x` is off"),
    ] {
        let found = guarded(keys, steps);
        assert_eq!(found.matches(expected).count(), 1, "{found}");
        assert_eq!(found.matches(['×', '⚠']).count(), 1, "{found}");
    }
    assert_eq!(guarded("guard_check = \"true\"", &two), "0 errors");
}

#[test]
fn a_handler_comes_too_late_for_a_guard() {
    let handler = "[[phase.a.handler]]\nid = \"reload\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/y\"\n";
    let step = |more: &str| report(&format!("hosts = \"pis\"\nguard = \"2m\"\nnotify = [\"reload\"]\n{more}{handler}"));
    let report = step("");
    assert!(report.contains("⚠ `reload` runs only after the guard of step `a` is off"), "{report}");
    assert!(report.contains("into `guard_apply`"), "{report}");
    assert_eq!(step("guard_apply = \"true\"\n"), "0 errors");
}

#[test]
fn guard_commands_need_a_guard_of_a_second_or_more() {
    let refused = |keys: &str| {
        let text = format!("[plan]\nname = \"d\"\n[[phase.a.step]]\nid = \"a\"\naction = \"test.file\"\n{keys}\n");
        Plan::parse(Path::new("plans/a.toml"), &text).unwrap_err().text(STYLE)
    };
    let report = refused("guard_check = \"true\"");
    assert!(
        report.contains("`guard_check` without `guard` does nothing") && report.contains("add `guard = \"2m\"`"),
        "{report}"
    );
    assert!(refused("guard = \"10ms\"").contains("less than a second"));
}
