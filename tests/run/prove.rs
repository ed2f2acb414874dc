//! `rollout prove PLAN`, and injected faults.

use super::project::{Project, command, file, same, step};

fn sensitive(step: &str) -> String {
    format!("{step}sensitive = true\n")
}

#[test]
fn a_sound_plan_is_proven() {
    let project = Project::new(&format!("{}{}{}", file("a"), command("b", "touch DIR/b.done"), sensitive(&file("c"))));
    let refused = project.call(&["prove"]);
    assert_eq!(refused.status.code(), Some(2), "it must be said that this is a test environment");
    assert!(!project.path("a").exists());
    let proven = project.call(&["prove", "--yes"]);
    let said = String::from_utf8_lossy(&proven.stdout).into_owned();
    assert_eq!(proven.status.code(), Some(0), "{proven:?}");
    assert_eq!(said.matches("recovered in round").count(), 3, "{said}");
}

#[test]
fn a_step_that_changes_something_each_time_is_found() {
    let unguarded = step("b", "action = \"node.command\"\ncommand = \"true\"");
    let project = Project::new(&format!("{}{unguarded}", file("a")));
    let output = project.call(&["prove", "--yes"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("✗ p/b@localhost") && said.contains("✓ p/a@localhost"), "{said}");
}

#[test]
fn a_step_that_breaks_what_another_one_needs_is_found() {
    let breaks = step("b", "action = \"node.file\"\npath = \"DIR/a\"\ncontent = \"y\\n\"");
    let project = Project::new(&format!("{}{breaks}", file("a")));
    assert_eq!(project.call(&["prove", "--yes"]).status.code(), Some(1));
}

#[test]
fn what_is_injected_happens() {
    let project = Project::new(&format!("{}{}", command("a", "echo x >>DIR/a.done"), file("b")));
    let failed = project.call(&["run", "--inject", "a=fail"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(project.path("a.done").exists() && !project.path("b").exists());
    assert_eq!(project.run(), (0, same(&[("a", "same"), ("b", "changed")])));
    std::fs::remove_file(project.path("b")).unwrap();
    let killed = project.call(&["run", "--inject", "b=kill@after-effect"]);
    assert_eq!(killed.status.code(), None, "a killed process has no exit code");
    assert_eq!(project.run(), (0, same(&[("a", "kept"), ("b", "same")])));
    std::fs::remove_file(project.path("b")).unwrap();
    assert_eq!(project.call(&["run", "--inject", "b=repeat"]).status.code(), Some(0));
}
