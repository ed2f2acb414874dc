use crate::machine::Machine;
use crate::project::{Project, step};
use crate::sshd::Sshd;

/// A user with a low process limit, and a user id that nobody else on this machine has.
const USER: &str = "useradd --create-home --password '*' --shell /bin/sh --uid 61234 busy";

/// Starts processes of that user that hang.
fn fill(machine: &Machine, count: usize) {
    let hang = "setpriv --reuid 61234 --clear-groups --regid 61234 sleep 987654 &";
    machine.sh(&format!("i=0; while [ $i -lt {count} ]; do {hang} i=$((i+1)); done >/dev/null 2>&1"));
}

#[test]
fn a_user_who_may_start_no_more_processes_is_told() {
    let Some(machine) = Machine::new() else { return };
    machine.sh(USER);
    let limited = |program: &str| {
        let mut command = machine.command("prlimit");
        command.arg("--nproc=20:20").arg(program);
        command
    };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &limited);
    // Non-ASCII text: the host decodes it, which takes processes.
    let plan = step("file", "action = \"node.file\"\npath = \"/home/busy/x\"\ncontent = \"é\"\ntimeout = \"30s\"");
    let project = Project::new(&sshd.inventory_with("user = \"busy\""), &plan);
    project.runs_twice(&[]);
    machine.sh("rm /home/busy/x");
    // The first limit allows a login, the second does not.
    for (count, cure) in [(16, "has reached the limit of processes"), (40, "start one more process")] {
        fill(&machine, count);
        let ran = project.run(&["--fresh"]);
        assert_eq!(ran.code, if count == 16 { 1 } else { 4 }, "{}", ran.said);
        ran.tells("file", &["the shell on target"], cure);
        machine.sh("pkill -KILL -f '^sleep 987654'");
        assert!(!machine.holds("test -e /home/busy/x"));
    }
    project.runs_twice(&["--fresh"]);
}
