//! `rollout run` and related commands on this machine alone. All tests run the real program.

mod converge;
mod edits;
mod guard;
mod history;
mod loops;
mod machine;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
mod pace;
mod private;
mod project;
mod prove;
mod reboot;
mod row;
mod saved;
#[path = "../hosts/sshd.rs"]
#[allow(dead_code, reason = "the tests of hosts ask more of it")]
mod sshd;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use project::{Project, command, file, gate, same, signal, step, wait_for, wait_until};

#[test]
fn the_second_run_changes_nothing() {
    let project = Project::new(&format!("{}{}", file("a"), command("b", "touch DIR/b.done")));
    assert_eq!(project.run(), (0, same(&[("a", "changed"), ("b", "changed")])));
    assert_eq!(project.run(), (0, same(&[("a", "same"), ("b", "same")])));
    let said = project.call(&["run"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("no changes: 2 ok"), "{said:?}");
}

#[test]
fn files_of_the_project_are_read_and_a_command_tells_whether_it_changed_anything() {
    let step = |id: &str, action: &str, rest: &str| {
        format!("[[phase.p.step]]\nid = \"{id}\"\naction = \"node.{action}\"\nhosts = \"all\"\n{rest}\n")
    };
    let tree = step("tree", "copy_tree", "source = \"files\"\npath = \"DIR/tree\"\ndelete = true");
    let script = "script = \"files/x.sh\"\nargs = [\"DIR/tree\"]\nchanged_when = \"stdout == 'made'\"";
    let project = Project::new(&format!("{tree}{}", step("script", "script", script)));
    let (code, _) = project.run();
    assert_eq!(code, 2, "there is no such folder");
    fs::create_dir(project.path("files")).unwrap();
    let text = "test -e \"$1.made\" || { touch \"$1.made\"; echo made; }\n";
    fs::write(project.path("files/x.sh"), text).unwrap();
    assert_eq!(project.run(), (0, same(&[("tree", "changed"), ("script", "changed")])));
    assert_eq!(fs::read_to_string(project.path("tree/x.sh")).unwrap(), text);
    assert_eq!(project.run(), (0, same(&[("tree", "same"), ("script", "same")])));
    fs::write(project.path("files/y"), "").unwrap();
    fs::write(project.path("tree/z"), "").unwrap();
    assert_eq!(project.run(), (0, same(&[("tree", "changed"), ("script", "same")])));
    assert!(project.path("tree/y").exists() && !project.path("tree/z").exists());
}

#[test]
fn a_template_that_the_run_itself_brings_reads_outputs_that_nothing_else_reads() {
    let say = step("say", "action = \"node.command\"\ncommand = \"echo hello\"\nchanged_when = \"false\"");
    let got = step("got", "action = \"node.fetch\"\npath = \"DIR/from\"\nto = \"got.j2\"");
    let used = step("used", "action = \"node.template\"\npath = \"DIR/used\"\ntemplate = \"got.j2\"");
    let project = Project::new(&format!("{say}{got}{used}"));
    fs::write(project.path("from"), "{{ steps.say.stdout }}!\n").unwrap();
    fs::write(project.path("got.j2"), "").unwrap();
    assert_eq!(project.run(), (0, same(&[("say", "same"), ("got", "changed"), ("used", "changed")])));
    assert_eq!(fs::read_to_string(project.path("used")).unwrap(), "hello!\n");
}

#[test]
fn a_preview_changes_nothing_and_tells_that_changes_are_pending() {
    let project = Project::new(&file("a"));
    let output = project.call(&["plan", "--detailed-exit-code"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!project.path("a").exists());
    let dry = project.call(&["run", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0));
    assert!(!project.path("a").exists());
    assert!(!project.path("state").exists(), "a preview leaves no journal");
}

#[test]
fn after_a_failure_the_next_run_goes_on_from_there() {
    let project =
        Project::new(&format!("{}{}{}", file("a"), command("b", "test -e DIR/key && touch DIR/b.done"), file("c")));
    assert_eq!(project.run(), (1, same(&[("a", "changed"), ("b", "failed"), ("c", "cancelled")])));
    fs::write(project.path("key"), "").unwrap();
    assert_eq!(project.run(), (0, same(&[("a", "kept"), ("b", "changed"), ("c", "changed")])));
    assert_eq!(project.run(), (0, same(&[("a", "same"), ("b", "same"), ("c", "same")])));
}

#[test]
fn a_step_of_one_command_that_fails_says_no_more_than_that() {
    let project = Project::new(&step("c", "action = \"node.command\"\ncommand = \"exit 3\""));
    assert_eq!(project.run(), (1, same(&[("c", "failed")])));
    let shown = project.shown();
    assert!(shown.contains("`exit 3` ended with exit status 3 and printed nothing\n"), "{shown}");
}

#[test]
fn a_run_that_was_killed_is_gone_on_from() {
    let project = Project::new(&format!("{}{}{}", file("a"), gate("gate"), file("c")));
    let mut child = project.start_until("gate");
    wait_for(&project.path("begun"));
    // The end of the step before it in the batch is recorded a moment later.
    wait_until("only the gate runs", || {
        let shown = project.shown();
        shown.contains("… running   p/gate@localhost") && shown.contains("under way: 1 running")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = project.shown();
    assert!(shown.contains("? unknown   p/gate@localhost") && shown.contains("killed: 1 unknown"), "{shown}");
    assert!(shown.contains("changed   p/a@localhost") && !shown.contains("p/c@localhost"), "{shown}");
    assert!(shown.contains("continues from here"), "{shown}");
    // The command of the killed run does not continue by itself.
    let command = fs::read_to_string(project.path("begun")).unwrap();
    wait_until("the command ended", || !Path::new("/proc").join(command.trim()).exists());
    fs::write(project.path("go"), "").unwrap();
    let (code, outcomes) = project.run();
    assert_eq!((code, outcomes["a"], outcomes["c"]), (0, "kept", "changed"));
    assert!(matches!(outcomes["gate"], "changed" | "same"), "{outcomes:?}");
}

#[test]
fn a_second_runner_hears_who_is_at_it() {
    let project = Project::new(&gate("gate"));
    let mut first = project.start_until("gate");
    let second = project.call(&["run"]);
    assert_eq!(second.status.code(), Some(5));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("process {}", first.id())), "{said}");
    fs::write(project.path("go"), "").unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn one_interrupt_lets_the_running_step_finish() {
    let project = Project::new(&format!("{}{}", gate("gate"), file("after")));
    let mut child = project.start_until("gate");
    wait_for(&project.path("begun"));
    signal(&child, "-INT");
    // The run reports when it has received the signal.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("running steps finish")));
    fs::write(project.path("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(project.path("gate.done").exists(), "the step was interrupted");
    assert!(!project.path("after").exists(), "a step was started after the interrupt");
}

#[test]
fn two_interrupts_end_the_running_step_everywhere() {
    let project = Project::new(&gate("gate"));
    let mut child = project.start_until("gate");
    wait_for(&project.path("begun"));
    let process = fs::read_to_string(project.path("begun")).unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    signal(&child, "-INT");
    assert!(said.any(|line| line.contains("running steps finish")));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&format!("/proc/{}", process.trim())).exists(), "the step's command lives on");
}

#[test]
fn a_host_that_does_not_answer_has_an_exit_code_of_its_own() {
    let project = Project::new(&file("a").replace("localhost", "gone"));
    let inventory = project.path("inventory.toml");
    fs::write(&inventory, "[hosts.gone]\naddress = \"127.0.0.1\"\nport = 1\n").unwrap();
    let output = project.call(&["run", "--inventory", &inventory.display().to_string()]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("gone") && said.contains("refused"), "{said}");
}

const VAULT_IS_AWAY: &str = "[hosts.localhost]\nconnection = 'local'\n\
                             [vault]\naddress = 'https://127.0.0.1:1'\ntoken_env = 'TEST_TOKEN'\n";

#[test]
fn a_secret_that_cannot_be_read_leaves_nothing_behind_and_its_exit_code_says_whose_fault_it_is() {
    let uses = file("a").replace("x\\n", "{{ secrets.word }}");
    let (vault, env) = ("vault = 'secret/app', key = 'word'", "env = 'ROLLOUT_NO_SUCH_SECRET'");
    let both = format!("[secrets]\nother = {{ {env} }}\nword = {{ {vault} }}\n{uses}")
        .replace("{{ secrets.word }}", "{{ secrets.word }}{{ secrets.other }}");
    for (code, why, plan) in [
        (4, "refused", format!("[secrets]\nword = {{ {vault} }}\n{uses}")),
        (2, "is not set", format!("[secrets]\nword = {{ {env} }}\n{uses}")),
        // Another secret is missing, so the run does not wait for Vault to come back.
        (2, "is not set", both),
    ] {
        let project = Project::new(&plan);
        let inventory = project.path("inventory.toml");
        fs::write(&inventory, VAULT_IS_AWAY).unwrap();
        let mut run = project.command(&["run", "--inventory", &inventory.display().to_string()]);
        let output = run.env("TEST_TOKEN", "a-token").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("secret `word`: ") && said.contains(why), "{said}");
        assert!(project.journals().is_empty(), "{:?}", project.journals());
    }
}

#[test]
fn an_unknown_phase_is_refused_before_anything_is_done() {
    let project = Project::new(&file("a"));
    let output = project.call(&["run", "--only", "q"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no phase `q`"));
    assert!(!project.path("a").exists());
}

#[test]
fn runs_and_show_tell_what_was() {
    let project = Project::new(&file("a"));
    project.run();
    let state = project.path("state");
    let tell = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_rollout")).args(args).env("ROLLOUT_STATE_DIR", &state).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let runs: serde_json::Value = serde_json::from_str(&tell(&["runs", "--output", "json"])).unwrap();
    assert_eq!(runs[0]["state"], "succeeded");
    let shown = tell(&["show", runs[0]["run"].as_str().unwrap()]);
    assert!(shown.contains("p/a@localhost") && shown.contains("+x"), "{shown}");
    assert!(shown.trim_end().ends_with(" s"), "nothing follows the end: {shown}");
}

/// Whether an ssh process is connecting to the port.
fn connecting_to(port: u16) -> bool {
    let wanted = format!("\0-p\0{port}\0");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.windows(wanted.len()).any(|part| part == wanted.as_bytes()))
}

/// An inventory with this machine, and a host `far` at an address that accepts connections and never answers.
fn with_a_silent_host(project: &Project, timeout: &str) -> (std::net::TcpListener, u16, String) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let inventory = project.path("inventory.toml");
    let text = format!(
        "[hosts.localhost]\nconnection = 'local'\n[hosts.far]\naddress = '127.0.0.1'\nport = {port}\n\
         [ssh]\nconfig = '/dev/null'\nconnect_timeout = '{timeout}'\n"
    );
    fs::write(&inventory, text).unwrap();
    (silent, port, inventory.display().to_string())
}

#[test]
fn hosts_are_connected_to_while_the_first_steps_run_and_missed_only_by_their_own() {
    let project = Project::new(&format!("{}{}", gate("gate"), file("a").replace("localhost", "far")));
    let (silent, _, inventory) = with_a_silent_host(&project, "1s");
    let run = project.command(&["run", "--output", "json", "--inventory", &inventory]);
    let run = std::thread::spawn(move || { run }.output().unwrap());
    wait_for(&project.path("begun"));
    let (connection, _) = silent.accept().unwrap();
    drop(connection);
    fs::write(project.path("go"), "").unwrap();
    let output = run.join().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let ends = project::outcomes(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(ends, same(&[("gate", "changed"), ("a", "failed")]));
}

#[test]
fn what_ends_a_run_early_ends_it_at_once_and_leaves_no_ssh_behind() {
    let step = file("a").replace("localhost", "far");
    let secret = "[secrets]\nword = { file = 'missing' }\n";
    let uses = step.replace("x\\n", "{{ secrets.word }}");
    for (plan, why) in [(format!("{secret}{uses}"), "missing"), (step.replace("node.file", "node.fail"), "node.fail")] {
        let project = Project::new(&plan);
        let (_silent, port, inventory) = with_a_silent_host(&project, "60s");
        let began = std::time::Instant::now();
        let output = project.call(&["run", "--inventory", &inventory]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert!(!connecting_to(port));
    }
}
