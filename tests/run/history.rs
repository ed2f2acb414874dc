//! Earlier runs: continuing them, deleting them, runs in the background.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::needs;
use super::project::{Project, command, file, gate, same, signal, wait_for, wait_until};

fn rollout(project: &Project, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command.args(args).env("ROLLOUT_STATE_DIR", project.path("state")).env_remove("ROLLOUT_INVENTORY");
    command.stdin(Stdio::null()).output().unwrap()
}

fn ids(project: &Project) -> Vec<String> {
    let runs = rollout(project, &["runs", "--output", "json", "-n", "100"]);
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
    runs.as_array().unwrap().iter().map(|r| r["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_is_resumed_as_it_was_asked_for() {
    let fails = command("b", "test {{ word }} = good && test -e DIR/go && touch DIR/b.done");
    let project = Project::new(&format!("[vars]\nword = \"bad\"\n{}{fails}", file("a")));
    assert_eq!(project.call(&["run", "--var", "word=good"]).status.code(), Some(1));
    fs::write(project.path("go"), "").unwrap();
    let resumed = rollout(&project, &["resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(project.path("b.done").exists());
    let nothing = rollout(&project, &["resume"]);
    assert_eq!(nothing.status.code(), Some(2));
    let older = rollout(&project, &["resume", &ids(&project)[0]]);
    let said = String::from_utf8_lossy(&older.stderr).into_owned();
    assert!(older.status.code() == Some(2) && said.contains("is newer than"), "{said}");
}

#[test]
fn a_run_whose_journal_is_damaged_is_named_and_not_taken_for_another_one() {
    let project = Project::new(&file("a"));
    (0..2).for_each(|_| drop(project.run()));
    let newest = ids(&project).pop().unwrap();
    let journal = project.journals().into_iter().find(|p| p.ends_with(format!("{newest}.jsonl"))).unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[20] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let listed = rollout(&project, &["runs", "test"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = listed.lines().last().unwrap();
    assert!(line.contains(&newest) && line.contains("unreadable"), "{listed}");
    for args in [&["show"][..], &["show", &newest], &["resume"], &["resume", &newest]] {
        let told = rollout(&project, args);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(1), "{args:?}: {told:?}");
        assert!(said.contains("is damaged at line 1") && said.contains("move "), "{args:?}: {said}");
    }
}

#[test]
fn old_runs_are_pruned_and_the_newest_stays() {
    let project = Project::new(&file("a"));
    (0..4).for_each(|_| drop(project.run()));
    let all = ids(&project);
    assert_eq!(all.len(), 4);
    let young = rollout(&project, &["runs", "--prune", "--keep", "1", "--older-than", "1h"]);
    assert!(young.status.success() && ids(&project) == all, "none of them is an hour old");
    let pruned = rollout(&project, &["runs", "--prune", "--keep", "2"]);
    assert_eq!(String::from_utf8_lossy(&pruned.stdout).lines().collect::<Vec<_>>(), all[..2]);
    rollout(&project, &["runs", "--prune", "--keep", "0"]);
    assert_eq!(ids(&project), all[3..]);
}

#[test]
fn a_closed_terminal_stops_a_run_in_order_and_it_can_be_gone_on_from() {
    let project = Project::new(&format!("{}{}", gate("gate"), file("b")));
    let mut child = project.start_until("gate");
    wait_for(&project.path("begun"));
    signal(&child, "-HUP");
    fs::write(project.path("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!project.path("b").exists());
    assert_eq!(project.run(), (0, same(&[("gate", "kept"), ("b", "changed")])));
}

#[test]
fn a_detached_run_outlives_its_terminal() {
    let project = Project::new(&format!("{}{}", gate("gate"), file("b")));
    let started = project.call(&["run", "--detach"]);
    let said = String::from_utf8_lossy(&started.stdout).into_owned();
    assert!(started.status.success() && said.contains("in the background"), "{started:?}");
    let pid = said.trim().rsplit(' ').next().unwrap().to_owned();
    wait_for(&project.path("begun"));
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    fs::write(project.path("go"), "").unwrap();
    wait_until("the run in the background ended well", || {
        let runs = rollout(&project, &["runs", "--output", "json"]);
        String::from_utf8_lossy(&runs.stdout).contains("succeeded")
    });
    assert!(project.path("b").exists());
}

#[test]
fn a_detached_run_has_the_secrets_of_the_environment() {
    let uses = file("a").replace("x\\n", "{{ secrets.word }}");
    let project = Project::new(&format!("[secrets]\nword.env = 'TEST_WORD'\n{uses}"));
    let started = project.command(&["run", "--detach"]).env("TEST_WORD", "a-word-of-the-user").output().unwrap();
    assert!(started.status.success(), "{started:?}");
    wait_until("the run in the background ended well", || {
        let runs = rollout(&project, &["runs", "--output", "json"]);
        String::from_utf8_lossy(&runs.stdout).contains("succeeded")
    });
    assert_eq!(fs::read_to_string(project.path("a")).unwrap(), "a-word-of-the-user");
}

/// As in a container that was entered from outside: the session of the process has no number in its PID namespace.
#[test]
fn a_run_can_be_detached_in_a_pid_namespace_that_its_session_is_not_in() {
    if !needs::namespaces(&["--pid", "--mount-proc"]) {
        return;
    }
    let project = Project::new(&file("a"));
    let detach = project.command(&["run", "--detach"]);
    let script = "\"$@\" && until test -e \"$FILE\"; do sleep 0.05; done";
    let mut inside = Command::new("unshare");
    inside
        .args(["--pid", "--mount-proc", "--fork", "--kill-child", "timeout", "20", "sh", "-c", script, "sh"])
        .arg(detach.get_program());
    inside.args(detach.get_args()).envs(detach.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = inside.env("FILE", project.path("a")).stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_detached_run_that_cannot_begin_says_so_at_once() {
    let project = Project::new(&gate("gate"));
    let mut first = project.start_until("gate");
    let second = project.call(&["run", "--detach"]);
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    fs::write(project.path("go"), "").unwrap();
    first.wait().unwrap();
}
