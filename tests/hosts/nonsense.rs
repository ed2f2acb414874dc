//! A host whose programs print nonsense: only steps of that host fail.

use std::fs;

use crate::machine::Machine;
use crate::project::Project;
use crate::sshd::Sshd;

/// Programs with which steps probe a host.
const PROGRAMS: &[&str] = &["sha256sum", "stat", "id", "getent", "systemctl", "dpkg-query", "readlink"];

/// Two-byte letters, NUL, colours, and numbers that are too large.
const NONSENSE: &str = r#"#!/bin/sh
printf '\141\141\141\141\141\141\141\141\141\141\141\303\251\000\377\033[31m\n'
for name in "$@"; do
    printf 'aaaaaaaaaaa\303\251  %s\n' "$name"
    printf -- '-1:99999999999999999999:340282366920938463463374607431768211455:x:y:z:%s\n' "$name"
    printf '%s=18446744073709551616\n%s: -9223372036854775809\n' "$name" "$name"
done
"#;

fn steps() -> String {
    let mut plan = String::new();
    for (id, rest) in [
        ("file", "action = \"node.file\"\npath = \"/etc/motd\"\nsource = \"long\""),
        ("tree", "action = \"node.copy_tree\"\npath = \"/tree\"\nsource = \"files\"\ndelete = true"),
        ("line", "action = \"node.line\"\npath = \"/etc/motd\"\nline = \"x\""),
        ("user", "action = \"node.user\"\nname = \"root\"\ngroups = [\"daemon\"]"),
        ("group", "action = \"node.group\"\nname = \"daemon\""),
        ("service", "action = \"node.service\"\nname = \"ssh\"\nenabled = true"),
        ("package", "action = \"node.package\"\nnames = [\"dash\"]"),
        ("mount", "action = \"node.mount\"\npath = \"/tree\"\nsource = \"tmpfs\"\nfstype = \"tmpfs\""),
        ("facts", "action = \"node.facts\""),
        ("sysctl", "action = \"node.sysctl\"\nname = \"x\"\nsettings = { \"vm.swappiness\" = 10 }"),
    ] {
        plan +=
            &format!("[[phase.p.step]]\nid = \"{id}\"\nhosts = \"target\"\nneeds = []\ntimeout = \"20s\"\n{rest}\n");
    }
    plan += "[[phase.q.step]]\nid = \"other\"\nhosts = \"here\"\naction = \"node.file\"\npath = \"DIR/other\"\ncontent = \"x\"\n";
    plan
}

#[test]
fn a_host_that_answers_nonsense_ends_only_its_own_steps() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let inventory = format!("{}\n[hosts.here]\nconnection = \"local\"\n", sshd.inventory());
    let project = Project::new(&inventory, &steps());
    fs::create_dir(project.path("files")).unwrap();
    fs::write(project.path("files/a"), "a").unwrap();
    fs::write(project.path("long"), "long\n".repeat(100_000)).unwrap();
    fs::write(machine.shared().join("nonsense"), NONSENSE).unwrap();
    let source = machine.shared().join("nonsense").display().to_string();
    let mut failed = 0;
    for program in PROGRAMS {
        machine.sh(&format!("install -m 755 {source} /usr/local/bin/{program}"));
        let ran = project.run(&["--fresh"]);
        machine.sh(&format!("rm /usr/local/bin/{program}"));
        // The shell identifies itself with readlink; without it there is no shell.
        let codes = if *program == "readlink" { [1, 4] } else { [0, 1] };
        assert!(codes.contains(&ran.code), "{program}: {} {}", ran.code, ran.said);
        assert!(!ran.said.contains("internal error"), "{program}: {}", ran.failures());
        let outcomes = ran.outcomes();
        assert!(["changed", "same"].contains(&outcomes["other"]), "{program}: {}", ran.said);
        assert_eq!(outcomes.len(), 11, "{program}: each step has its end");
        failed += usize::from(ran.code > 0);
    }
    assert!(failed > 3, "{failed} of these programs are believed by nobody");
}
