//! Changes of sshd's own configuration that lock everybody out: a real sshd, and the real program.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Output, Stdio};

use rollout::event::{Event, EventKind, Outcome, outcome_name};

use super::project::{Project, wait_until};
use super::sshd::Sshd;

/// An sshd, and a plan that changes its configuration under a guard and reloads it.
struct Guarded {
    sshd: Sshd,
    project: Project,
    /// The initial configuration.
    first: String,
}

impl Guarded {
    fn new() -> Self {
        let sshd = Sshd::start();
        let first = fs::read_to_string(sshd.log().with_file_name("sshd_config")).unwrap();
        fs::create_dir(sshd.log().with_file_name("home")).unwrap();
        let project = Project::new("");
        fs::write(project.path("inventory.toml"), sshd.inventory()).unwrap();
        Self { sshd, project, first }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sshd.log().with_file_name(name)
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("sshd_config")).unwrap()
    }

    /// The plan: it adds a line to the initial configuration.
    fn plan(&self, line: &str, time: &str) -> String {
        let (config, pid) = (self.path("sshd_config"), self.path("pid"));
        let content = format!("{}{line}\n", self.first);
        let plan = format!(
            "[[phase.p.step]]\nid = 'sshd'\nhosts = 'target'\naction = 'node.file'\npath = '{}'\nguard = '{time}'\n\
             guard_apply = 'kill -HUP $(cat {})'\ntimeout = '20s'\ncontent = '''\n{content}'''\n",
            config.display(),
            pid.display()
        );
        self.project.write(&plan);
        content
    }

    fn args<'a>(&self, inventory: &'a str) -> Vec<&'a str> {
        vec!["run", "--output", "json", "-i", inventory]
    }

    fn run(&self) -> Ran {
        let inventory = self.project.path("inventory.toml").display().to_string();
        Ran::of(&self.project.call(&self.args(&inventory)))
    }

    fn left_on_host(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("home")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

struct Ran {
    code: i32,
    outcome: Outcome,
    progress: Vec<String>,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let (mut outcome, mut progress) = (None, Vec::new());
        for event in stdout.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
            match event.kind {
                EventKind::UnitFinished { outcome: end, .. } => outcome = Some(end),
                EventKind::Progress { message, .. } => progress.push(message),
                _ => {}
            }
        }
        let outcome = outcome.unwrap_or_else(|| panic!("{output:?}"));
        Self { code: output.status.code().unwrap(), outcome, progress }
    }

    fn message(&self) -> &str {
        match &self.outcome {
            Outcome::Failed(problem) | Outcome::Unknown(problem) => &problem.message,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_change_that_lets_nobody_in_is_taken_back_by_the_host() {
    let guarded = Guarded::new();
    guarded.plan("AllowUsers nobody", "8s");
    let ran = guarded.run();
    let said = ran.message();
    assert_eq!((ran.code, outcome_name(&ran.outcome)), (1, "failed"), "{said}");
    assert!(said.contains("not confirmed within 8s") && said.contains("127.0.0.1 refuses the login"), "{said}");
    let put_back = format!("the host restored itself: put back {}", guarded.path("sshd_config").display());
    assert!(said.contains(&put_back) && said.contains("ran kill -HUP"), "{said}");
    assert_eq!(guarded.config(), guarded.first);
    assert_eq!(guarded.left_on_host(), [""; 0]);
    // The old configuration is in effect again; otherwise no connection could make this change.
    let content = guarded.plan("ClientAliveInterval 30", "30s");
    let ran = guarded.run();
    assert_eq!((ran.code, outcome_name(&ran.outcome)), (0, "changed"), "{:?}", ran.outcome);
    assert_eq!((guarded.config(), guarded.left_on_host()), (content, vec![]));
    assert_eq!(outcome_name(&guarded.run().outcome), "same");
}

#[test]
fn a_run_that_is_killed_under_guard_leaves_it_to_the_host_and_the_next_one_waits_for_it() {
    for stays_away in [true, false] {
        let guarded = Guarded::new();
        let content = guarded.plan("ClientAliveInterval 30", if stays_away { "4s" } else { "10s" });
        let inventory = guarded.project.path("inventory.toml").display().to_string();
        let args = [&guarded.args(&inventory)[..], &["--inject", "p/sshd=halt@after-effect"]].concat();
        let mut child = guarded.project.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("halted after-effect")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((guarded.config(), guarded.left_on_host()), (content.clone(), vec![".rollout-guard".to_owned()]));
        if stays_away {
            let files = || fs::read_dir(guarded.path("home/.rollout-guard")).unwrap().flatten();
            let restored = || files().any(|file| file.file_name().to_string_lossy().starts_with("restored."));
            wait_until("the host restored itself", restored);
            assert_eq!(guarded.config(), guarded.first);
        }
        let ran = guarded.run();
        assert_eq!((ran.code, outcome_name(&ran.outcome)), (0, "changed"), "{:?}", ran.outcome);
        let told = "the host takes back what p/sshd@target changed in an earlier run and did not confirm";
        assert!(ran.progress.iter().any(|line| line == told), "{:?}", ran.progress);
        assert_eq!((guarded.config(), guarded.left_on_host()), (content, vec![]));
        assert_eq!(outcome_name(&guarded.run().outcome), "same");
    }
}

#[test]
fn a_command_is_undone_by_what_its_plan_says_and_a_check_decides_on_this_machine() {
    for of_phase in [false, true] {
        undone_or_confirmed_here(of_phase);
    }
}

/// A command on this machine, under its own guard or that of its phase.
fn undone_or_confirmed_here(of_phase: bool) {
    let guarded = |time: &str| {
        let guard = format!("guard = '{time}'\nguard_restore = 'rm DIR/made'\nguard_check = 'test -e DIR/well'\n");
        let (phase, step) = if of_phase { (guard.as_str(), "") } else { ("", guard.as_str()) };
        format!(
            "[phase.p]\n{phase}[[phase.p.step]]\nid = 'a'\nhosts = 'localhost'\naction = 'node.command'\n\
             command = 'touch DIR/made'\ncreates = 'DIR/made'\n{step}",
        )
    };
    let project = Project::new(&guarded("5s"));
    fs::create_dir(project.path("home")).unwrap();
    let run =
        || Ran::of(&project.command(&["run", "--output", "json"]).env("HOME", project.path("home")).output().unwrap());
    let ran = run();
    assert_eq!(outcome_name(&ran.outcome), "failed", "{:?}", ran.outcome);
    assert!(
        ran.message().contains("`guard_check` ended with 1") && ran.message().contains("ran rm"),
        "{:?}",
        ran.outcome
    );
    assert!(!project.path("made").exists());
    fs::write(project.path("well"), "").unwrap();
    project.write(&guarded("60s"));
    assert_eq!(outcome_name(&run().outcome), "changed");
    assert!(project.path("made").exists());
    assert_eq!(fs::read_dir(project.path("home")).unwrap().count(), 0);
}
