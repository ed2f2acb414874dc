//! Run locks on this machine: messages about the holder, waiting, and holders that die. All tests run the real program.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Deadline for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A plan with a gate: its step creates a file when it starts, and ends once the file `go` exists.
struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        let gate = "touch DIR/begun; until test -e DIR/go; do sleep 0.05; done; touch DIR/done";
        project.write(&format!(
            "[[phase.p.step]]\nid = \"gate\"\nhosts = \"localhost\"\naction = \"node.command\"\ncommand = '{gate}'\n\
             creates = \"DIR/done\"\n"
        ));
        project
    }

    fn write(&self, steps: &str) {
        let text = format!("[plan]\nname = \"gated\"\n{steps}").replace("DIR", &self.dir.path().display().to_string());
        fs::write(self.path("plan.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command
            .arg("run")
            .arg(self.path("plan.toml"))
            .args(args)
            .env("ROLLOUT_STATE_DIR", self.path("state"))
            .env("USER", "ada")
            .env_remove("ROLLOUT_INVENTORY")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a run and waits until it is at its gate.
    fn started(&self) -> Child {
        let mut run = self.run(&[]).spawn().unwrap();
        let began = Instant::now();
        while !self.path("begun").exists() {
            assert!(began.elapsed() < PATIENCE, "the gate never began; the run: {:?}", run.try_wait());
            std::thread::sleep(Duration::from_millis(20));
        }
        run
    }

    fn open(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

/// Waits for the end of a run, up to the deadline.
fn end(run: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = run.try_wait().unwrap() {
            return status.code();
        }
        if began.elapsed() > PATIENCE {
            run.kill().unwrap();
            panic!("the run did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads stderr up to the line that begins with `start`.
fn line(stderr: &mut impl Iterator<Item = String>, start: &str) -> String {
    stderr.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line began with {start}"))
}

#[test]
fn a_second_runner_hears_which_lock_who_where_and_what_to_do() {
    let project = Project::new();
    let mut first = project.started();
    let second = project.run(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    let said = said(&second);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for part in [
        format!("of ada on {} (process {}) holds ", host.trim(), first.id()),
        "/lock, taken ".to_owned(),
        "s ago".to_owned(),
        "--wait-lock 5m".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    // The hint works: the run is recorded.
    let run = said.split_once("rollout show ").unwrap().1.split('`').next().unwrap();
    assert!(said.contains(&format!("run {run} of ada")), "{said}");
    let mut show = Command::new(env!("CARGO_BIN_EXE_rollout"));
    let show = show.args(["show", run]).env("ROLLOUT_STATE_DIR", project.path("state")).output().unwrap();
    assert!(show.status.success(), "{show:?}");
    project.open();
    assert_eq!(end(&mut first), Some(0));
}

#[test]
fn a_waiting_run_gets_the_lock_when_its_holder_ends() {
    let project = Project::new();
    let mut first = project.started();
    let mut second = project.run(&["--wait-lock", "60s"]).spawn().unwrap();
    let mut stderr = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = line(&mut stderr, "waiting: ");
    assert!(waits.contains(&format!("process {}", first.id())) && waits.contains("60s"), "{waits}");
    assert_eq!(second.try_wait().unwrap(), None, "it did not wait");
    project.open();
    assert_eq!(end(&mut first), Some(0));
    assert_eq!(end(&mut second), Some(0));
    let rest: Vec<String> = stderr.collect();
    assert!(!rest.iter().any(|line| line.starts_with("waiting: ")), "said twice: {rest:?}");
}

#[test]
fn a_waiting_run_reads_its_secrets_when_it_has_the_lock() {
    let project = Project::new();
    let plan = fs::read_to_string(project.path("plan.toml")).unwrap();
    fs::write(
        project.path("plan.toml"),
        format!(
            "{plan}[secrets]\nword.file = 'word'\n[[phase.q.step]]\nid = 'use'\nhosts = 'localhost'\n\
             action = 'node.file'\npath = '{}'\nmode = '0600'\ncontent = '{{{{ secrets.word }}}}'\n",
            project.path("used").display()
        ),
    )
    .unwrap();
    fs::write(project.path("word"), "the first word").unwrap();
    let mut first = project.started();
    let mut second = project.run(&["--wait-lock", "60s"]).spawn().unwrap();
    let mut stderr = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    line(&mut stderr, "waiting: ");
    fs::write(project.path("word"), "the other word").unwrap();
    project.open();
    assert_eq!(end(&mut first), Some(0));
    assert_eq!(end(&mut second), Some(0));
    assert_eq!(fs::read_to_string(project.path("used")).unwrap(), "the other word");
}

#[test]
fn a_waiting_run_gets_the_lock_when_its_holder_is_killed() {
    let project = Project::new();
    let mut first = project.started();
    let mut second = project.run(&["--wait-lock", "60s"]).spawn().unwrap();
    let mut stderr = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    line(&mut stderr, "waiting: ");
    first.kill().unwrap();
    first.wait().unwrap();
    project.open();
    assert_eq!(end(&mut second), Some(0), "{:?}", stderr.collect::<Vec<_>>());
}

#[test]
fn waiting_ends_and_says_what_was_seen_last() {
    let project = Project::new();
    let mut first = project.started();
    let second = project.run(&["--wait-lock", "500ms"]).output().unwrap();
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    let said = said(&second);
    assert_eq!(said.lines().filter(|l| l.starts_with("waiting: ")).count(), 1, "{said}");
    assert!(said.contains("after 500ms of waiting") && said.contains(&format!("process {}", first.id())), "{said}");
    project.open();
    assert_eq!(end(&mut first), Some(0));
}

#[test]
fn a_time_to_wait_has_a_unit() {
    let project = Project::new();
    let output = project.run(&["--wait-lock", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said(&output).contains("`90s`"), "{output:?}");
}

#[test]
fn without_a_cluster_the_run_goes_on_and_warns() {
    let project = Project::new();
    let config = project.path("kubeconfig");
    fs::write(
        &config,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
         clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n",
    )
    .unwrap();
    project.write(
        "[[phase.before.step]]\nid = \"a\"\nhosts = \"localhost\"\naction = \"node.file\"\npath = \"DIR/a\"\n\
         content = \"x\"\n[[phase.cluster.step]]\nid = \"b\"\naction = \"kube.wait\"\nkind = \"Node\"\n\
         condition = \"Ready\"\n",
    );
    // The plan uses a cluster, whichever part of it runs.
    for config in [config, project.path("no-such-file")] {
        let output = project.run(&["--skip", "cluster"]).env("KUBECONFIG", &config).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = said(&output);
        assert!(said.contains("warning: no lock in the cluster"), "{said}");
        assert!(project.path("a").exists());
    }
}
