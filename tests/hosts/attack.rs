//! Steps of root in folders where another user replaces names while the steps run: nothing of root's may change.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rollout::digest::sha256;

use crate::every::{DOWNLOADED, serve};
use crate::machine::Machine;
use crate::project::Project;
use crate::sshd::Sshd;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/attack");

const ATTACK: Duration = Duration::from_secs(6);

/// Number of attacks that must have happened for the test to mean something.
const SWAPS: u64 = 200;

/// A snapshot of everything that must not change: names, kinds, owners, modes and contents.
const CANARY: &str = "cd /srv/canary && find . -printf '%p %y %m %U %G %l\\n' | sort && \
                      find . -type f | sort | xargs sha256sum";

/// Files that let another user read what only root may read. The attacker stands still meanwhile: between `find` and `grep`, a
/// name could become a link to root's own file.
const LEAKED: &str = "touch /srv/pause; tries=0
                      until [ -e /srv/attacker/paused ]; do
                          tries=$((tries + 1)); [ \"$tries\" -lt 1000 ] || { echo 'the attacker does not stand still'; exit; }
                          sleep 0.01
                      done
                      find /home/mallory -type f -links 1 -exec grep -lx secret {} +
                      rm /srv/pause
                      while [ -e /srv/attacker/paused ]; do sleep 0.01; done";

/// Steps that fail on purpose, also without an attack, so that their work is done in each round.
const FAIL: [&str; 4] = ["archive", "guarded", "hard", "led"];

/// `settings`: lines of the sshd configuration that select `sh` and its programs.
fn nothing_of_roots_changes(shell: &str, settings: &str) {
    let Some(machine) = Machine::new() else { return };
    if settings.contains("/busybox") {
        machine.sh("mkdir /busybox && busybox --install -s /busybox");
    }
    machine.sh(&std::fs::read_to_string(format!("{FOLDER}/ready.sh")).unwrap());
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", settings, &|program| machine.command(program));
    let project = Project::copy(&sshd.inventory(), FOLDER, "plan.toml");
    std::fs::write(project.path("large"), vec![b'x'; 100_000]).unwrap();
    let port = serve(&machine);
    let before = machine.sh(CANARY);
    let run = |round: u64| {
        let mode = if round.is_multiple_of(2) { "0640" } else { "0644" };
        let vars = [
            format!("round={round}"),
            format!("mode={mode}"),
            format!("port={port}"),
            format!("sum=sha256:{}", sha256(DOWNLOADED.as_bytes())),
        ];
        let mut args = vec!["--fresh"];
        vars.iter().for_each(|var| args.extend(["--var", var]));
        project.run(&args)
    };

    // Without an attack, everything works.
    let ran = run(0);
    for (step, outcome) in ran.outcomes() {
        let wanted = if FAIL.contains(&step) { "failed" } else { "changed" };
        assert_eq!(outcome, wanted, "{step}\n{}", ran.failures());
    }
    assert!(ran.problem("archive").message.contains("did not bring"), "{:?}", ran.problem("archive"));
    assert!(ran.problem("hard").message.contains("further names"), "{:?}", ran.problem("hard"));
    assert!(ran.problem("led").message.contains("somebody else may lead elsewhere"), "{:?}", ran.problem("led"));
    assert_eq!(machine.sh("stat -c '%a %U' /home/mallory/unpacked/a/b"), "775 root", "no setuid, not for all to write");
    assert_eq!(machine.sh("find /home/mallory /srv/open /srv/sticky -name '.*rollout*'"), "", "something is left");
    assert_eq!(machine.sh(CANARY), before);
    assert!(machine.sh("cat /home/mallory/file /home/mallory/lines").contains("round 0"));

    let mut attacker = machine.command("setpriv");
    attacker.args(["--reuid", "mallory", "--regid", "mallory", "--clear-groups", "perl"]);
    attacker.arg(format!("{FOLDER}/attacker.pl")).stdout(Stdio::piped());
    let mut attacker = attacker.spawn().expect("this test needs setpriv and perl");
    let began = Instant::now();
    let ready = || machine.seen("/srv/attacker/ready").exists();
    while !ready() {
        let ended = attacker.try_wait().unwrap();
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(20), "the attacker does not begin: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    let mut round = 1;
    while began.elapsed() < ATTACK || round < 4 {
        let ran = run(round);
        assert_eq!(
            machine.sh(CANARY),
            before,
            "{shell}: something of root's has changed, in round {round}: {}",
            ran.said
        );
        assert_eq!(machine.sh(LEAKED), "", "{shell}: read from a file of root's, in round {round}");
        round += 1;
    }
    machine.sh("touch /srv/stop");
    let swaps = String::from_utf8(attacker.wait_with_output().unwrap().stdout).unwrap();
    assert!(swaps.parse::<u64>().unwrap() > SWAPS, "the attacker did too little: {swaps}");
}

#[test]
fn whoever_may_write_in_a_folder_gets_nothing_of_roots() {
    nothing_of_roots_changes("dash", "");
}

#[test]
fn nor_where_all_there_is_is_busybox() {
    nothing_of_roots_changes("busybox", "SetEnv PATH=/busybox:/srv/git\n");
}
