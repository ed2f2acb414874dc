//! A plan that succeeds, for features that need success: it is saved and applied, proven, detached, killed and resumed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rollout::secret::MASK;

use crate::poison::Search;
use crate::project::Project;
use crate::{bao, left_behind};

/// Deadline for each stage of a run in the background.
const PATIENCE: Duration = Duration::from_secs(60);

const STEPS: &[(&str, &str)] = &[
    (
        "file",
        "action = 'node.file'\npath = 'DIR/wanted/file'\ncontent = '{{ all }}'\nmode = '0600'\nnotify = ['told']\n\
         [[phase.p.handler]]\nid = 'told'\nhosts = 'target'\naction = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat'",
    ),
    (
        "template",
        "action = 'node.template'\npath = 'DIR/wanted/template'\ntemplate = 'templates/conf.j2'\nmode = '0600'",
    ),
    ("echo", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat'\nchanges = false"),
    ("use", "action = 'node.command'\nstdin = '{{ steps.echo.stdout }}'\ncommand = 'base64'\nchanges = false"),
    (
        "gate",
        "action = 'node.command'\nstdin = '{{ all }}'\ncreates = 'DIR/wanted/gate'\n\
         command = 'v=$(cat); printf %s \"$v\" | head -c 25; touch DIR/begun; until test -e DIR/go; do sleep 0.05; done; \
         printf %s \"$v\" | tail -c +26; touch DIR/wanted/gate'",
    ),
];

/// The project, and the leaks found so far.
struct Passing {
    project: Project,
    search: Search,
    found: Vec<String>,
    detached: Option<String>,
}

impl Drop for Passing {
    /// A failing test must not leave a run waiting at the gate.
    fn drop(&mut self) {
        self.kill_detached();
    }
}

impl Passing {
    /// Restores the state before the first run.
    fn undone(&self) {
        for file in ["file", "template", "gate", "../begun", "../go"] {
            let _ = fs::remove_file(self.project.path("wanted").join(file));
        }
    }

    /// Calls the program, with or without the plan. The call must succeed; returns its output.
    fn call(&mut self, args: &[&str], log: &str, with_plan: bool) -> String {
        let look = || self.search.find_in_processes();
        let (output, seen) =
            if with_plan { self.project.call(args, log, look) } else { self.project.watch(args, log, look) };
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{args:?}: {text}");
        self.found.extend(seen.into_iter().map(|place| format!("{args:?}: {place}")));
        self.found.extend(self.search.find(&said).iter().map(|name| format!("{args:?} said {name}")));
        text
    }

    /// Starts a run in the background, and searches for values while the run waits at the gate.
    fn detached_at_the_gate(&mut self, format: &str, log: &str) {
        let said = self.call(&["run", "--fresh", "--detach", "--diff", "full", "--output", format], log, true);
        let process = said.split("process ").nth(1).and_then(|rest| rest.split_whitespace().next());
        self.detached = Some(process.unwrap_or_else(|| panic!("no process: {said}")).to_owned());
        self.until("a step waits at the gate", |this| this.project.path("begun").exists());
        self.found.extend(self.search.find_in_processes());
    }

    fn kill_detached(&mut self) {
        if let Some(process) = self.detached.take() {
            let _ = Command::new("kill").args(["-KILL", &process]).status();
            self.until("the run in the background is gone", |_| !Path::new("/proc").join(&process).exists());
        }
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let runs = self.project.query(&["runs"]);
            assert!(began.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}; the runs: {runs:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The state of the newest run.
    fn state(&self) -> String {
        let runs = self.project.query(&["runs", "--output", "json"]);
        let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
        runs.as_array().and_then(|runs| runs.last()).map_or_else(String::new, |run| run["state"].to_string())
    }

    fn all_is_there(&self) {
        for name in ["file", "template"] {
            let content = fs::read_to_string(self.project.path("wanted").join(name)).unwrap();
            assert!(content.contains(&self.project.all()), "{name} has no secret in it");
        }
        assert!(self.project.path("wanted/gate").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_plan_that_goes_well() {
    let bao = bao::Bao::start().await;
    let project = Project::new(STEPS, "[hosts.target]\nconnection = \"local\"\n", bao.as_ref()).await;
    let search = Search::new(&project.values());
    let mut passing = Passing { project, search, found: Vec::new(), detached: None };
    let saved = passing.project.path("saved.rollout").display().to_string();
    for (log, format) in [("off", "text"), ("trace", "json")] {
        let shown = ["--diff", "full", "--output", format];

        passing.undone();
        let planned = passing.call(&[&["plan", "-o", &saved], &shown[..]].concat(), log, true);
        let applied = passing.call(&[&["apply", &saved], &shown[..]].concat(), log, false);
        passing.all_is_there();
        for said in [planned, applied, fs::read_to_string(&saved).unwrap()] {
            // Without this output, the search would find nothing because there was nothing to search.
            assert!(said.contains(MASK), "{said}");
        }

        passing.undone();
        passing.call(&["prove", "--yes", "--output", format], log, true);
        passing.all_is_there();

        passing.undone();
        passing.detached_at_the_gate(format, log);
        fs::write(passing.project.path("go"), "").unwrap();
        passing.until("the run in the background ended well", |this| this.state().contains("succeeded"));
        passing.detached = None;
        passing.all_is_there();

        passing.undone();
        passing.detached_at_the_gate(format, log);
        passing.kill_detached();
        passing.call(&[&["resume"], &shown[..]].concat(), log, false);
        passing.all_is_there();

        for args in [&["show", "--diff", "full", "--output", format][..], &["runs", "--output", format]] {
            passing.call(args, log, false);
        }
        passing.found.extend(left_behind(&passing.project, &passing.search, &[]));
    }
    assert_eq!(passing.found, Vec::<String>::new());
}
