//! `rollout plan -o FILE` and `rollout apply FILE`.

use std::fs;
use std::process::{Command, Output};

use super::project::{Project, command, file, step};

fn rollout(project: &Project, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command.args(args).env("ROLLOUT_STATE_DIR", project.path("state")).env_remove("ROLLOUT_INVENTORY");
    command.output().unwrap()
}

fn saved(plan: &str) -> (Project, String) {
    let project = Project::new(plan);
    let path = project.path("p.rollout").display().to_string();
    let output = project.call(&["plan", "-o", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (project, path)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_saved_plan_is_applied_as_it_is() {
    let (project, path) = saved(&format!("{}{}", file("a"), command("b", "touch DIR/b.done")));
    assert!(!project.path("a").exists());
    let applied = rollout(&project, &["apply", &path]);
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    assert!(project.path("a").exists() && project.path("b.done").exists());
    let again = rollout(&project, &["apply", &path]);
    assert_eq!(again.status.code(), Some(1), "it is done, so it is not what was shown any more");
    assert!(said(&again).contains("there is nothing to change there any more"), "{}", said(&again));
}

#[test]
fn what_moved_is_told_and_nothing_is_done() {
    let (project, path) = saved(&format!("{}{}", file("a"), file("b")));
    fs::write(project.path("a"), "theirs\n").unwrap();
    let refused = rollout(&project, &["apply", &path]);
    assert_eq!(refused.status.code(), Some(1));
    let said = said(&refused);
    assert!(said.contains("p/a@localhost") && said.contains("theirs"), "{said}");
    assert!(!project.path("b").exists());
    assert_eq!(fs::read_to_string(project.path("a")).unwrap(), "theirs\n");
}

#[test]
fn an_edited_plan_is_not_the_saved_one() {
    let (project, path) = saved(&file("a"));
    project.write(&format!("{}{}", file("a").replace("x\\n", "y\\n"), file("b")));
    let refused = rollout(&project, &["apply", &path]);
    assert_eq!(refused.status.code(), Some(1));
    let said = said(&refused);
    for part in
        ["p/a@localhost: its definition is another one", "p/b@localhost: was not in the plan", "was edited since"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(!project.path("a").exists());
}

#[test]
fn an_apply_that_was_cut_off_goes_on() {
    let stops = step(
        "stop",
        "action = \"node.command\"\ncommand = \"test -e DIR/go && touch DIR/stop.done\"\ncreates = \"DIR/stop.done\"",
    );
    let (project, path) = saved(&format!("{}{stops}{}", file("a"), file("c")));
    assert_eq!(rollout(&project, &["apply", &path]).status.code(), Some(1));
    assert!(project.path("a").exists() && !project.path("c").exists());
    fs::write(project.path("go"), "").unwrap();
    let second = rollout(&project, &["apply", &path]);
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    assert!(project.path("c").exists());
}

#[test]
fn a_file_that_is_no_saved_plan_is_refused() {
    let (project, path) = saved(&file("a"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("DIR", "x").replacen("\"a\"", "\"z\"", 1)).unwrap();
    let refused = rollout(&project, &["apply", &path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("does not match its hash"), "{}", said(&refused));
    let options = rollout(&project, &["apply", &path, "--var", "a=1"]);
    assert_eq!(options.status.code(), Some(2));
}
