//! Full disks on a host: each change fails with a reason and a hint, leaves the old state, and succeeds once there is
//! space.

use std::fs;

use crate::machine::Machine;
use crate::project::{Project, step};
use crate::sshd::Sshd;

/// Steps that need space below /full.
fn steps() -> String {
    let alone = |id: &str, rest: &str| step(id, &format!("needs = []\n{rest}"));
    [
        ("small", "action = \"node.file\"\npath = \"/full/small\"\ncontent = \"small\\n\""),
        ("large", "action = \"node.file\"\npath = \"/full/large\"\nsource = \"large\""),
        ("kept", "action = \"node.file\"\npath = \"/full/kept\"\ncontent = \"new\\n\"\nbackup = true"),
        ("line", "action = \"node.line\"\npath = \"/full/kept-too\"\nline = \"new\""),
        ("tree", "action = \"node.copy_tree\"\npath = \"/full/tree\"\nsource = \"tree\""),
    ]
    .map(|(id, rest)| alone(id, rest))
    .concat()
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let project = Project::new(&sshd.inventory(), &steps());
    fs::write(project.path("large"), vec![0xff; 2 << 20]).unwrap();
    fs::create_dir(project.path("tree")).unwrap();
    fs::write(project.path("tree/leaf"), "leaf\n".repeat(2000)).unwrap();
    let old = "old\n".repeat(2000);
    machine.sh("mkdir /full && mount -t tmpfs -o size=1m none /full && mkdir /full/tree");
    for name in ["kept", "kept-too"] {
        fs::write(machine.seen("/full").join(name), &old).unwrap();
    }
    machine.sh("head -c 2M /dev/zero >/full/filler 2>/dev/null; true");
    let listed = || machine.sh("find /full | sort");
    let before = listed();

    let ran = project.run(&[]);
    assert_eq!((ran.code, ran.ended("failed").len()), (1, 5), "{}", ran.said);
    for (id, path) in [("small", "/full/small"), ("large", "/full/large"), ("kept", "/full/kept"), ("line", "kept-too")]
    {
        ran.tells(
            id,
            &[&format!("cannot write {}", path.replace("kept-too", "/full/kept-too")), "No space left on device"],
            "make room",
        );
    }
    ran.tells("tree", &["cannot bring tree to /full/tree", "No space left on device"], "is the disk full");
    assert_eq!(listed(), before);
    assert!(fs::read_to_string(machine.seen("/full/kept")).unwrap() == old);
    assert!(fs::read_to_string(machine.seen("/full/kept-too")).unwrap() == old);

    machine.sh("mount -o remount,size=16m /full");
    project.runs_twice(&[]);
    assert_eq!(machine.sh("cat /full/small /full/kept; tail -n 1 /full/kept-too"), "small\nnew\nnew");
    assert_eq!(fs::metadata(machine.seen("/full/large")).unwrap().len(), 2 << 20);
}

#[test]
fn a_disk_without_a_free_inode_and_one_that_is_read_only_are_told() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let plan = [
        ("folder", "action = \"node.directory\"\npath = \"/none/folder\""),
        ("link", "action = \"node.file\"\npath = \"/none/link\"\nstate = \"link\"\ntarget = \"x\""),
        ("file", "action = \"node.file\"\npath = \"/ro/file\"\ncontent = \"\""),
    ];
    let plan = plan.map(|(id, rest)| step(id, &format!("needs = []\n{rest}"))).concat();
    let project = Project::new(&sshd.inventory(), &plan);
    machine.sh("mkdir /none /ro && mount -t tmpfs -o nr_inodes=1 none /none && mount -t tmpfs -o ro none /ro");
    let ran = project.run(&[]);
    assert_eq!((ran.code, ran.ended("failed").len()), (1, 3), "{}", ran.said);
    ran.tells("folder", &["cannot make the directory /none/folder", "No space left on device"], "df -i");
    ran.tells("link", &["cannot make the link /none/link", "No space left on device"], "df -i");
    ran.tells("file", &["cannot write /ro/file", "Read-only file system"], "mounted read-only");
}
