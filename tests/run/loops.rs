//! `for_each`, `run_once` and `delegate_to`: the real program on this machine under several host names.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use rollout::event::{Event, EventKind, outcome_name};

use super::project::Project;

fn project(plan: &str) -> Project {
    let project = Project::new(plan);
    let host = |n: &str| format!("[hosts.{n}]\nconnection = \"local\"\nvars.mark = \"mark-of-{n}\"\n");
    let hosts: String = ["one", "two", "lb"].into_iter().map(host).collect();
    fs::write(project.path("inventory.toml"), format!("{hosts}[groups.web]\nhosts = [\"one\", \"two\"]\n")).unwrap();
    project
}

fn call(project: &Project, args: &[&str]) -> Output {
    let inventory = project.path("inventory.toml");
    project.call(&[args, &["-i", inventory.to_str().unwrap()]].concat())
}

/// The outcome of each unit, and the exit code.
fn run(project: &Project, more: &[&str]) -> (i32, BTreeMap<String, &'static str>) {
    let output = call(project, &[&["run", "--output", "json"], more].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = said.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let ends = events.filter_map(|event| match event.kind {
        EventKind::UnitFinished { unit, outcome, .. } => Some((unit.to_string(), outcome_name(&outcome))),
        _ => None,
    });
    let ends = ends.collect();
    assert!(output.status.code() != Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), ends)
}

fn are(pairs: &[(&str, &'static str)]) -> BTreeMap<String, &'static str> {
    pairs.iter().map(|(unit, outcome)| ((*unit).to_owned(), *outcome)).collect()
}

/// A command without a condition for each item: it appends the item to a file of the host, and fails if the file
/// `DIR/no-ITEM-HOST` exists.
fn append(items: &str) -> String {
    format!(
        "[[phase.p.step]]\nid = \"append\"\naction = \"node.command\"\nhosts = \"web\"\nfor_each = {items}\n\
         command = \"test ! -e DIR/no-{{{{ item }}}}-{{{{ host.name }}}} && echo {{{{ item }}}} >> DIR/{{{{ host.name }}}}\"\n"
    )
}

#[test]
fn the_items_of_a_host_are_done_in_order_and_a_grown_list_does_the_new_ones_only() {
    let project = project(&append(r#"["a", "b", "c"]"#));
    fs::write(project.path("no-b-one"), "").unwrap();
    let (code, ends) = run(&project, &[]);
    let of = |host: &str| {
        let unit = |item: &str| format!("p/append[{item}]@{host}");
        ["a", "b", "c", "d"].map(|item| ends.get(&unit(item)).copied())
    };
    let (done, failed, not_run) = (Some("changed"), Some("failed"), Some("cancelled"));
    assert_eq!((code, of("one"), of("two")), (1, [done, failed, not_run, None], [done, done, done, None]));

    // In another order, with a new item first: finished items stay done, whatever their position.
    project.write(&append(r#"["d", "b", "a", "c"]"#));
    fs::remove_file(project.path("no-b-one")).unwrap();
    let (code, ends) = run(&project, &[]);
    let of = |host: &str| ["a", "b", "c", "d"].map(|item| ends[&format!("p/append[{item}]@{host}")]);
    assert_eq!((code, of("one")), (0, ["kept", "changed", "changed", "changed"]));
    assert_eq!(of("two"), ["kept", "kept", "kept", "changed"]);
    assert_eq!(fs::read_to_string(project.path("one")).unwrap(), "a\nd\nb\nc\n");
    assert_eq!(fs::read_to_string(project.path("two")).unwrap(), "a\nb\nc\nd\n");
}

#[test]
fn what_was_cut_off_is_asked_for_by_its_item() {
    let project = project(&append(r#"["a", "b"]"#).replace("\"web\"", "\"one\""));
    let output = call(&project, &["run", "--inject", "append[b]@one=kill@after-effect"]);
    assert_eq!(output.status.code(), None, "{output:?}");
    let output = call(&project, &["run"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("unknown   p/append[b]@one"), "{said}");
    assert!(said.contains("--done 'p/append[b]@one'"), "as a shell takes it: {said}");
    let (code, ends) = run(&project, &["--done", "p/append[b]@one"]);
    assert_eq!((code, ends["p/append[a]@one"], ends["p/append[b]@one"]), (0, "kept", "kept"));
    assert_eq!(fs::read_to_string(project.path("one")).unwrap(), "a\nb\n");
    assert!(project.shown().contains("p/append[b]@one"));
    assert_eq!(call(&project, &["run", "--rerun", "append[x]"]).status.code(), Some(2), "no such item");
}

#[test]
fn tables_and_their_outputs() {
    let project = project(
        r#"
[vars]
users = [{ name = "ada", shell = "/bin/sh" }, { name = "bob", shell = "/bin/dash" }]
[secrets]
word = { env = "LOOP_WORD" }
[[phase.p.step]]
id = "make"
action = "node.command"
hosts = "web"
for_each = "{{ users }}"
command = "echo {{ item.name }}:{{ item.shell }}"
[[phase.p.step]]
id = "secret"
action = "node.file"
hosts = "one"
for_each = { ada = "{{ secrets.word }}", bob = "x" }
path = "DIR/{{ item.key }}"
content = "{{ item.value }}"
mode = "0600"
[[phase.p.step]]
id = "none"
action = "node.command"
hosts = "web"
for_each = "{{ groups.web | reject('in', groups.web) | list }}"
command = "echo {{ item }}"
[[phase.p.step]]
id = "all"
action = "node.file"
hosts = "one"
path = "DIR/all"
content = "{{ steps.make.items['bob'].stdout }} {{ steps.make.hosts['two']['items'].ada.stdout }} {{ steps.none['items'] | length }}"
"#,
    );
    let output = {
        let inventory = project.path("inventory.toml");
        let mut command = project.command(&["run", "-i", inventory.to_str().unwrap()]);
        command.env("LOOP_WORD", "a-secret-word").output().unwrap()
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("step `none` does nothing"), "{output:?}");
    assert_eq!(fs::read_to_string(project.path("all")).unwrap(), "bob:/bin/dash ada:/bin/sh 0");
    assert_eq!(fs::read_to_string(project.path("ada")).unwrap(), "a-secret-word");
    assert!(said.contains("p/secret[ada]@one") && !said.contains("a-secret-word"), "{said}");
}

#[test]
fn a_saved_plan_has_the_items_in_it() {
    let step = |items: &str| {
        format!(
            "[[phase.p.step]]\nid = \"file\"\naction = \"node.file\"\nhosts = \"one\"\nfor_each = {items}\n\
             path = \"DIR/{{{{ item }}}}.txt\"\ncontent = \"x\"\n"
        )
    };
    let project = project(&step(r#"["a", "b"]"#));
    let path = project.path("p.rollout").display().to_string();
    assert_eq!(call(&project, &["plan", "-o", &path]).status.code(), Some(0));
    let apply = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollout"));
        command.args(["apply", &path]).env("ROLLOUT_STATE_DIR", project.path("state")).output().unwrap()
    };
    project.write(&step(r#"["a", "b", "c"]"#));
    let refused = apply();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("p/file[c]@one: was not in the plan"), "{said}");
    project.write(&step(r#"["a", "b"]"#));
    assert_eq!(apply().status.code(), Some(0));
    assert!(project.path("a.txt").exists() && project.path("b.txt").exists());
}

#[test]
fn what_runs_once_is_done_for_all_hosts_and_not_again_on_another() {
    let project = project(
        r#"
[[phase.p.step]]
id = "once"
action = "node.command"
hosts = "web"
run_once = true
command = "echo done >> DIR/log; echo word"
[[phase.p.step]]
id = "use"
action = "node.file"
hosts = "web"
path = "DIR/{{ host.name }}"
content = "{{ steps.once.stdout }}"
[[phase.p.step]]
id = "last"
action = "node.command"
hosts = "web"
command = "test -e DIR/go"
"#,
    );
    let output = call(&project, &["run"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("changed   p/once  on one"), "{said}");
    for host in ["one", "two"] {
        assert_eq!(fs::read_to_string(project.path(host)).unwrap(), "word");
    }
    // `--limit` excludes `one` now; the step with `run_once` stays done.
    fs::write(project.path("go"), "").unwrap();
    let (code, ends) = run(&project, &["--limit", "two"]);
    assert_eq!((code, ends), (0, are(&[("p/once", "kept"), ("p/use@two", "kept"), ("p/last@two", "changed")])));
    assert_eq!(fs::read_to_string(project.path("log")).unwrap(), "done\n");
}

#[test]
fn what_is_delegated_runs_elsewhere_with_the_hosts_variables() {
    let project = project(
        r#"
[[phase.p.step]]
id = "drain"
action = "node.command"
hosts = "web"
delegate_to = "lb"
for_each = ["x", "y"]
command = "echo {{ host.mark }} {{ item }} >> DIR/{{ host.name }}"
[[phase.p.step]]
id = "here"
action = "node.command"
hosts = "two"
delegate_to = "localhost"
command = "touch DIR/{{ host.name }}.here"
"#,
    );
    let output = call(&project, &["run", "--limit", "two"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("p/drain[x]@two  on lb") && said.contains("p/here@two  on localhost"), "{said}");
    assert_eq!(fs::read_to_string(project.path("two")).unwrap(), "mark-of-two x\nmark-of-two y\n");
    assert!(!project.path("one").exists(), "the limit is about the host, not about the machine");
    assert!(project.path("two.here").exists());
}
