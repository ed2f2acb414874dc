//! Unusual paths on a host: files that are mount points, folders that are links.

use std::fs;

use crate::machine::Machine;
use crate::project::{Project, step};
use crate::sshd::Sshd;

/// Machines with coreutils, and machines with busybox only.
fn on_each(check: impl Fn(&Machine, &Sshd)) {
    for settings in ["", "SetEnv PATH=/busybox\n"] {
        let Some(machine) = Machine::new() else { return };
        if !settings.is_empty() {
            machine.sh("mkdir /busybox && busybox --install -s /busybox");
        }
        let sshd = Sshd::with(&machine.shared(), "127.0.0.1", settings, &|program| machine.command(program));
        check(&machine, &sshd);
    }
}

#[test]
fn a_file_that_is_a_mount_point_is_written_in_place() {
    on_each(|machine, sshd| {
        machine.sh(
            "cd /srv && for name in one two; do echo old >$name.outside; touch $name; mount --bind $name.outside $name; done",
        );
        let file = |name: &str, more: &str| {
            step(name, &format!("action = \"node.file\"\npath = \"/srv/{name}\"\ncontent = \"new\\n\"\n{more}"))
        };
        // As part of a batch, and alone.
        let plan = file("plain", "") + &file("one", "mode = \"0640\"\n") + &file("two", "backup = true\n");
        Project::new(&sshd.inventory(), &plan).runs_twice(&[]);
        assert_eq!(machine.sh("cd /srv && cat one.outside two.outside two.*~"), "new\nnew\nold");
        assert_eq!(machine.sh("stat -c %a /srv/one.outside"), "640");
        assert_eq!(
            machine.sh("cd /srv && ls -A | grep -v '~$' | tr '\\n' ' '"),
            "one one.outside plain two two.outside"
        );

        // A file that does not fit on the disk leaves the old content.
        machine.sh("mount -t tmpfs -o size=64k none /mnt && cp /srv/one.outside /mnt/full && touch /srv/full && mount --bind /mnt/full /srv/full");
        let project = Project::new(
            &sshd.inventory(),
            &step("full", "action = \"node.file\"\npath = \"/srv/full\"\nsource = \"large\""),
        );
        fs::write(project.path("large"), vec![b'x'; 200_000]).unwrap();
        let ran = project.run(&[]);
        ran.tells("full", &["cannot write /srv/full", "No space left"], "make room");
        assert_eq!(machine.sh("cat /srv/full"), "new");
    });
}

/// A step that unpacks an archive from /srv into /srv/root.
fn unpacked(name: &str, more: &str) -> String {
    step("unpack", &format!("action = \"node.archive\"\narchive = \"/srv/{name}\"\npath = \"/srv/root\"\n{more}"))
}

#[test]
fn a_folder_of_an_archive_that_is_a_link_on_the_host_stays_one() {
    on_each(|machine, sshd| {
        machine.sh(
            "cd /srv && mkdir -p from/lib/modules from/bin && cd from && echo m >lib/modules/m && echo b >bin/b && \
             chmod 4755 bin/b && echo w >w && chmod 666 w && mkdir shared && chmod 2777 shared && chmod 0700 . lib && \
             ln -s nowhere dangling && tar -czf ../a.tar.gz . && tar -cf ../p.tar . && \
             python3 -c 'import shutil; shutil.make_archive(\"/srv/a\", \"zip\", \"/srv/from\")'",
        );
        for name in ["a.tar.gz", "a.zip"] {
            machine.sh(
                "rm -rf /srv/root /srv/elsewhere; cd /srv && mkdir -p root/usr/lib root/bin elsewhere && chmod 0755 root/usr/lib && \
                 ln -s usr/lib root/lib && echo kept >root/usr/lib/kept && echo old >root/bin/b && echo kept >root/bin/kept",
            );
            Project::new(&sshd.inventory(), &unpacked(name, "")).runs_twice(&[]);
            let seen = "cd /srv/root && readlink lib && cat usr/lib/kept usr/lib/modules/m bin/b bin/kept";
            assert_eq!(machine.sh(seen), "usr/lib\nkept\nm\nb\nkept", "{name}");
            let modes = "cd /srv/root && stat -c %a . usr/lib bin bin/b w | tr '\\n' ' '";
            let odd = machine.sh("cd /srv/root && find . ! -type l \\( -perm /6000 -o -perm -2 \\)");
            assert!(machine.sh(modes).starts_with("755 755 755"), "{name}: {}", machine.sh(modes));
            assert_eq!(odd, "", "{name}");
            assert_eq!(machine.sh("ls -A /srv/root | grep rollout || :"), "", "{name}: something is left");
        }
        machine.sh("rm -rf /srv/root/shared");
        Project::new(&sshd.inventory(), &unpacked("p.tar", "preserve_permissions = true\n")).runs_twice(&[]);
        assert_eq!(machine.sh("cd /srv/root && stat -c %a bin/b w shared | tr '\\n' ' '"), "4755 666 2777");

        // A link that another user created is not followed.
        machine.sh("cd /srv && rm -rf root elsewhere && mkdir root elsewhere && ln -s /srv/elsewhere root/lib && chown -h 2002 root root/lib");
        let ran = Project::new(&sshd.inventory(), &unpacked("a.tar.gz", "")).run(&[]);
        let problem = ran.problem("unpack");
        assert!(problem.message.contains("lib is a link that somebody else may lead elsewhere"), "{problem:?}");
        assert_eq!(machine.sh("ls -A /srv/elsewhere"), "");
    });
}

/// Writes the script library to a file on the machine.
fn library(machine: &Machine) -> &'static str {
    let parts = [
        include_str!("../../src/connect/host/lib.sh"),
        include_str!("../../src/connect/host/place.sh"),
        include_str!("../../src/connect/host/files.sh"),
    ];
    fs::write(machine.seen("/srv/library.sh"), parts.concat()).unwrap();
    "/srv/library.sh"
}

/// A session may end at any moment: here while a script checks whether the folder that it has entered is its own.
#[test]
fn a_script_that_is_hung_up_in_a_new_folder_leaves_none() {
    let Some(machine) = Machine::new() else { return };
    let library = library(&machine);
    machine.sh("mkdir /srv/new");
    let script = format!(
        ". {library}; cd /srv/new; _ro_me=0; _ro_at=$(stat -c %d:%i .); stat() {{ kill -HUP $$; }}; _ro_scratch_here; echo alive"
    );
    for shell in ["sh", "busybox sh"] {
        // A shell cannot catch a signal that was ignored when it started, as under nohup.
        let script = format!("env --default-signal=HUP {shell} -c '{script}'");
        assert!(!machine.holds(&script), "{shell} was not hung up");
        assert_eq!(machine.sh("ls -A /srv/new"), "", "{shell}");
    }
}

/// A user's file that is replaced by another name between the check and the read is not read.
#[test]
fn a_name_in_a_folder_of_somebody_else_leads_to_its_own_file_only() {
    let Some(machine) = Machine::new() else { return };
    let library = library(&machine);
    machine.sh(
        "useradd --create-home mallory && echo secret >/srv/secret && chmod 0600 /srv/secret && mkdir -p /busybox && \
         busybox --install -s /busybox && cd /home/mallory && echo mine >own && ln -s /srv/secret link && \
         ln -s own to-own && ln /srv/secret hard && mkdir folder && chown -hR mallory . && chown root /srv/secret && \
         ln -s /home/mallory /srv/home",
    );
    let read = |path: &str, path_of_programs: &str| {
        let script = format!("PATH={path_of_programs}; . {library}; _ro_head {path} 100 2>&1; true");
        machine.sh(&script)
    };
    for programs in ["$PATH", "/busybox"] {
        assert_eq!(read("/home/mallory/own", programs), "mine");
        assert_eq!(read("/srv/home/own", programs), "mine", "by a link of root's");
        for name in ["link", "to-own"] {
            assert!(read(&format!("/home/mallory/{name}"), programs).contains("somebody replaced it"), "{name}");
        }
        assert!(read("/home/mallory/hard", programs).contains("further names"));
    }
}
