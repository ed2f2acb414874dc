//! Large files and long outputs need no more memory than small ones.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::machine::Machine;
use crate::project::{Project, Ran, step};
use crate::sshd::Sshd;

/// Memory that a run may use beyond an idle run, in KiB.
const ROOM: u64 = 64 * 1024;

const PATIENCE: Duration = Duration::from_secs(600);

fn run(project: &Project) -> Ran {
    let ran = project.start(|program| Command::new(program), &["--fresh"]).end(PATIENCE);
    assert_eq!(ran.code, 0, "{}", ran.failures());
    ran
}

/// Writes this many MiB, no two of which are equal, to the file `source`.
fn fill(project: &Project, mebibytes: u32) {
    let mut file = File::create(project.path("source")).unwrap();
    for number in 0..mebibytes {
        let piece: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(1 << 20).collect();
        file.write_all(&piece).unwrap();
    }
}

#[test]
fn a_large_file_takes_no_memory() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let file = "action = \"node.file\"\npath = \"/large/file\"\nsource = \"source\"\ntimeout = \"10m\"";
    let project = Project::new(&sshd.inventory(), &step("file", file));
    // A separate disk, since a copy-on-write view would count the data twice.
    machine.sh("mkdir /large && mount -t tmpfs -o size=3g none /large");
    fs::write(project.path("source"), "tiny").unwrap();
    let idle = run(&project).peak;
    let mebibytes = if crate::needs::time() { 1024 } else { 128 };
    fill(&project, mebibytes);
    let first = run(&project);
    assert_eq!(first.outcomes()["file"], "changed");
    let second = run(&project);
    assert_eq!(second.outcomes()["file"], "same");
    let sum = |path: &std::path::Path| {
        let output = Command::new("sha256sum").arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(sum(&machine.seen("/large/file")), sum(&project.path("source")));
    println!(
        "{mebibytes} MiB: idle {idle} KiB, first {} KiB in {:?}, second {} KiB in {:?}",
        first.peak, first.took, second.peak, second.took
    );
    for ran in [first, second] {
        assert!(ran.peak > 0 && ran.peak < idle + ROOM, "{} KiB, idle {idle} KiB", ran.peak);
    }
}

#[test]
fn a_long_output_takes_no_memory_and_its_two_ends_are_kept() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let plan = |count: u64| {
        let command = format!(
            "action = \"node.command\"\ncommand = \"echo first; seq {count}; echo last >&2; seq {count} >&2\"\ntimeout = \"10m\""
        );
        let look =
            "action = \"node.command\"\ncommand = \"grep -c . >/lines; true\"\nstdin = \"{{ steps.long.stdout }}\"";
        format!("{}{}", step("long", &command), step("look", look))
    };
    let project = Project::new(&sshd.inventory(), &plan(10));
    let idle = run(&project).peak;
    assert_eq!(machine.sh("cat /lines"), "11");
    // 100 MiB in total, half of it on each stream.
    project.write(&plan(6_900_000));
    let ran = run(&project);
    println!("idle {idle} KiB, long output {} KiB in {:?}", ran.peak, ran.took);
    assert!(ran.peak > 0 && ran.peak < idle + ROOM, "{} KiB, idle {idle} KiB", ran.peak);
    let stdout = ran.output("long", "stdout");
    assert!(stdout.starts_with("first\n1\n2\n") && stdout.ends_with("\n6899999\n6900000"), "{:.80}", stdout);
    assert!(stdout.contains(" bytes are left out here …]\n") && stdout.len() < 2 << 20, "{}", stdout.len());
    let lines: usize = machine.sh("cat /lines").parse().unwrap();
    assert!((100_000..300_000).contains(&lines), "{lines}");
}

#[test]
fn a_folder_that_is_too_large_to_be_copied_is_told_before_anything_is_done() {
    let Some(machine) = Machine::new() else { return };
    let sshd = Sshd::with(&machine.shared(), "127.0.0.1", "", &|program| machine.command(program));
    let tree = step("tree", "action = \"node.copy_tree\"\npath = \"/tree\"\nsource = \"tree\"");
    let project = Project::new(&sshd.inventory(), &tree);
    fs::create_dir(project.path("tree")).unwrap();
    File::create(project.path("tree/large")).unwrap().set_len(17 << 20).unwrap();
    let ran = project.run(&[]);
    assert_eq!(ran.code, 2, "{}", ran.said);
    for word in ["16 MiB", "node.file", "node.archive"] {
        assert!(ran.said.contains(word), "no {word}: {}", ran.said);
    }
}
