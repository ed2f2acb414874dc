//! `rollout check` and other subcommands that do not connect to anything: the real program on the files in
//! `fixtures/check`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command
        .args(args)
        .current_dir(fixtures())
        .env("LC_ALL", "C.UTF-8")
        .env_remove("ROLLOUT_INVENTORY")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn call(args: &[&str]) -> Said {
    said(command(args).output().unwrap())
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_good_plan_is_one_line() {
    let said = call(&["check", "plans/good.toml"]);
    assert_eq!(
        said.stdout,
        "plans/good.toml is good: 2 phases, 2 steps, against inventory/default.toml with 4 hosts\n"
    );
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}

#[test]
fn loops_are_in_the_picture() {
    let said = call(&["check", "plans/loops.toml"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(call(&["graph", "plans/loops.toml"]).stdout, @r#"
    flowchart TD
      subgraph p0["people"]
        p0s0["users<br/><i>node.user</i><br/>on pis<br/>for each of {{ users }}"]
        p0s1["greet<br/><i>node.template</i><br/>on pis<br/>for each of 2 items"]
        p0s2["migrate<br/><i>node.command</i><br/>once, on the first of pis"]
        p0s3["note<br/><i>node.command</i><br/>for pis, on control"]
        p0s0 --> p0s1
        p0s1 --> p0s2
        p0s2 --> p0s3
      end
    "#);
}

#[test]
fn a_bad_plan_shows_all_that_is_wrong_at_once() {
    let said = call(&["check", "plans/bad.toml"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(said.stderr, @r#"
      × no phase is named `apps`
       ╭─[plans/bad.toml:5:10]
     4 │ [phase.nodes]
     5 │ needs = ["apps"]
       ·          ──────
     6 │ [[phase.nodes.step]]
       ╰────
      help: did you mean `app`?

      × no action is named `node.templat`
       ╭─[plans/bad.toml:8:10]
     7 │ id = "motd"
     8 │ action = "node.templat"
       ·          ──────────────
     9 │ hosts = "pi"
       ╰────
      help: did you mean `node.template`?

      × no host or group is named `pi`
        ╭─[plans/bad.toml:9:10]
      8 │ action = "node.templat"
      9 │ hosts = "pi"
        ·          ──
     10 │ path = "/etc/motd"
        ╰────
      help: did you mean `pis`?

      × step `letter` has no `template`, which node.template needs
        ╭─[plans/bad.toml:13:10]
     12 │ id = "letter"
     13 │ action = "node.template"
        ·          ───────────────
     14 │ hosts = "pis"
        ╰────
      help: `template` (template file): Path of the template, relative to the plan's root.

      × node.template has no parameter `templte`
        ╭─[plans/bad.toml:16:1]
     15 │ path = "/etc/letter"
     16 │ templte = "templates/motd.j2"
        · ───────
     17 │ timeout = 30
        ╰────
      help: did you mean `template`?

      × `timeout` is a duration without a unit
        ╭─[plans/bad.toml:17:11]
     16 │ templte = "templates/motd.j2"
     17 │ timeout = 30
        ·           ──
     18 │ [[phase.nodes.step]]
        ╰────
      help: write timeout = "30s"; units are ms, s, m, h

      × step `app-answers` uses an output of step `note`, which may not have run by then
        ╭─[plans/bad.toml:29:11]
     28 │ action = "http.check"
     29 │ url = "{{ steps.note.nothing }}"
        ·           ──────────
        ╰────
      help: let phase `app` need phase `nodes`

      × `motdd` is not defined
       ╭─[templates/broken.j2:2:4]
     1 │ first line
     2 │ {{ motdd }}
       ·    ─────
       ╰────
      help: did you mean `motd`?

    8 errors
    "#);
}

#[test]
fn programs_get_lines_and_columns() {
    let said = call(&["check", "--output", "json", "plans/good.toml", "plans/bad.toml"]);
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["ok"], false);
    let findings: Vec<String> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!("{}:{}:{} {}", f["file"].as_str().unwrap(), f["line"], f["column"], f["code"].as_str().unwrap())
        })
        .collect();
    insta::assert_snapshot!(findings.join("\n"), @r"
    plans/bad.toml:5:10 unknown-phase
    plans/bad.toml:8:10 unknown-action
    plans/bad.toml:9:10 unknown-host
    plans/bad.toml:13:10 missing-parameter
    plans/bad.toml:16:1 unknown-parameter
    plans/bad.toml:17:11 bad-duration
    plans/bad.toml:29:11 output-too-early
    templates/broken.j2:2:4 undefined
    ");
    let good = call(&["check", "--output", "json", "plans/good.toml"]);
    assert_eq!(serde_json::from_str::<Value>(&good.stdout).unwrap(), serde_json::json!({ "ok": true, "findings": [] }));
}

#[test]
fn a_run_refuses_what_the_check_refuses_before_it_connects() {
    let state = tempfile::tempdir().unwrap();
    for subcommand in ["run", "plan"] {
        let said =
            said(command(&[subcommand, "plans/bad.toml"]).env("ROLLOUT_STATE_DIR", state.path()).output().unwrap());
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains("did you mean `node.template`?"), "{}", said.stderr);
    }
}

#[test]
fn variables_of_the_command_line_are_checked_too() {
    let said = call(&["check", "plans/good.toml", "--var", "domain={{ domian }}"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("variable `domain`: `domian` is not defined"), "{}", said.stderr);
    let said = call(&["check", "plans/good.toml", "--var", "host=x"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("`host` is not a variable name"), "{}", said.stderr);
}

#[test]
fn a_mistyped_path_is_recognised() {
    let said = call(&["check", "plans/god.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("did you mean `good.toml`?"), "{}", said.stderr);
    let said = call(&["check", "plans/good.toml", "-i", "inventory/defualt.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("did you mean `default.toml`?"), "{}", said.stderr);
}

#[test]
fn colours_are_for_those_who_want_them() {
    let has_colour = |args: &[&str], no_color: bool| {
        let mut command = command(args);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        said(command.output().unwrap()).stderr.contains('\u{1b}')
    };
    assert!(!has_colour(&["check", "plans/bad.toml"], false), "a pipe");
    assert!(has_colour(&["check", "plans/bad.toml", "--color", "always"], false));
    assert!(!has_colour(&["check", "plans/bad.toml", "--color", "never"], false));
    assert!(!has_colour(&["check", "plans/bad.toml"], true));
}

#[test]
fn a_plain_terminal_gets_plain_lines() {
    let ascii = said(command(&["check", "plans/bad.toml"]).env("LC_ALL", "C").output().unwrap());
    assert!(!ascii.stderr.contains(['│', '╭', '×']), "{}", ascii.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in
        [&["schema"][..], &["actions"], &["completions", "bash"], &["check", "plans/bad.toml", "--output", "json"]]
    {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = said(child.wait_with_output().unwrap());
        assert!(said.stderr.is_empty(), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn actions_are_listed_grouped_and_shown() {
    let list = call(&["actions"]);
    assert!(list.stdout.lines().count() > 15 && list.stdout.contains("node.file"), "{}", list.stdout);
    let group = call(&["actions", "vault"]);
    assert!(group.stdout.lines().all(|line| line.starts_with("vault.")), "{}", group.stdout);
    let page = call(&["actions", "node.file"]);
    for part in ["Required parameters", "path string", "default false", "Outputs", "Example", "[[phase."] {
        assert!(page.stdout.contains(part), "{part}: {}", page.stdout);
    }
    let missing = call(&["actions", "node.flie"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("did you mean `node.file`?"), "{}", missing.stderr);
}

#[test]
fn schemas_know_every_action() {
    let plan: Value = serde_json::from_str(&call(&["schema"]).stdout).unwrap();
    let text = plan.to_string();
    let actions: Value = serde_json::from_str(&call(&["actions", "--output", "json"]).stdout).unwrap();
    for action in actions.as_array().unwrap() {
        assert!(text.contains(&format!("\"const\":{}", action["name"])), "{}", action["name"]);
    }
    for of in ["inventory", "event"] {
        let schema: Value = serde_json::from_str(&call(&["schema", of]).stdout).unwrap();
        assert!(schema["$schema"].is_string(), "{of}");
    }
}
