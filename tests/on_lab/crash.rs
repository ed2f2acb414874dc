//! SIGKILL at each point of each step, against the lab's real parts: the run goes on and ends as an uninterrupted one does.
//! One plan has all actions; each round has values of its own. In a round, each run is killed one step further than the
//! one before it, which it goes on with.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::process::{Cut, cut, lines, report, wait_until};
use crate::support::{Lab, Ran, lab};
use rollout::event::{EventKind, Outcome};

const POINTS: [&str; 5] = ["before-intent", "after-intent", "mid-effect", "after-effect", "after-outcome"];
const OF_CHANGES: [&str; 2] = ["mid-effect", "after-effect"];

/// The units by phase, in the order in which a run comes to them. A killed run has only the phase of its unit, for the sake
/// of time.
const PHASES: [(&str, &[&str]); 5] = [
    (
        "nodes",
        &[
            "facts@pi-1",
            "folder@pi-1",
            "file@pi-1",
            "page@pi-1",
            "made@pi-1",
            "unguarded@pi-1",
            "parameter@pi-1",
            "module@pi-1",
            "reload@pi-1",
        ],
    ),
    ("objects", &["argocd", "room", "config", "label", "there", "in-pod", "pod-says"]),
    ("chart", &["room-for-chart", "release", "served"]),
    ("ca", &["vault", "engine", "intermediate", "sound", "cacerts", "handed-out", "root"]),
    ("mesh", &["workload"]),
];
/// Those that only look. `module` could load modules, but those that the lab's kernel has are built in.
const CHECKS: [&str; 12] = [
    "facts@pi-1",
    "module@pi-1",
    "argocd",
    "room",
    "there",
    "pod-says",
    "room-for-chart",
    "served",
    "vault",
    "sound",
    "root",
    "workload",
];
/// The one command that runs each time, by its host.
const UNGUARDED: [&str; 2] = ["pi-1", "pi-2"];

/// What the steps work on, there as long as the test.
struct Ground<'a> {
    lab: &'a Lab,
    round: u32,
}

impl<'a> Ground<'a> {
    fn new(lab: &'a Lab) -> Self {
        let ground = Self { lab, round: 1000 };
        ground.clear();
        lab.call(&["kubectl", "create", "namespace", "crash-lab"]);
        let pod = r#"{"apiVersion": "v1", "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "crash",
            "image": "docker.io/library/trading-agent:lab", "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", "import time; time.sleep(1e9)"],
            "volumeMounts": [{"name": "work", "mountPath": "/data"}]}], "volumes": [{"name": "work", "emptyDir": {}}]}}"#;
        lab.call(&["kubectl", "-n", "crash-lab", "wait", "--for=create", "serviceaccount/default", "--timeout=60s"]);
        let image = "--image=docker.io/library/trading-agent:lab";
        lab.call(&["kubectl", "-n", "crash-lab", "run", "crash", image, &format!("--overrides={pod}")]);
        lab.call(&["kubectl", "-n", "crash-lab", "wait", "--for=condition=Ready", "pod/crash", "--timeout=60s"]);
        ground
    }

    fn clear(&self) {
        self.lab.call(&["kubectl", "delete", "namespace", "crash-lab", "--ignore-not-found", "--wait"]);
        self.lab.call(&["bao", "secrets", "disable", "pki_crash"]);
        for pi in UNGUARDED {
            self.on(
                pi,
                "rm -rf /etc/crash-lab /etc/sysctl.d/90-crash-lab.conf; echo 64 >/proc/sys/net/ipv4/ip_default_ttl",
            );
        }
    }

    fn on(&self, pi: &str, script: &str) -> String {
        let script = format!("sudo sh -c '{script}'");
        self.lab.call(&["exec", "ssh", "-F", "/var/lib/rollout-lab/ssh/config", pi, &script])
    }

    fn arguments(&self) -> Vec<String> {
        let root = env!("CARGO_MANIFEST_DIR");
        let (plan, chart) =
            (format!("{root}/tests/on_lab/crash/plan.toml"), format!("{root}/tests/on_lab/crash/chart"));
        ["run", &plan, "--var", &format!("round={}", self.round), "--var", &format!("chart={chart}")]
            .map(str::to_owned)
            .into()
    }

    fn run(&self, more: &[String]) -> Ran {
        let args = [self.arguments(), more.to_vec()].concat();
        self.lab.rollout(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Goes on to the end, as a person would. Gives how often that person had to look.
    fn go_on(&self, only: &[String]) -> usize {
        self.follow(only, |args| Some(self.run(args))).1
    }

    /// The same, but the run is killed at the point of the unit: `None` when it never came there, and ended well.
    fn kill(&self, only: &[String], unit: &str, point: &str) -> Option<usize> {
        let once = |more: &[String]| {
            let args = [&self.arguments(), more].concat();
            match cut(self.lab.command(&args.iter().map(String::as_str).collect::<Vec<_>>()), unit, point) {
                Cut::Killed => None,
                Cut::Passed(output) => Some(Ran::of(&output, 0.0)),
            }
        };
        let (killed, asked) = self.follow(only, once);
        killed.then_some(asked)
    }

    /// Calls until nothing has to be answered any more, or the call is killed; whether it was, and how often a person had
    /// to look.
    fn follow(&self, only: &[String], once: impl Fn(&[String]) -> Option<Ran>) -> (bool, usize) {
        let mut answers = Vec::new();
        loop {
            let Some(ran) = once(&[only, &answers].concat()) else { return (true, answers.len() / 2) };
            let more = self.answers(&ran);
            if more.is_empty() || answers.len() > 4 {
                assert_eq!(ran.code, 0, "{}", ran.failures());
                return (false, answers.len() / 2);
            }
            answers.extend(more);
        }
    }

    /// What a person who looks says of each unit of which the run did not know whether it took effect.
    fn answers(&self, ran: &Ran) -> Vec<String> {
        let unknown = ran.events.iter().filter_map(|e| match &e.kind {
            EventKind::UnitFinished { unit, outcome: Outcome::Unknown(_), .. } => Some(unit.to_string()),
            _ => None,
        });
        let answer = |unit: String| {
            let took_effect = self.times(unit.rsplit('@').next().unwrap()) > 0;
            [if took_effect { "--done" } else { "--rerun" }.to_owned(), unit]
        };
        unknown.flat_map(answer).collect()
    }

    /// How often the unguarded command of the round ran on a host.
    fn times(&self, pi: &str) -> usize {
        let count = self.on(pi, &format!("grep -cx \"unguarded {}\" /etc/crash-lab/log || true", self.round));
        count.trim().parse().unwrap_or(0)
    }

    /// What a phase works on, as the round left it, with the round's number taken out.
    fn look(&self, phase: &str) -> String {
        let round = self.round;
        let seen = match phase {
            "nodes" => {
                let script = format!(
                    "cd /etc/crash-lab; stat -c \"%n %a %U\" round-{round} round-{round}/* settings page loaded; \
                     cat settings page loaded; grep -cx \"unguarded {round}\" log; w=$((64 + {round} % 100)); \
                     test $(cat /proc/sys/net/ipv4/ip_default_ttl) = $w && grep -qx \"net.ipv4.ip_default_ttl = $w\" \
                     /etc/sysctl.d/90-crash-lab.conf && echo right"
                );
                UNGUARDED.map(|pi| self.on(pi, &script)).concat()
            }
            "objects" => self.sh(&format!(
                "kubectl -n crash-lab get cm applied -o jsonpath='{{.data}}'
                kubectl get ns crash-lab -o jsonpath='{{.metadata.labels.round}}'
                kubectl -n crash-lab exec crash -- python3 -c 'import os; os.stat(\"/data/round-{round}\"); print(\"right\")'"
            )),
            "chart" => self.sh(
                "kubectl -n crash-lab get cm from-chart -o jsonpath='{.data}'
                helm -n crash-lab status crash | grep STATUS && echo right",
            ),
            "ca" => self.sh(
                "subject() { openssl x509 -noout -subject -issuer; }
                kubectl -n crash-lab get secret cacerts -o jsonpath='{.data.ca-cert\\.pem}' | base64 -d | subject
                kubectl -n crash-lab get cm istio-ca-root-cert -o jsonpath='{.metadata.labels.round} {.data.root-cert\\.pem}'
                \"$1\" bao read -field=certificate pki_crash/cert/ca | subject
                \"$1\" bao secrets list | grep -o '^pki_crash.*round.*' | tr -s ' ' | cut -d ' ' -f 1,2,4- && echo right",
            ),
            _ => String::new(),
        };
        seen.replace(&round.to_string(), "ROUND")
    }

    /// A script on the laptop; the lab's own command is its first argument.
    fn sh(&self, script: &str) -> String {
        let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
        self.lab.call(&["exec", "bash", "-euc", script, "-", lab])
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Waits until none of the commands on the Pis goes on: they are processes of this machine's kernel.
fn nothing_runs(words: &str) {
    wait_until("commands on the Pis end", || {
        let all = running(words);
        if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
    });
}

/// The command lines that hold these words.
fn running(words: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read_to_string(p.path().join("cmdline")).ok());
    lines.map(|line| line.replace('\0', " ")).filter(|line| line.contains(words)).collect()
}

#[test]
fn a_run_that_is_killed_at_any_point_of_any_step_ends_as_if_it_had_not_been() {
    let Some(lab) = lab() else { return };
    lab.install();
    let mut ground = Ground::new(&lab);
    let whole = ground.run(&[]);
    assert_eq!(whole.code, 0, "{}", whole.failures());
    let (mut kills, mut passed, mut asked) = (0, 0, 0);
    let wanted = PHASES.map(|(phase, _)| ground.look(phase));
    for ((phase, units), wanted) in PHASES.into_iter().zip(wanted) {
        assert!(wanted.ends_with("right\n") || units.iter().all(|unit| CHECKS.contains(unit)), "{wanted}");
        let only = ["--only".to_owned(), phase.to_owned()];
        for point in POINTS {
            ground.round += 1;
            let mut killed_before = false;
            let no_middle = |unit: &&&str| CHECKS.contains(unit) && OF_CHANGES.contains(&point);
            for unit in units.iter().filter(|unit| !no_middle(unit)) {
                let mut times = ground.kill(&only, unit, point);
                if times.is_none() && killed_before {
                    // The run before had already had this one on its way, and the host has brought it to its end.
                    assert_eq!(ground.look(phase), wanted, "before {unit} {point}");
                    ground.round += 1;
                    times = ground.kill(&only, unit, point);
                }
                asked += times.unwrap_or_else(|| panic!("the run never came to {unit} {point}"));
                nothing_runs("/etc/crash-lab");
                killed_before = true;
                kills += 1;
            }
            asked += ground.go_on(&only);
            assert_eq!(ground.look(phase), wanted, "{phase} {point}");
            for unit in units.iter().filter(no_middle) {
                ground.round += 1;
                assert_eq!(ground.kill(&only, unit, point), None, "{unit} {point}");
                assert_eq!(ground.look(phase), wanted, "{unit} {point}");
                passed += 1;
            }
        }
    }
    assert_eq!(ground.run(&[]).code, 0);
    let again = ground.run(&[]);
    assert_eq!((again.code, again.count("changed")), (0, UNGUARDED.len()), "{}", again.failures());
    report(&format!(
        "crash suite on the lab: {} points × {} units, {kills} kills, {passed} points not reached by checks; {asked} \
         times a person had to look",
        POINTS.len(),
        PHASES.iter().map(|(_, units)| units.len()).sum::<usize>(),
    ));
}

#[test]
fn a_command_on_a_host_ends_with_its_run() {
    let Some(lab) = lab() else { return };
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    for (signals, seconds) in [(&["-KILL"][..], "86391"), (&["-INT", "-INT"], "86392")] {
        let text = "[plan]\nname = \"long\"\n[[phase.p.step]]\nid = \"long\"\naction = \"node.command\"\nhosts = \"pi-1\"\n\
            become = true\ncommand = \"sleep SECONDS; true\"\ncreates = \"/nowhere/at/all\"\n";
        std::fs::write(&plan, text.replace("SECONDS", seconds)).unwrap();
        let mut command = lab.command(&["run", plan.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = lines(&mut child);
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let sleep = format!("sleep {seconds}");
        wait_until(
            "the command begins",
            || if running(&sleep).is_empty() { Err("nothing".to_owned()) } else { Ok(()) },
        );
        for signal in signals {
            let sent = std::process::Command::new("kill").args([*signal, &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
            // Two at the same moment would be one.
            assert!(*signal == "-KILL" || said.any(|line| line.contains("stopping:")), "{signal} was not heard");
        }
        wait_until("the run ends", || child.try_wait().unwrap().ok_or("it goes on".to_owned()));
        drop(told);
        nothing_runs(&sleep);
    }
}
