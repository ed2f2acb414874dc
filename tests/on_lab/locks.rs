//! The run lock in the cluster. Two state folders stand for two machines: only the Lease is between them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rollout::event::{Event, EventKind};
use serde_json::Value;

use crate::support::{Lab, Mend, lab};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plan whose first step waits for a ConfigMap, and two machines that could run it.
struct Bench<'a> {
    lab: &'a Lab,
    dir: tempfile::TempDir,
}

const PLAN: &str = r#"
[plan]
name = "bench_lock"

[[phase.p.step]]
id = "gate"
action = "kube.wait"
kind = "ConfigMap"
name = "go"
namespace = "bench-lock"
jsonpath = "{.data.open}"
value = "yes"
timeout = "2m"

[[phase.p.step]]
id = "after"
action = "kube.label"
kind = "Namespace"
name = "bench-lock"
labels = { after = "yes" }
"#;

const LEASE: &[&str] = &["kubectl", "-n", "kube-system"];

impl<'a> Bench<'a> {
    fn new(lab: &'a Lab) -> Self {
        lab.call(&["kubectl", "delete", "namespace", "bench-lock", "--ignore-not-found", "--wait"]);
        lab.call(&["kubectl", "create", "namespace", "bench-lock"]);
        let bench = Self { lab, dir: tempfile::tempdir().unwrap() };
        bench.lease(&["delete", "lease", "rollout-bench-lock", "--ignore-not-found"]);
        std::fs::write(bench.dir.path().join("plan.toml"), PLAN).unwrap();
        bench
    }

    fn lease(&self, args: &[&str]) -> String {
        self.lab.call(&[LEASE, args].concat())
    }

    fn spec(&self) -> Value {
        let json = self.lease(&["get", "lease", "rollout-bench-lock", "-o", "jsonpath={.spec}"]);
        serde_json::from_str(&json).unwrap()
    }

    fn open(&self) {
        let map = ["kubectl", "-n", "bench-lock", "create", "configmap", "go", "--from-literal=open=yes"];
        self.lab.call(&map);
    }

    /// A run on one of the machines, not yet started.
    fn run(&self, machine: &str, args: &[&str]) -> Command {
        let plan = self.dir.path().join("plan.toml").display().to_string();
        let mut command = self.lab.command(&[&["run", &plan], args].concat());
        command
            .env("ROLLOUT_STATE_DIR", self.dir.path().join(machine))
            .env("USER", "ada")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A run that is at its gate.
    fn started(&self, machine: &str) -> Child {
        let mut run = self.run(machine, &[]).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = lines.by_ref().filter_map(|line| serde_json::from_str::<Event>(&line).ok());
        let begun =
            started.into_iter().any(|e| matches!(&e.kind, EventKind::UnitStarted { unit, .. } if unit.step == "gate"));
        assert!(begun, "the gate never began: {:?}", run.wait_with_output());
        std::thread::spawn(move || lines.for_each(drop));
        run
    }
}

impl Bench<'_> {
    /// A run that was killed at its gate.
    fn killed(&self, machine: &str) {
        let mut run = self.started(machine);
        run.kill().unwrap();
        run.wait().unwrap();
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.lab.call(&["kubectl", "delete", "namespace", "bench-lock", "--ignore-not-found", "--wait=false"]);
    }
}

/// The lines of stderr, until one begins so.
fn line(stderr: &mut impl Iterator<Item = String>, start: &str) -> String {
    stderr.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line began with {start}"))
}

fn stderr(run: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok)
}

/// How a run ended; it must before long.
fn end(run: &mut Child) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = run.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    panic!("the run did not end within {PATIENCE:?}");
}

#[test]
fn two_machines_do_not_run_a_plan_at_once() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    let mut first = bench.started("laptop");
    let spec = bench.spec();
    let holder = spec["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.contains(&format!("user=ada host={} process={}", host(), first.id())), "{spec}");
    assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&15.into(), &0.into()), "{spec}");

    let second = bench.run("control-pi", &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    let said: Value = serde_json::from_slice(&second.stdout).unwrap();
    let message = said["error"]["message"].as_str().unwrap();
    let wanted =
        format!("of ada on {} (process {}) holds lease kube-system/rollout-bench-lock, taken", host(), first.id());
    assert!(message.contains(&wanted), "{said}");
    assert!(said["error"]["hint"].as_str().unwrap().contains("--wait-lock 5m"), "{said}");

    // One that waits gets it when the first one gives it back; nobody has to wait until it runs out.
    let mut waits = bench.run("control-pi", &["--wait-lock", "60s"]).spawn().unwrap();
    let mut told = stderr(&mut waits);
    line(&mut told, "waiting: ");
    let opened = Instant::now();
    bench.open();
    assert_eq!(end(&mut first), Some(0));
    assert_eq!(end(&mut waits), Some(0));
    assert!(opened.elapsed() < Duration::from_secs(10), "{:?}", opened.elapsed());
    let spec = bench.spec();
    assert_eq!((spec["holderIdentity"].as_str(), &spec["leaseTransitions"]), (Some(""), &1.into()), "{spec}");
}

#[test]
fn a_holder_that_was_killed_frees_the_lease_within_its_time() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    let mut first = bench.started("laptop");
    let mut second = bench.run("control-pi", &["--wait-lock", "60s"]).spawn().unwrap();
    let mut told = stderr(&mut second);
    line(&mut told, "waiting: ");
    let before = bench.spec();
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = Instant::now();
    bench.open();
    assert_eq!(end(&mut second), Some(0), "{:?}", told.collect::<Vec<_>>());
    let took = killed.elapsed();
    eprintln!("the lease was taken over, and the run done, {took:.1?} after the kill");
    // Not before the time that the holder stated; it may have renewed the lease up to 5 s before it died.
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(30), "{took:?}");
    let after = bench.spec();
    assert_eq!(after["leaseTransitions"], 1, "{after}");
    assert!(after["acquireTime"].as_str() > before["acquireTime"].as_str(), "{before} {after}");
}

/// Else a schedule that never waits, as the control Pi's, would be kept out by a dead laptop for good.
#[test]
fn a_holder_that_was_killed_keeps_nobody_out_for_longer_who_does_not_wait() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    bench.killed("laptop");
    bench.open();
    let second = bench.run("control-pi", &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("waiting: ") && said.contains("whether that run is still alive"), "{said}");
    assert_eq!(bench.spec()["leaseTransitions"], 1);
}

#[test]
fn a_run_that_was_killed_is_gone_on_from_at_once_on_its_own_machine() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    bench.killed("laptop");
    bench.open();
    let again = bench.run("laptop", &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(bench.spec()["leaseTransitions"], 1);
}

#[test]
fn a_run_whose_lease_is_taken_away_starts_no_more_steps() {
    let Some(lab) = lab() else { return };
    for (taken, says) in [
        (
            &["patch", "lease", "rollout-bench-lock", "-p", r#"{"spec":{"holderIdentity":"thief"}}"#][..],
            "`thief` holds",
        ),
        (&["delete", "lease", "rollout-bench-lock"], "somebody deleted lease kube-system/rollout-bench-lock"),
    ] {
        let bench = Bench::new(&lab);
        let mut run = bench.started("laptop");
        let mut told = stderr(&mut run);
        bench.lease(taken);
        let stops = line(&mut told, "stopping: ");
        assert!(stops.contains("the lock is lost") && stops.contains(says), "{stops}");
        bench.open();
        assert_eq!(end(&mut run), Some(5), "{:?}", told.collect::<Vec<_>>());
        let labels = bench.lab.call(&["kubectl", "get", "ns", "bench-lock", "-o", "jsonpath={.metadata.labels}"]);
        assert!(!labels.contains("after"), "a step was started without the lock: {labels}");
        let left = bench.lease(&[
            "get",
            "lease",
            "rollout-bench-lock",
            "--ignore-not-found",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ]);
        assert!(["thief", ""].contains(&left.as_str()), "somebody else's lease was touched: {left}");
    }
}

#[test]
fn a_run_that_cannot_renew_its_lease_stops_before_another_may_have_it() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    let mut run = bench.started("laptop");
    let mut told = stderr(&mut run);
    let mend = Mend(&lab, &["mend", "control-pi"]);
    lab.call(&["cut", "control-pi"]);
    let cut = Instant::now();
    let stops = line(&mut told, "stopping: ");
    assert!(stops.contains("the lease could not be renewed for"), "{stops}");
    assert!(cut.elapsed() < Duration::from_secs(15), "{:?}", cut.elapsed());
    drop(mend);
    bench.open();
    assert_eq!(end(&mut run), Some(5), "{:?}", told.collect::<Vec<_>>());
    assert_eq!(bench.spec()["holderIdentity"], "", "what is still its own is given back");
}

#[test]
fn ctrl_c_and_a_failure_give_the_lease_back() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    let mut run = bench.started("laptop");
    let mut told = stderr(&mut run);
    for says in ["running steps finish", "cancelling the running steps"] {
        assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
        assert!(line(&mut told, "stopping: ").contains(says));
    }
    assert_eq!(end(&mut run), Some(130));
    assert_eq!(bench.spec()["holderIdentity"], "");

    std::fs::write(bench.dir.path().join("plan.toml"), PLAN.replace("2m", "1s")).unwrap();
    let failed = bench.run("laptop", &["--fresh"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let spec = bench.spec();
    assert_eq!((spec["holderIdentity"].as_str(), &spec["leaseTransitions"]), (Some(""), &1.into()), "{spec}");
}

#[test]
fn a_user_without_the_right_is_told_which_and_where_to_name_another_namespace() {
    let Some(lab) = lab() else { return };
    let bench = Bench::new(&lab);
    // Somebody who may do nothing but take a lease in the test's own namespace.
    for args in [
        &["create", "role", "locks", "--verb=get,create,update", "--resource=leases.coordination.k8s.io"][..],
        &["create", "rolebinding", "locks", "--role=locks", "--user=visitor"],
    ] {
        lab.call(&[&["kubectl", "-n", "bench-lock"], args].concat());
    }
    let as_visitor = bench.dir.path().join("kubeconfig");
    let config = lab.call(&["kubectl", "config", "view", "--raw", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"]["as"] = "visitor".into();
    std::fs::write(&as_visitor, config.to_string()).unwrap();
    let inventory = |rest: &str| {
        let path = bench.dir.path().join("inventory.toml");
        std::fs::write(&path, format!("[kube]\nkubeconfig = \"{}\"\n{rest}", as_visitor.display())).unwrap();
        path.display().to_string()
    };
    let run = |inventory: &str| {
        let plan = bench.dir.path().join("plan.toml").display().to_string();
        let mut command = lab.command_on(inventory, &["run", &plan, "--only", "p", "--tags", "none"]);
        command.env("ROLLOUT_STATE_DIR", bench.dir.path().join("visitor"));
        command.output().unwrap()
    };
    let tagged = PLAN.replace("id = \"after\"", "id = \"after\"\ntags = [\"none\"]\nwhen = \"false\"");
    std::fs::write(bench.dir.path().join("plan.toml"), tagged).unwrap();

    let refused = run(&inventory(""));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    for part in ["right to get leases.coordination.k8s.io in namespace kube-system", "lease_namespace", "visitor"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let runs = run(&inventory("lease_namespace = \"bench-lock\"\n"));
    assert_eq!(runs.status.code(), Some(0), "{runs:?}");
    let holder = [
        "kubectl",
        "-n",
        "bench-lock",
        "get",
        "lease",
        "rollout-bench-lock",
        "-o",
        "jsonpath={.spec.leaseTransitions}",
    ];
    assert_eq!(lab.call(&holder), "0");
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}
