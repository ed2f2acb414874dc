//! Reboots of a real machine: exactly once, proven by the boot id, wherever the run is interrupted.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::machine::Machine;
use super::project::{Project, outcomes, same, signal, wait_for, wait_until};

fn step(part: &str, id: &str, rest: &str) -> String {
    format!("[[phase.p.{part}]]\nid = \"{id}\"\nhosts = \"pi\"\naction = \"node.{rest}\n")
}

fn project(machine: &Machine, plan: &str) -> Project {
    let project = Project::new(plan);
    fs::write(project.path("inventory.toml"), machine.inventory()).unwrap();
    project
}

fn command(project: &Project) -> Command {
    let mut command = project.command(&["run"]);
    command.arg("-i").arg(project.path("inventory.toml"));
    command
}

fn call(project: &Project) -> Output {
    command(project).args(["--output", "json"]).output().unwrap()
}

/// Runs the plan and returns the outcome of each step.
fn run(project: &Project) -> std::collections::BTreeMap<String, &'static str> {
    let output = call(project);
    let ends = outcomes(&String::from_utf8_lossy(&output.stdout));
    assert!(!ends.is_empty(), "{output:?}");
    ends
}

/// An update that requires a reboot.
fn update() -> String {
    let script = "touch /run/reboot-required /var/lib/updated";
    step("step", "update", &format!("command\"\ncommand = \"{script}\"\ncreates = \"/var/lib/updated\""))
}

fn reboot(command: &str) -> String {
    step(
        "step",
        "reboot",
        &format!(
            "reboot\"\nwhen_file = \"/run/reboot-required\"\ncommand = \"{command}\"\ncheck = \"test -d /run/sshd\""
        ),
    )
}

#[test]
fn a_host_is_rebooted_once_and_the_run_goes_on_when_it_is_back() {
    for shell in ["dash", "busybox"] {
        let Some(machine) = Machine::start(shell) else { return };
        let after = step("step", "after", "file\"\npath = \"/run/after\"\ncontent = \"x\"");
        let project = project(&machine, &format!("{}{}{after}", update(), reboot("kill 1")));
        assert_eq!(
            run(&project),
            same(&[("update", "changed"), ("reboot", "changed"), ("after", "changed")]),
            "{shell}"
        );
        assert_eq!(machine.boots(), 2, "{shell}");
        assert!(!machine.var("rollout").exists(), "the note is left behind");
        assert_eq!(run(&project), same(&[("update", "same"), ("reboot", "same"), ("after", "same")]), "{shell}");
        assert_eq!(machine.boots(), 2, "{shell}");
    }
}

#[test]
fn a_handler_reboots_when_it_is_asked_to_and_only_then() {
    let Some(machine) = Machine::start("dash") else { return };
    let file = |content: &str| {
        let file = step(
            "step",
            "config",
            &format!("file\"\npath = \"/var/lib/config\"\ncontent = \"{content}\"\nnotify = [\"reboot\"]"),
        );
        format!("{file}{}", step("handler", "reboot", "reboot\"\ncommand = \"kill 1\""))
    };
    let project = project(&machine, &file("1"));
    assert_eq!(run(&project), same(&[("config", "changed"), ("reboot", "changed")]));
    assert_eq!(run(&project), same(&[("config", "same")]));
    assert_eq!(machine.boots(), 2);
    project.write(&file("2"));
    assert_eq!(run(&project), same(&[("config", "changed"), ("reboot", "changed")]));
    assert_eq!(machine.boots(), 3);
}

#[test]
fn a_run_that_is_killed_in_the_middle_of_a_reboot_is_gone_on_from_without_another_one() {
    let Some(machine) = Machine::start("dash") else { return };
    let plan = format!(
        "{}{}",
        update(),
        reboot("touch /var/lib/begun; until test -e /var/lib/go; do sleep 0.05; done; kill 1")
    );
    let project = project(&machine, &plan);
    let mut child = command(&project).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&machine.var("begun"));
    child.kill().unwrap();
    child.wait().unwrap();
    // Still the same boot: the run waits, and requests no second reboot.
    let waiting = command(&project).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the second run waits", || project.shown().contains("running   p/reboot@pi"));
    fs::write(machine.var("go"), "").unwrap();
    let waited = waiting.wait_with_output().unwrap();
    assert!(waited.status.success(), "{waited:?}");
    assert_eq!(machine.boots(), 2);
    assert!(!machine.var("rollout").exists());
    assert_eq!(run(&project), same(&[("update", "same"), ("reboot", "same")]));
    assert_eq!(machine.boots(), 2);
}

#[test]
fn a_run_that_is_killed_while_the_host_is_away_finds_it_rebooted() {
    let Some(machine) = Machine::start("dash") else { return };
    let held = "test -e /var/lib/held || { touch /var/lib/held; false; }";
    let rest = format!("reboot\"\ncommand = \"kill 1\"\ncheck = \"{held}; test -e /var/lib/up\"");
    let config = step("step", "config", "file\"\npath = \"/var/lib/config\"\ncontent = \"1\"\nnotify = [\"reboot\"]");
    let project = project(&machine, &format!("{config}{}", step("handler", "reboot", &rest)));
    let child = command(&project).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&machine.var("held"));
    signal(&child, "-KILL");
    drop(child.wait_with_output());
    assert!(machine.var("rollout/reboot").exists(), "what tells the next run");
    fs::write(machine.var("up"), "").unwrap();
    assert_eq!(run(&project), same(&[("config", "kept"), ("reboot", "changed")]));
    assert_eq!(machine.boots(), 2, "the handler is owed, and has rebooted already");
}

#[test]
fn a_host_that_stays_up_is_a_failure_that_says_so() {
    let Some(machine) = Machine::start("dash") else { return };
    let project = project(&machine, &format!("{}{}timeout = \"3s\"\n", update(), reboot("true")));
    let output = call(&project);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(outcomes(&said), same(&[("update", "changed"), ("reboot", "failed")]));
    assert!(said.contains("not so after 3s: the reboot was requested") && said.contains("still up"), "{said}");
    assert_eq!(machine.boots(), 1);
}

#[test]
fn the_second_host_that_would_write_the_same_file_fails() {
    let step = "[[phase.p.step]]\nid = \"got\"\nhosts = \"one,two\"\naction = \"node.fetch\"\npath = \"DIR/from\"\n\
                to = \"got\"\nwhen = \"host.name != 'three'\"\n";
    let project = Project::new(step);
    fs::write(project.path("from"), "x").unwrap();
    let inventory = "[hosts.one]\nconnection = \"local\"\n[hosts.two]\nconnection = \"local\"\n";
    fs::write(project.path("inventory.toml"), inventory).unwrap();
    let output = command(&project).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(" writes ") && said.contains("/got too") && said.contains("1 changed"), "{output:?}");
    assert_eq!((output.status.code(), fs::read_to_string(project.path("got")).unwrap().as_str()), (Some(1), "x"));
}

#[test]
fn files_of_a_host_are_fetched_into_the_project() {
    let Some(machine) = Machine::start("busybox") else { return };
    let large: Vec<u8> = (0..3_500_000u32).flat_map(|n| (n % 251).to_le_bytes()[..1].to_vec()).collect();
    for (name, content) in [("large it's", &large[..]), ("small", b"a\n\0\x01"), ("empty", b"")] {
        fs::write(machine.var(name), content).unwrap();
    }
    let fetch = |name: &str| {
        step(
            "step",
            name.split(' ').next().unwrap(),
            &format!("fetch\"\npath = \"/var/lib/{name}\"\nto = \"got/{{{{ host.name }}}}/{name}\""),
        )
    };
    let use_it = step("step", "use", "file\"\npath = \"/var/lib/used\"\nsource = \"got/pi/text\"");
    let plan = [fetch("large it's"), fetch("small"), fetch("empty")].concat();
    let project = project(&machine, &plan);
    let all = |word| same(&[("large", word), ("small", word), ("empty", word)]);
    assert_eq!(run(&project), all("changed"));
    for (name, content) in [("large it's", &large[..]), ("small", b"a\n\0\x01"), ("empty", b"")] {
        assert!(fs::read(project.path("got/pi").join(name)).unwrap() == content, "{name}");
    }
    assert_eq!(fs::read_dir(project.path("got/pi")).unwrap().count(), 3, "something is left behind");
    assert_eq!(run(&project), all("same"));
    // A later step may move a file that an earlier step fetches, so the file is read only then.
    fs::write(machine.var("text"), "1").unwrap();
    fs::write(project.path("got/pi/text"), "0").unwrap();
    project.write(&format!("{}{use_it}", fetch("text")));
    assert_eq!(run(&project), same(&[("text", "changed"), ("use", "changed")]));
    assert_eq!(fs::read_to_string(machine.var("used")).unwrap(), "1");
}
