use super::super::testing::{at, blocked, build, change, effects, file, is_same, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;

const LINE: &str = "LABEL=data /data ext4 noatime,nofail 0 2\n";
const ROOT: &str = "22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw\n";

fn step() -> Mount {
    build("path = '/data/'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['noatime', 'nofail']\npass = 2").unwrap()
}

fn sees(fstab: &str, live: &str) -> [Fact; 3] {
    let folder = file(Some(at(FileKind::Directory, 0o755)));
    [file(Some(regular(fstab, 0o644))), folder, ran(0, &format!("/dev/sdb1\n{ROOT}{live}"), "")]
}

fn live(options: &str, source: &str) -> String {
    format!("40 22 8:17 / /data {options} shared:1 - ext4 {source} rw\n")
}

/// The scripts of a change, and the paths of files.
fn acts(step: &Mount, facts: &[Fact]) -> Vec<String> {
    let told = |effect: host::Effect| match effect {
        host::Effect::Run(run) => run.command.to_string(),
        host::Effect::WriteFile(file) => file.path,
        other => panic!("{other:?}"),
    };
    effects(step, facts).into_iter().map(told).collect()
}

#[test]
fn entry_and_mount_must_both_be_there() {
    assert!(is_same(&step().verdict(&sees(LINE, &live("rw,noatime", "/dev/sdb1")))));
    let facts = sees("", "");
    assert_eq!(change(&step().verdict(&facts)).last().unwrap(), "~ /data: not mounted → mounted");
    let acts_now = acts(&step(), &facts);
    assert_eq!((acts_now.len(), acts_now[0].as_str()), (3, FSTAB));
    assert_eq!(acts_now[2], "mkdir -p -- /data && mount -- /data");
    // It was cut off after the entry.
    assert_eq!(acts(&step(), &sees(LINE, "")), acts_now[2..]);
}

#[test]
fn options_that_are_told_are_set_at_once() {
    let facts = sees(LINE, &live("rw,relatime", "/dev/sdb1"));
    assert_eq!(change(&step().verdict(&facts)), ["! mount /data anew with noatime"]);
    assert_eq!(acts(&step(), &facts), ["mount -o remount -- /data"]);
}

#[test]
fn what_is_mounted_there_is_not_taken_for_another() {
    let says = |text: &str| blocked(&step().verdict(&sees(LINE, text)));
    assert!(says(&live("rw,noatime", "/dev/sdc1")).contains("/dev/sdc1 (ext4)"));
    assert!(says("40 22 0:9 / /data rw - tmpfs tmpfs rw\n").contains("tmpfs (tmpfs)"));
    assert!(says("odd").contains("`odd`"));
    let facts = [file(None), file(Some(at(FileKind::Regular, 0o644))), ran(0, &format!("\n{ROOT}"), "")];
    assert!(blocked(&step().verdict(&facts)).contains("is a file"));
}

#[test]
fn it_is_unmounted_with_or_without_its_entry() {
    let facts = sees(LINE, &live("rw", "/dev/sdc1"));
    let step = build::<Mount>("path = '/data'\nstate = 'unmounted'").unwrap();
    assert_eq!(change(&step.verdict(&facts)), ["~ /data: mounted → not mounted"]);
    assert!(is_same(&step.verdict(&sees(LINE, ""))));
    let step = build::<Mount>("path = '/data'\nstate = 'absent'").unwrap();
    assert_eq!(acts(&step, &facts)[1..], [FSTAB, "[ ! -d /run/systemd/system ] || systemctl daemon-reload"]);
    assert!(is_same(&step.verdict(&sees("# none\n", ""))));
}

#[test]
fn an_entry_alone_can_be_wanted() {
    let toml = "path = '/data'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['noatime', 'nofail']\npass = 2";
    let step = build::<Mount>(&format!("{toml}\nstate = 'present'")).unwrap();
    assert!(is_same(&step.verdict(&sees(LINE, ""))));
    assert_eq!(acts(&step, &sees("", "")).len(), 2);
}

#[test]
fn wrong_parameters_are_refused() {
    let good = "path = '/data'\nsource = 'tmpfs'\n";
    for (toml, parameter) in [
        ("path = 'data'".to_owned(), "/path"),
        ("path = '/'\nstate = 'absent'".into(), "/path"),
        ("path = '/data'".into(), "/source"),
        (good.into(), "/fstype"),
        (format!("{good}fstype = 'swap'"), "/fstype"),
        (format!("{good}fstype = 'tmpfs'\noptions = ['a,b']"), "/options/0"),
        (format!("{good}fstype = 'tmpfs'\npass = 3"), "/pass"),
        (format!("{good}state = 'absent'"), "/state"),
    ] {
        assert_eq!(refused::<Mount>(&toml), parameter, "{toml}");
    }
}
