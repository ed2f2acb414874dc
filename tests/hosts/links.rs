//! Connections that break during a step.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::machine::Machine;
use crate::project::{Project, step};
use crate::sshd::Sshd;

/// Longer than any of these tests waits for a run.
const PATIENCE: Duration = Duration::from_secs(150);

fn here(program: &str) -> Command {
    Command::new(program)
}

/// A script that reports its start and hangs.
fn gate(rest: &str) -> String {
    step("gate", &format!("action = \"node.command\"\ncommand = \"echo half way; touch /begun; sleep 987654\"\n{rest}"))
}

/// Ends all sessions of the machine's sshd, and with `server` also the sshd itself.
fn cut(machine: &Machine, server: bool) {
    let pattern = if server { "sshd: " } else { "sshd: [a-z]+(@| .priv)" };
    machine.sh(&format!("pkill -KILL -f '^{pattern}'"));
}

fn hangs(machine: &Machine) -> bool {
    machine.holds("pgrep -f '^sleep 987654'")
}

#[test]
fn a_command_whose_connection_is_cut_is_in_doubt_and_ended_on_the_host() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let after = step("after", "action = \"node.file\"\npath = \"/after\"\ncontent = \"x\"");
    let project = Project::new(&sshd.inventory(), &format!("{}{after}", gate("")));
    let mut run = project.start(here, &[]);
    run.until("the command runs", || machine.seen("/begun").exists());
    cut(&machine, false);
    let ran = run.end(PATIENCE);
    assert_eq!(
        (ran.code, ran.outcomes()["gate"], ran.outcomes()["after"]),
        (1, "unknown", "cancelled"),
        "{}",
        ran.said
    );
    ran.tells(
        "gate",
        &["the connection to target was lost before the request ended", "half way"],
        "run the plan again",
    );
    let ran = project.run(&[]);
    ran.tells("gate", &["whether it took effect is not known"], "--done p/gate@target");
    assert!(!hangs(&machine), "it goes on by itself");
    let ran = project.run(&["--done", "gate"]);
    assert_eq!((ran.code, ran.outcomes()["after"]), (0, "changed"), "{}", ran.failures());
}

#[test]
fn a_file_whose_connection_is_cut_is_sent_again_and_nothing_is_left_of_the_first_time() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let plan = step("big", "action = \"node.file\"\npath = \"/big/file\"\nsource = \"big\"");
    let project = Project::new(&sshd.inventory(), &plan);
    let content = vec![b'x'; 256 << 20];
    fs::write(project.path("big"), &content).unwrap();
    machine.sh("mkdir /big");
    let mut run = project.start(here, &[]);
    run.until("the file is on its way", || machine.holds("test -n \"$(find /big -type f -size +1M)\""));
    cut(&machine, false);
    let ran = run.end(PATIENCE);
    assert_eq!((ran.code, ran.outcomes()["big"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(sshd.logins(), 2, "it was not cut");
    assert!(fs::read(machine.seen("/big/file")).unwrap() == content);
    assert_eq!(machine.sh("ls -A /big"), "file");
}

#[test]
fn a_server_that_goes_away_is_told_and_once_it_is_back_the_run_goes_on() {
    let Some(machine) = Machine::new() else { return };
    let inside = |program: &str| machine.command(program);
    let mut sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &inside);
    let after = step("after", "action = \"node.file\"\npath = \"/after\"\ncontent = \"x\"");
    let project = Project::new(&sshd.inventory(), &format!("{}{after}", gate("creates = \"/done\"\ntimeout = \"5s\"")));
    let mut run = project.start(here, &[]);
    run.until("the command runs", || machine.seen("/begun").exists());
    cut(&machine, true);
    let ran = run.end(PATIENCE);
    assert_eq!((ran.code, ran.outcomes()["gate"]), (1, "unknown"), "{}", ran.said);
    ran.tells("gate", &["the connection to target was lost before the request ended"], "run the plan again");

    let ran = project.run(&[]);
    assert_eq!(ran.code, 4, "{}", ran.said);
    ran.tells("gate", &["127.0.0.1 refuses the connection"], "is sshd running there");

    sshd.again(&inside);
    machine.sh("touch /done");
    let ran = project.run(&[]);
    assert_eq!((ran.code, ran.outcomes()["gate"], ran.outcomes()["after"]), (0, "same", "changed"), "{}", ran.said);
    assert!(!hangs(&machine), "it goes on by itself");
}

/// Two machines connected by a virtual cable.
struct Cable {
    near: Machine,
    far: Machine,
}

impl Cable {
    fn new() -> Option<Self> {
        let cable = Self { near: Machine::apart()?, far: Machine::apart()? };
        let mut ip = cable.near.on_its_network("ip");
        ip.args(["link", "add", "cable", "type", "veth", "peer", "name", "cable"]);
        let made = ip.args(["netns", cable.far.init()]).status();
        assert!(made.is_ok_and(|status| status.success()), "this test needs veth and `ip` (package iproute2)");
        for (machine, address) in [(&cable.near, "10.99.0.1/24"), (&cable.far, "10.99.0.2/24")] {
            machine.sh(&format!("ip link set lo up && ip address add {address} dev cable && ip link set cable up"));
        }
        Some(cable)
    }

    fn plug(&self, plugged: bool) {
        self.far.sh(if plugged { "ip link set cable up" } else { "ip link set cable down" });
    }
}

/// The two machines, with the server on the far one, and a plan for it.
fn over_a_cable(plan: &str) -> Option<(Cable, Sshd, Project)> {
    let cable = Cable::new()?;
    let sshd = Sshd::with(&cable.far.shared(), "10.99.0.2", "", &|program| cable.far.command(program));
    let project = Project::new(&sshd.inventory(), plan);
    Some((cable, sshd, project))
}

#[test]
fn a_cable_that_is_pulled_for_a_moment_is_not_noticed() {
    let plan =
        step("c", "action = \"node.command\"\ncommand = \"touch /begun; until test -e /go; do sleep 0.1; done\"");
    let Some((cable, sshd, project)) = over_a_cable(&plan) else { return };
    let mut run = project.start(|program| cable.near.on_its_network(program), &[]);
    run.until("the command runs", || cable.far.seen("/begun").exists());
    cable.plug(false);
    cable.far.sh("touch /go");
    cable.plug(true);
    let ran = run.end(PATIENCE);
    assert_eq!((ran.code, ran.outcomes()["c"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(sshd.logins(), 1);
}

#[test]
fn a_cable_that_is_pulled_ends_a_step_at_its_deadline() {
    let Some((cable, _sshd, project)) = over_a_cable(&gate("timeout = \"4s\"")) else { return };
    let mut run = project.start(|program| cable.near.on_its_network(program), &[]);
    run.until("the command runs", || cable.far.seen("/begun").exists());
    cable.plug(false);
    let ran = run.end(PATIENCE);
    assert_eq!((ran.code, ran.outcomes()["gate"]), (1, "unknown"), "{}", ran.said);
    ran.tells("gate", &["the request to target did not end before the deadline", "half way"], "longer `timeout`");
    assert!(ran.took < Duration::from_secs(40), "{:?}", ran.took);
}

#[test]
fn a_cable_that_is_pulled_for_long_is_noticed_and_a_file_is_sent_again() {
    if !crate::needs::time() {
        return;
    }
    let file = step("big", "action = \"node.file\"\npath = \"/big/file\"\nsource = \"big\"");
    let Some((cable, sshd, project)) = over_a_cable(&file) else { return };
    fs::write(project.path("big"), vec![b'x'; 256 << 20]).unwrap();
    cable.far.sh("mkdir /big");
    let mut run = project.start(|program| cable.near.on_its_network(program), &[]);
    run.until("the file is on its way", || cable.far.holds("test -n \"$(find /big -type f -size +1M)\""));
    cable.plug(false);
    run.until("it is noticed", || {
        fs::read_to_string(project.path("said")).unwrap().contains("was lost before the request ended")
    });
    cable.plug(true);
    let ran = run.end(PATIENCE);
    assert_eq!((ran.code, ran.outcomes()["big"]), (0, "changed"), "{}", ran.failures());
    assert_eq!(sshd.logins(), 2);
    assert_eq!(fs::metadata(cable.far.seen("/big/file")).unwrap().len(), 256 << 20);
}
