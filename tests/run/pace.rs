//! `serial`, `max_failures` and `ignore_errors`, on several names of this machine.

use std::collections::BTreeMap;
use std::fs;

use rollout::event::{Event, EventKind, outcome_name};

use super::project::Project;

const INVENTORY: &str = "[hosts.\"h[1:4]\"]\nconnection = 'local'\n";

/// The outcome of each unit in the order in which they finished, and the exit code.
fn run(project: &Project, more: &[&str]) -> (i32, Vec<(String, &'static str)>) {
    fs::write(project.path("inventory.toml"), INVENTORY).unwrap();
    let inventory = project.path("inventory.toml").display().to_string();
    let output = project.call(&[&["run", "--output", "json", "-i", &inventory], more].concat());
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    let ends = events.lines().filter_map(|l| serde_json::from_str::<Event>(l).ok()).filter_map(|e| match e.kind {
        EventKind::UnitFinished { unit, outcome, .. } => {
            let host = unit.host.map(|host| format!("@{host}")).unwrap_or_default();
            Some((format!("{}{host}", unit.step), outcome_name(&outcome)))
        }
        _ => None,
    });
    (output.status.code().unwrap(), ends.collect())
}

fn on_all(id: &str, script: &str) -> String {
    format!(
        "[[phase.p.step]]\nid = \"{id}\"\naction = \"node.command\"\nhosts = \"all\"\n\
         command = '''{script}'''\ncreates = \"DIR/{id}.{{{{ host.name }}}}\"\n"
    )
}

/// Each step adds a line to a log. `bad` names the hosts on which `update` fails.
fn rolling(keys: &str) -> Project {
    let step = |id: &str, and: &str| {
        on_all(id, &format!("echo {id} {{{{ host.name }}}} >> DIR/log; {and} touch DIR/{id}.{{{{ host.name }}}}"))
    };
    let update = step("update", "test ! -e DIR/bad.{{ host.name }} &&");
    let after = "[phase.after]\nneeds = [\"p\"]\n".to_owned() + &step("check", "").replace("phase.p.", "phase.after.");
    Project::new(&format!("[phase.p]\n{keys}\n{}{update}{}{after}", step("drain", ""), step("uncordon", "")))
}

fn log(project: &Project) -> String {
    fs::read_to_string(project.path("log")).unwrap_or_default().replace('\n', ", ")
}

#[test]
fn a_canary_goes_first_and_its_failure_keeps_the_others_as_they_are() {
    let project = rolling("serial = [1, \"50%\"]");
    fs::write(project.path("bad.h1"), "").unwrap();
    let (code, _) = run(&project, &[]);
    assert_eq!((code, log(&project).as_str()), (1, "drain h1, update h1, "));

    fs::remove_file(project.path("bad.h1")).unwrap();
    fs::remove_file(project.path("log")).unwrap();
    let (code, ends) = run(&project, &[]);
    assert_eq!(code, 0, "{ends:?}");
    let log = log(&project);
    assert!(log.starts_with("update h1, uncordon h1, "), "{log}");
    let place = |line: &str| log.find(line).unwrap_or_else(|| panic!("{line} is not in {log}"));
    for first in ["uncordon h2", "uncordon h3"] {
        assert!(place(first) < place("drain h4"), "{log}");
    }
    assert!(ends.contains(&("drain@h1".to_owned(), "kept")), "{ends:?}");
}

#[test]
fn within_the_limit_a_rolling_update_goes_on_without_the_failed_host() {
    let project = rolling("serial = 1\nmax_failures = \"25%\"");
    fs::write(project.path("bad.h2"), "").unwrap();
    let (code, ends) = run(&project, &[]);
    let ends: BTreeMap<String, &str> = ends.into_iter().collect();
    assert_eq!(
        (code, ends["update@h2"], ends["uncordon@h2"], ends["check@h2"]),
        (1, "failed", "cancelled", "cancelled")
    );
    for host in ["h1", "h3", "h4"] {
        assert_eq!((ends[&format!("uncordon@{host}")], ends[&format!("check@{host}")]), ("changed", "changed"));
    }
    fs::remove_file(project.path("bad.h2")).unwrap();
    let (code, ends) = run(&project, &[]);
    let ends: BTreeMap<String, &str> = ends.into_iter().collect();
    assert_eq!((code, ends["update@h2"], ends["check@h2"], ends["update@h3"]), (0, "changed", "changed", "kept"));
}

#[test]
fn beyond_the_limit_the_other_hosts_are_left_alone_and_told_why() {
    let project = rolling("serial = 1\nmax_failures = 1");
    ["bad.h1", "bad.h2"].iter().for_each(|name| fs::write(project.path(name), "").unwrap());
    fs::write(project.path("inventory.toml"), INVENTORY).unwrap();
    let inventory = project.path("inventory.toml").display().to_string();
    let said = String::from_utf8_lossy(&project.call(&["run", "-i", &inventory]).stdout).into_owned();
    assert_eq!(log(&project), "drain h1, update h1, drain h2, update h2, ", "{said}");
    assert!(said.contains("1 of 4 hosts failed, and max_failures = 1 lets the others go on"), "{said}");
    assert!(
        said.contains("⊘ not run   p, 6 steps  needs fewer failures: 2 of 4 hosts failed, more than max_failures = 1"),
        "{said}"
    );
}

#[test]
fn an_ignored_failure_is_shown_and_the_run_ends_well() {
    let script = "echo tried; exit 3";
    let tries = format!(
        "[[phase.p.step]]\nid = \"try\"\naction = \"node.command\"\nhosts = \"h1\"\ncommand = '{script}'\nignore_errors = true\n"
    );
    let project = Project::new(&(tries + &on_all("next", "touch DIR/next.{{ host.name }}")));
    let (code, ends) = run(&project, &[]);
    assert_eq!((code, &ends[0]), (0, &("try@h1".to_owned(), "warned")), "{ends:?}");
    assert_eq!(ends.iter().filter(|(_, end)| *end == "changed").count(), 4, "{ends:?}");
    assert!(project.shown().contains("! warned    p/try@h1"), "{}", project.shown());
    let (code, ends) = run(&project, &[]);
    assert_eq!((code, ends[0].1), (0, "warned"), "{ends:?}");
}
