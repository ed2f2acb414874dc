//! What the tests against the lab share: calls of the lab and of the tool, and snapshots of the world.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard};

use rollout::event::{Event, EventKind, Outcome, Problem, outcome_name};
use serde_json::Value;

use crate::needs;

/// There is one lab: a test has it alone. `None` when this machine is not to run it (`ROLLOUT_LAB=1` says that it is).
pub fn lab() -> Option<MutexGuard<'static, Lab>> {
    static LAB: LazyLock<Mutex<Lab>> = LazyLock::new(|| Mutex::new(Lab::new()));
    let up = std::env::var_os("ROLLOUT_LAB").is_some();
    if !needs::met(up, "the lab", "`tests/lab/lab up`, then ROLLOUT_LAB=1") {
        return None;
    }
    Some(LAB.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// The lab, and a folder for this test's journals.
pub struct Lab {
    root: PathBuf,
    state: tempfile::TempDir,
}

/// What a call of the tool did.
pub struct Ran {
    pub code: i32,
    pub events: Vec<Event>,
    pub stderr: String,
    pub seconds: f64,
}

impl Lab {
    fn new() -> Self {
        Self { root: env!("CARGO_MANIFEST_DIR").into(), state: tempfile::tempdir().unwrap() }
    }

    /// Runs `tests/lab/lab` and returns its stdout.
    pub fn call(&self, args: &[&str]) -> String {
        let output = Command::new(self.root.join("tests/lab/lab"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the lab's script runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "lab {args:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
        stdout
    }

    /// Undoes what runs of the plan did, and forgets their journals.
    pub fn reset(&mut self) {
        self.call(&["reset"]);
        self.state = tempfile::tempdir().unwrap();
    }

    /// A call of the tool on the lab's laptop, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_on("inventory/lab.toml", args)
    }

    /// The same with another inventory.
    pub fn command_on(&self, inventory: &str, args: &[&str]) -> Command {
        let mut command = self.tool(args);
        command.args(["--inventory", inventory, "--output", "json"]);
        command
    }

    /// The tool on the lab's laptop with these arguments and no others.
    pub fn tool(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.root.join("tests/lab/lab"));
        command
            .arg("exec")
            .arg(env!("CARGO_BIN_EXE_rollout"))
            .args(args)
            .env("ROLLOUT_STATE_DIR", self.state.path())
            .current_dir(&self.root)
            .stdin(Stdio::null());
        command
    }

    /// Calls the tool and reads its events.
    pub fn rollout(&self, args: &[&str]) -> Ran {
        let started = std::time::Instant::now();
        let output = self.command(args).output().expect("the tool runs");
        Ran::of(&output, started.elapsed().as_secs_f64())
    }

    /// Brings the plan to its end, whatever was there before.
    pub fn install(&self) -> Ran {
        let ran = self.rollout(&["run", "plans/istio.toml"]);
        assert_eq!(ran.code, 0, "{}", ran.failures());
        ran
    }

    /// The resource version of every object that a plan's run could have made or changed.
    pub fn resource_versions(&self) -> BTreeMap<String, String> {
        const KINDS: &str = "namespaces,deployments,statefulsets,daemonsets,services,serviceaccounts,configmaps,secrets,\
            customresourcedefinitions,mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,\
            clusterrolebindings,roles,rolebindings,networkpolicies,horizontalpodautoscalers,poddisruptionbudgets,pods,\
            applications.argoproj.io";
        let mut all = self.objects(KINDS);
        let istio = self.call(&["kubectl", "get", "crd", "-o", "name"]);
        let istio: Vec<&str> = istio
            .lines()
            .filter_map(|l| l.strip_suffix(".istio.io").map(|_| l.rsplit('/').next().unwrap_or(l)))
            .collect();
        if !istio.is_empty() {
            all.extend(self.objects(&istio.join(",")));
        }
        all
    }

    /// What differs from an earlier look at [`Lab::resource_versions`].
    pub fn changed_since(&self, before: &BTreeMap<String, String>) -> Vec<String> {
        let now = self.resource_versions();
        let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        names.into_iter().filter(|n| before.get(*n) != now.get(*n)).cloned().collect()
    }

    fn objects(&self, kinds: &str) -> BTreeMap<String, String> {
        let list = self.call(&["kubectl", "get", kinds, "--all-namespaces", "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("kubectl prints JSON");
        let of = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        list["items"]
            .as_array()
            .into_iter()
            .flatten()
            // Leaders renew their claim every few seconds, whoever looks on.
            .filter(|o| o["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"].is_null())
            .map(|o| {
                let kind = o["kind"].as_str().unwrap_or_default();
                (format!("{kind} {}/{}", of(o, "namespace"), of(o, "name")), of(o, "resourceVersion"))
            })
            .collect()
    }

    /// Hashes of what lies in a Pi's `/etc`, by path.
    pub fn files(&self, pi: &str) -> BTreeMap<String, String> {
        let script = "sudo find /etc -type f -exec sha256sum {} +";
        let output = self.call(&["exec", "ssh", "-F", "/var/lib/rollout-lab/ssh/config", pi, script]);
        output
            .lines()
            .filter_map(|l| l.split_once("  "))
            .map(|(hash, path)| (path.to_owned(), hash.to_owned()))
            .collect()
    }
}

impl Ran {
    /// Reads what a call said.
    pub fn of(output: &Output, seconds: f64) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let code = output.status.code().unwrap_or(-1);
        Self { code, events, stderr: String::from_utf8_lossy(&output.stderr).into_owned(), seconds }
    }

    /// How each unit ended, by its name.
    pub fn outcomes(&self) -> HashMap<String, Outcome> {
        let ends = self.events.iter().filter_map(|e| match &e.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((unit.to_string(), outcome.clone())),
            _ => None,
        });
        ends.collect()
    }

    /// The units of a phase by outcome name.
    pub fn phase(&self, phase: &str) -> BTreeMap<String, &'static str> {
        let prefix = format!("{phase}/");
        let all = self.outcomes().into_iter().filter(|(unit, _)| unit.starts_with(&prefix));
        all.map(|(unit, outcome)| (unit, outcome_name(&outcome))).collect()
    }

    /// How many units ended so.
    pub fn count(&self, outcome: &str) -> usize {
        self.outcomes().values().filter(|o| outcome_name(o) == outcome).count()
    }

    /// The problems of all units that failed, by unit.
    pub fn problems(&self) -> BTreeMap<String, Problem> {
        let failed = self.outcomes().into_iter().filter_map(|(unit, outcome)| match outcome {
            Outcome::Failed(problem) | Outcome::Unknown(problem) => Some((unit, problem)),
            _ => None,
        });
        failed.collect()
    }

    /// What went wrong, for an assertion's message.
    pub fn failures(&self) -> String {
        format!("exit code {}\n{:#?}\n{}", self.code, self.problems(), self.stderr)
    }
}

/// Puts something right again when a test ends, however it ends.
pub struct Mend<'a>(pub &'a Lab, pub &'a [&'a str]);

impl Drop for Mend<'_> {
    fn drop(&mut self) {
        let status = Command::new(Path::new(&self.0.root).join("tests/lab/lab")).args(self.1).status();
        if !status.is_ok_and(|s| s.success()) {
            eprintln!("lab {:?} failed: later tests may fail too", self.1);
        }
    }
}
