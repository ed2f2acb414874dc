//! Logins that print text, and unusual login shells.

use std::fs;

use crate::machine::Machine;
use crate::needs;
use crate::project::{Project, step};
use crate::sshd::Sshd;

/// A shell that supports only `-c`, which a login needs.
const ONLY_C: &str = "#!/bin/sh\n[ \"$1\" = -c ] || { echo \"only -c\" >&2; exit 64; }\nexec /bin/sh -c \"$2\"\n";

/// Floods both streams, without a final line break, and calls `stty`, which needs a terminal.
const NOISE: &str = "echo 'Welcome, today is a fine day'\necho 'but beware' >&2\nhead -c 300000 /dev/zero | tr '\\0' x\n\
                     stty sane\nprintf 'no line break'\nprintf 'here neither' >&2\n";

/// Requests with and without root: in the shell, and on channels of their own.
fn plan() -> String {
    let mut plan = String::new();
    for (who, as_root) in [("user", false), ("root", true)] {
        let one = |id: &str, rest: &str| step(&format!("{id}-{who}"), &format!("become = {as_root}\n{rest}"));
        let at = format!("/srv/{{{{ name }}}}-{who}");
        plan += &[
            one("facts", &format!("action = \"node.facts\"\nrequire = [\"user == '{}'\"]", if as_root { "root" } else { "{{ name }}" })),
            one("file", &format!("action = \"node.file\"\npath = \"{at}\"\ncontent = \"it's $HOME `x` \\\\n \\\"q\\\" {{{{ name }}}} ä\\n\"")),
            one("large", &format!("action = \"node.file\"\npath = \"{at}-large\"\nsource = \"large\"")),
            one("text", "action = \"node.command\"\ncommand = \"cat; echo to stderr >&2\"\nstdin = \"{{ 'in' * 50000 }}\"\nchanged_when = false"),
            one("said", &format!("action = \"node.command\"\nargv = [\"test\", \"{{{{ steps.text_{who}.stdout | length }}}} {{{{ steps.text_{who}.stderr }}}}\", \"=\", \"100000 to stderr\"]\nchanges = false")),
        ]
        .concat();
    }
    plan
}

#[test]
fn each_login_shell_and_what_it_says_is_borne() {
    let Some(machine) = Machine::new() else { return };
    fs::write(machine.seen("/usr/bin/only-c"), ONLY_C).unwrap();
    machine.sh("chmod 755 /usr/bin/only-c; mkdir -m 1777 -p /srv; chmod 1777 /srv; echo 'A banner of sshd.' >/banner");
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "Banner /banner\nPrintMotd yes\n", &|program| {
        machine.command(program)
    });
    let shells = [
        ("noisy", "/bin/bash"),
        ("plain", "/bin/sh"),
        ("narrow", "/usr/bin/only-c"),
        ("fishy", "/usr/bin/fish"),
        ("tee", "/usr/bin/tcsh"),
        ("sea", "/usr/bin/bsd-csh"),
    ];
    for (name, shell) in shells {
        if !needs::met(machine.seen(shell).exists(), shell, "apt-get install fish tcsh csh") {
            continue;
        }
        machine.add_user(name, shell);
        let home = machine.seen("/home").join(name);
        for profile in [".profile", ".bashrc", ".bash_profile"] {
            fs::write(home.join(profile), NOISE).unwrap();
        }
        let csh = "echo 'Welcome to the sea shell'\nsh -c 'echo beware >&2'\n";
        for profile in [".cshrc", ".tcshrc", ".login"] {
            fs::write(home.join(profile), csh).unwrap();
        }
        fs::create_dir_all(home.join(".config/fish")).unwrap();
        fs::write(home.join(".config/fish/config.fish"), "echo Welcome to fish\necho beware >&2\n").unwrap();
        let project = Project::new(
            &sshd.inventory_with(&format!("user = \"{name}\"\n[hosts.target.vars]\nname = \"{name}\"")),
            &plan(),
        );
        fs::write(project.path("large"), vec![0xfe; 400_000]).unwrap();
        project.runs_twice(&[]);
        for who in ["user", "root"] {
            let text = fs::read_to_string(machine.seen(&format!("/srv/{name}-{who}"))).unwrap();
            assert_eq!(text, format!("it's $HOME `x` \\n \"q\" {name} ä\n"));
            let owner = machine.sh(&format!("stat -c %U /srv/{name}-{who}-large"));
            assert_eq!(owner, if who == "root" { "root" } else { name });
        }
    }
}

#[test]
fn a_login_that_goes_nowhere_is_told() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    machine.add_user("shut", "/usr/sbin/nologin");
    machine.add_user("ends", "/bin/bash");
    fs::write(machine.seen("/home/ends/.bashrc"), "echo 'This host is closed for maintenance'\nexit 3\n").unwrap();
    let plan = step("file", "action = \"node.file\"\npath = \"/tmp/never\"\ncontent = \"x\"");
    for (user, said) in [("shut", "This account is currently not available"), ("ends", "closed for maintenance")] {
        let project = Project::new(&sshd.inventory_with(&format!("user = \"{user}\"")), &plan);
        let ran = project.run(&[]);
        assert_eq!(ran.code, 4, "{}", ran.said);
        ran.tells(
            "file",
            &["the shell on target ended before it answered", said],
            "the user may run commands over ssh",
        );
    }
}

#[test]
fn a_shell_that_cannot_be_used_is_told_at_once() {
    let Some(machine) = Machine::new() else { return };
    let mksh = "SetEnv \"KSH_VERSION=@(#)MIRBSD KSH R59\"\n";
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", mksh, &|program| machine.command(program));
    let plan = step("file", "action = \"node.file\"\npath = \"/tmp/never\"\ncontent = \"x\"");
    let ran = Project::new(&sshd.inventory(), &plan).run(&[]);
    assert_eq!(ran.code, 4, "{}", ran.said);
    let message = &ran.problem("file").message;
    assert!(message.contains("sh is mksh there") && message.contains("let sh be dash, bash or busybox"), "{message}");
}
