//! Every action on hosts, over ssh, by a user who becomes root: the first time each step changes something, the second time
//! none does. On a machine of its own, and what needs systemd on one that systemd has booted.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rollout::actions::Registry;
use rollout::digest::sha256;
use rollout::plan::{Catalog as _, Plan};

use crate::machine::Machine;
use crate::project::Project;
use crate::sshd::Sshd;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/every");

/// What `serve` hands out.
const DOWNLOADED: &str = "downloaded\n";

/// Steps that only look.
const LOOKS: &[&str] = &["facts", "wait"];

#[test]
fn all_actions_on_hosts_are_in_the_plan() {
    let mut used = BTreeSet::new();
    for name in ["plan.toml", "back.toml"] {
        let path = Path::new(FOLDER).join(name);
        let plan = Plan::parse(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
        used.extend(plan.phases.iter().flat_map(|phase| &phase.steps).map(|step| step.action.value.clone()));
    }
    let registry = Registry::standard();
    let all: BTreeSet<String> = registry.kinds().iter().map(|kind| kind.name.to_owned()).collect();
    let missing: Vec<_> = all.iter().filter(|name| name.starts_with("node.") && !used.contains(*name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "add steps with these to tests/hosts/every");
}

/// Applies both plans twice. `by` makes the program, which must reach the host.
fn applied(machine: &Machine, sshd: &Sshd, by: impl Fn(&str) -> Command, args: &[&str]) {
    machine.add_user("pi", "/bin/bash");
    machine.sh(&std::fs::read_to_string(Path::new(FOLDER).join("ready.sh")).unwrap());
    let inventory = sshd.inventory_with("user = \"pi\"");
    let sum = format!("sum=sha256:{}", sha256(DOWNLOADED.as_bytes()));
    let port = format!("port={}", serve(machine));
    for (plan, more) in [("plan.toml", vec!["--var", &port, "--var", &sum]), ("back.toml", vec![])] {
        let project = Project::copy(&inventory, FOLDER, plan);
        let first = project.runs_twice_by(&by, &[args, &more].concat());
        for (step, outcome) in first.outcomes() {
            let looks = LOOKS.contains(&step);
            assert_eq!(outcome, if looks { "same" } else { "changed" }, "{plan}: {step}\n{}", first.said);
        }
    }
}

/// Starts a server on the machine that hands out a file; its port. The plan waits for it.
fn serve(machine: &Machine) -> u16 {
    let folder = machine.shared().join("served");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), DOWNLOADED).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = machine.command("busybox");
    server.args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"]).arg(folder);
    // It ends with the machine.
    drop(server.spawn().unwrap());
    port
}

#[test]
fn each_comes_to_rest() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    applied(&machine, &sshd, |program| Command::new(program), &["--skip", "systemd"]);
}

#[test]
fn each_comes_to_rest_where_systemd_is() {
    let Some(machine) = Machine::booted() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    applied(&machine, &sshd, |program| machine.on_its_network(program), &["--skip", "modules"]);
}
