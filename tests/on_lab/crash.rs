//! SIGKILL at each point of each step, against the lab's real parts: the run goes on and ends as an uninterrupted one does.
//! One plan has all actions; each round has values of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::process::{Cut, cut, lines, wait_until};
use crate::support::{Lab, Ran, lab};
use rollout::event::{Kind, Outcome};

const POINTS: [&str; 5] = ["before-intent", "after-intent", "mid-effect", "after-effect", "after-outcome"];
const OF_CHANGES: [&str; 2] = ["mid-effect", "after-effect"];

const CHANGES: [&str; 15] = [
    "folder@pi-1",
    "file@pi-1",
    "page@pi-1",
    "made@pi-1",
    "unguarded@pi-1",
    "parameter@pi-1",
    "reload@pi-1",
    "config",
    "label",
    "in-pod",
    "release",
    "engine",
    "intermediate",
    "cacerts",
    "handed-out",
];
const CHECKS: [&str; 12] = [
    // It could load modules, but those that the lab's kernel has are built in.
    "module@pi-1",
    "facts@pi-1",
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
            "command": ["python3", "-c", "import time; time.sleep(1e9)"]}]}}"#;
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

    /// Goes on to the end, as a person would: where it asks whether the unguarded command took effect, by looking.
    fn go_on(&self) -> usize {
        let mut answers = Vec::new();
        loop {
            let ran = self.run(&answers);
            let unclear: Vec<String> = ran
                .events
                .iter()
                .filter_map(|e| match &e.kind {
                    Kind::UnitFinished { unit, outcome: Outcome::Unknown(_), .. } => Some(unit.to_string()),
                    _ => None,
                })
                .collect();
            if unclear.is_empty() || answers.len() > 4 {
                assert_eq!(ran.code, 0, "{}", ran.failures());
                return answers.len() / 2;
            }
            for unit in unclear {
                let host = unit.rsplit('@').next().unwrap().to_owned();
                let took_effect = self.times(&host) > 0;
                answers.extend([if took_effect { "--done" } else { "--rerun" }.to_owned(), unit]);
            }
        }
    }

    /// How often the unguarded command of the round ran on a host.
    fn times(&self, pi: &str) -> usize {
        let count = self.on(pi, &format!("grep -cx \"unguarded {}\" /etc/crash-lab/log || true", self.round));
        count.trim().parse().unwrap_or(0)
    }

    /// The world as the round left it, with the round's number taken out.
    fn listing(&self) -> BTreeMap<&'static str, String> {
        let round = self.round;
        let files = format!(
            "cd /etc/crash-lab; stat -c \"%n %a %U\" round-{round} round-{round}/* settings page loaded; \
             cat settings page loaded; grep -cx \"unguarded {round}\" log; w=$((64 + {round} % 100)); \
             test $(cat /proc/sys/net/ipv4/ip_default_ttl) = $w && grep -qx \"net.ipv4.ip_default_ttl = $w\" \
             /etc/sysctl.d/90-crash-lab.conf && echo right"
        );
        let objects = format!(
            "k='kubectl -n crash-lab'
            $k get cm applied from-chart -o jsonpath='{{range .items[*]}}{{.data}}{{end}}'
            kubectl get ns crash-lab -o jsonpath='{{.metadata.labels.round}}'
            $k get secret cacerts -o jsonpath='{{.data.ca-cert\\.pem}}' | base64 -d | openssl x509 -noout -subject -issuer
            $k get cm istio-ca-root-cert -o jsonpath='{{.data.root-cert\\.pem}}' | openssl x509 -noout -subject
            $k exec crash -- python3 -c 'import os; print(os.path.isdir(\"/round-{round}\"))'
            helm -n crash-lab status crash -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"info\"][\"status\"])'"
        );
        let vault = "bao=$1
            $bao bao read -field=certificate pki_crash/cert/ca | openssl x509 -noout -subject -issuer
            $bao bao secrets list | grep pki_crash";
        let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
        let sh = |script: &str| self.lab.call(&["exec", "bash", "-c", script, "-", lab]);
        std::thread::scope(|scope| {
            let pis = UNGUARDED.map(|pi| (pi, scope.spawn(|| self.on(pi, &files))));
            let objects = scope.spawn(|| sh(&objects));
            let vault = scope.spawn(|| {
                let output = std::process::Command::new("bash").args(["-c", vault, "-", lab]).output().unwrap();
                String::from_utf8_lossy(&output.stdout).into_owned()
            });
            let mut all: BTreeMap<&str, String> =
                pis.into_iter().map(|(pi, told)| (pi, told.join().unwrap())).collect();
            all.insert("objects", objects.join().unwrap());
            all.insert("vault", vault.join().unwrap());
            all.into_iter().map(|(name, told)| (name, told.replace(&round.to_string(), "ROUND"))).collect()
        })
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
    assert_eq!(ground.run(&[]).code, 0);
    let wanted = ground.listing();
    assert!(wanted["pi-1"].ends_with("right\n") && wanted["objects"].ends_with("deployed\n"), "{wanted:#?}");

    let units: Vec<&str> = CHANGES.into_iter().chain(CHECKS).collect();
    let (mut kills, mut passed, mut asked) = (0, 0, 0);
    for point in POINTS {
        for unit in &units {
            ground.round += 1;
            let args = ground.arguments();
            let command = lab.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let killed = match cut(command, unit, point) {
                Cut::Killed => true,
                Cut::Passed(output) => {
                    assert!(output.status.success(), "{unit} {point}: {}", String::from_utf8_lossy(&output.stdout));
                    false
                }
            };
            let only_looks = CHECKS.contains(unit) && OF_CHANGES.contains(&point);
            assert_eq!(killed, !only_looks, "{unit} {point}");
            if killed {
                nothing_runs("/etc/crash-lab");
                asked += ground.go_on();
                assert_eq!(ground.listing(), wanted, "{unit} {point}");
            }
            kills += usize::from(killed);
            passed += usize::from(!killed);
        }
    }
    let again = ground.run(&[]);
    assert_eq!((again.code, again.count("changed")), (0, UNGUARDED.len()), "{}", again.failures());
    println!(
        "crash suite on the lab: {} points × {} units, {kills} kills, {passed} points not reached by checks; {asked} \
         times a person had to look",
        POINTS.len(),
        units.len()
    );
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
