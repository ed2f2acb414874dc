//! The main plan against the lab: previews, a kill and its resume, a second run, and each prerequisite failing.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Mend, Ran, lab};
use rollout::event::{Event, EventKind, Mode, Outcome};

const PLAN: &str = "plans/istio.toml";
/// Phases that change nothing before the prerequisites hold.
const DEPENDENT: [&str; 5] = ["mesh-ca", "istio-install", "mesh-ca-proof", "app", "verify"];
const PREREQUISITES: [&str; 4] = ["prereq-nodes", "prereq-argocd", "prereq-vault", "prereq-pki"];

#[test]
fn a_preview_of_a_fresh_cluster_shows_every_change_and_makes_none() {
    let Some(mut lab) = lab() else { return };
    lab.reset();
    let (versions, files) = (lab.resource_versions(), lab.files("pi-1"));
    let ran = lab.rollout(&["plan", PLAN]);
    assert_eq!(ran.code, 0, "{}", ran.failures());
    assert!(matches!(ran.events[0].kind, EventKind::RunStarted { mode: Mode::Preview, .. }));
    assert_eq!(lab.changed_since(&versions), [""; 0]);
    assert_eq!(files, lab.files("pi-1"));

    let shows: Vec<&str> = ran
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, diff, .. } if !diff.is_empty() => Some(unit.step.as_str()),
            _ => None,
        })
        .collect();
    let changes = [
        "forwarding",
        "inotify-limits",
        "mesh-namespace",
        "cacerts",
        "istio-base",
        "istiod",
        "ingress-gateway",
        "namespaces",
        "access-policy",
        "network-policy",
        "agent",
        "probes",
        "routing",
    ];
    for step in changes {
        assert!(shows.contains(&step), "{step} changes something, but the preview does not show what: {shows:?}");
    }
    let pending = |needle: &str| {
        ran.outcomes().values().any(|o| matches!(o, Outcome::Pending { needs } if needs.contains(needle)))
    };
    assert!(pending("networking.istio.io"), "a kind whose CRD comes with a chart waits for that step");
    assert!(ran.phase("verify").values().all(|o| *o == "pending"), "{:?}", ran.phase("verify"));
    assert_eq!(lab.rollout(&["plan", PLAN, "--detailed-exit-code"]).code, 3);
}

#[test]
fn a_run_killed_in_the_middle_of_the_install_is_gone_on_from() {
    let Some(mut lab) = lab() else { return };
    lab.reset();
    let mut child = lab.command(&["run", PLAN]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.map_while(Result::ok).filter_map(|l| serde_json::from_str::<Event>(&l).ok()).find(|event| {
        matches!(&event.kind, EventKind::UnitStarted { unit, .. } if unit.phase == "istio-install" && unit.step == "istiod")
    });
    assert!(started.is_some(), "the run ended before it came to istiod");
    child.kill().unwrap();
    child.wait().unwrap();

    let ran = lab.install();
    let EventKind::RunStarted { resumed_from: Some(_), .. } = &ran.events[0].kind else {
        panic!("the second run did not go on from the first: {:?}", ran.events[0])
    };
    assert!(ran.count("kept") > 0, "nothing was kept: {:?}", ran.outcomes());
    assert!(ran.phase("verify").values().all(|o| *o == "same"), "{:?}", ran.phase("verify"));
}

#[test]
fn a_second_run_changes_nothing_and_is_quick() {
    let Some(lab) = lab() else { return };
    lab.install();
    let before = lab.resource_versions();
    let ran = lab.install();
    assert_eq!(ran.count("changed"), 0, "{:?}", ran.outcomes());
    assert_eq!(lab.changed_since(&before), [""; 0]);
    assert!(ran.seconds < 10.0, "it took {:.1} s", ran.seconds);
}

/// Runs the plan with something broken: what depends on it must not start, the other prerequisites must end well.
fn with_broken(lab: &crate::support::Lab, phase: &str, args: &[&str], code: i32) -> Ran {
    let before = lab.resource_versions();
    let ran = lab.rollout(&[&["run", PLAN, "--fresh"], args].concat());
    assert_eq!(ran.code, code, "{}", ran.failures());
    assert!(ran.problems().keys().all(|unit| unit.starts_with(phase)), "{}", ran.failures());
    for dependent in DEPENDENT {
        assert!(ran.phase(dependent).values().all(|o| *o == "cancelled"), "{:?}", ran.phase(dependent));
    }
    for other in PREREQUISITES.iter().filter(|p| **p != phase) {
        let ends = ran.phase(other);
        assert!(!ends.is_empty() && ends.values().all(|o| matches!(*o, "same" | "changed")), "{ends:?}");
    }
    // The broken part itself is the lab's doing.
    let mut changed = lab.changed_since(&before);
    changed.retain(|name| !name.contains(" argocd/"));
    assert_eq!(changed, [""; 0]);
    ran
}

/// The one problem of a run, as text.
fn problem(ran: &Ran) -> String {
    ran.problems().values().map(|p| format!("{} | {}\n", p.message, p.hint.clone().unwrap_or_default())).collect()
}

#[test]
fn a_sealed_vault_node_stops_the_run_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.install();
    lab.call(&["seal", "1"]);
    let _mend = Mend(&lab, &["unseal", "1"]);
    let said = problem(&with_broken(&lab, "prereq-vault", &[], 1));
    assert!(said.contains("10.77.0.21") && said.contains("sealed") && said.contains("unseal"), "{said}");
}

#[test]
fn a_missing_intermediate_stops_the_run_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.install();
    lab.call(&["pki", "drop"]);
    let _mend = Mend(&lab, &["pki", "make"]);
    let said = problem(&with_broken(&lab, "prereq-pki", &[], 1));
    assert!(said.contains("pki_int"), "{said}");
}

#[test]
fn argocd_down_stops_the_run_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.install();
    lab.call(&["argocd", "down"]);
    let _mend = Mend(&lab, &["argocd", "up"]);
    let said = problem(&with_broken(&lab, "prereq-argocd", &[], 1));
    assert!(said.contains("argocd-server"), "{said}");
}

#[test]
fn a_degraded_application_stops_the_run_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.install();
    lab.call(&["argocd", "degrade"]);
    let _mend = Mend(&lab, &["argocd", "heal"]);
    let said = problem(&with_broken(&lab, "prereq-argocd", &[], 1));
    assert!(said.contains("trading-app") && said.contains("Degraded"), "{said}");
}

#[test]
fn too_little_memory_stops_the_run_and_says_how_much_there_is() {
    let Some(lab) = lab() else { return };
    lab.install();
    let said = problem(&with_broken(&lab, "prereq-nodes", &["--var", "istiod_memory=64Gi"], 1));
    assert!(said.contains("64Gi") && said.contains("memory"), "{said}");
}

#[test]
fn a_pi_without_power_stops_the_run_and_is_named() {
    let Some(lab) = lab() else { return };
    lab.install();
    lab.call(&["power", "off", "pi-2"]);
    let _mend = Mend(&lab, &["power", "on", "pi-2"]);
    let ran = lab.rollout(&["run", PLAN, "--fresh"]);
    assert!(ran.code == 4 || ran.code == 1, "{}", ran.failures());
    assert!(ran.problems().keys().all(|unit| unit.starts_with("prereq-nodes")), "{}", ran.failures());
    assert!(ran.problems().keys().any(|unit| unit.ends_with("@pi-2")), "{}", ran.failures());
    for dependent in DEPENDENT {
        assert!(ran.phase(dependent).values().all(|o| *o == "cancelled"), "{:?}", ran.phase(dependent));
    }
}
