use super::super::testing::{blocked, build, change, effects, file, is_same, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;

const LINE: &str = "LABEL=data /data ext4 noatime,nofail 0 2\n";
const ROOT: &str = "22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw\n";

fn step() -> Mount {
    build("path = '/data/'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['noatime', 'nofail']\npass = 2").unwrap()
}

fn sees(fstab: &str, live: &str) -> [Fact; 2] {
    finds(fstab, "/data\ndirectory\n/dev/sdb1\n8:11\nother\nentry /data /data\n", live)
}

/// The answers to the probes: fstab, and the output of `probe.sh` from its parts.
fn finds(fstab: &str, head: &str, live: &str) -> [Fact; 2] {
    [file(Some(regular(fstab, 0o644))), ran(0, &format!("{head}mounts\n{ROOT}{live}"), "")]
}

fn live(options: &str, source: &str) -> String {
    format!("40 22 8:17 / /data {options} shared:1 - ext4 {source} rw\n")
}

/// The scripts of a change, and the paths of files.
fn acts(step: &Mount, facts: &[Fact]) -> Vec<String> {
    let summary = |effect: host::Effect| match effect {
        host::Effect::Run(run) => run.command.to_string(),
        host::Effect::WriteFile(file) => file.path,
        other => panic!("{other:?}"),
    };
    effects(step, facts).into_iter().map(summary).collect()
}

#[test]
fn entry_and_mount_must_both_be_there() {
    assert!(is_same(&step().verdict(&sees(LINE, &live("rw,noatime", "/dev/sdb1")))));
    let facts = sees("", "");
    assert_eq!(change(&step().verdict(&facts)).last().unwrap(), "~ /data: not mounted → mounted");
    let acts_now = acts(&step(), &facts);
    assert_eq!((acts_now.len(), acts_now[0].as_str()), (3, FSTAB));
    assert_eq!(acts_now[2], "_ro_directory /data '' '' && mount -- /data");
    // The run was interrupted after the entry was written.
    assert_eq!(acts(&step(), &sees(LINE, "")), acts_now[2..]);
}

#[test]
fn options_that_are_told_are_set_at_once() {
    let facts = sees(LINE, &live("rw,relatime", "/dev/sdb1"));
    assert_eq!(change(&step().verdict(&facts)), ["! remount /data with noatime"]);
    assert_eq!(acts(&step(), &facts), ["mount -o remount -- /data"]);
}

#[test]
fn what_is_mounted_there_is_not_taken_for_another() {
    let says = |text: &str| blocked(&step().verdict(&sees(LINE, text)));
    assert!(says(&live("rw,noatime", "/dev/sdc1").replace("8:17", "8:33")).contains("/dev/sdc1 (ext4)"));
    assert!(says("40 22 0:9 / /data rw - tmpfs tmpfs rw\n").contains("tmpfs (tmpfs)"));
    assert!(says("odd").contains("`odd`"));
    assert!(blocked(&step().verdict(&finds("", "/data\nother\n\n\nother\n", ""))).contains("is not a directory"));
    // A device may have several names; its number identifies it.
    let head = "/data\ndirectory\n/dev/dm-0\nfd:0\nother\ndevice /dev/mapper/v /dev/dm-0\nentry /data /data\n";
    let with = |live: &str| finds(LINE, head, live);
    for same in [
        "40 22 0:9 / /data rw,noatime - ext4 /dev/mapper/v rw\n",
        "40 22 253:0 / /data rw,noatime - ext4 /dev/root rw\n",
    ] {
        assert!(is_same(&step().verdict(&with(same))), "{same}");
    }
    let step = build::<Mount>("path = '/data'\nsource = 'nas:/b/'\nfstype = 'nfs'").unwrap();
    let nfs = |export: &str| format!("40 22 0:50 / /data rw - nfs4 nas:{export} rw\n");
    let facts = |export: &str| {
        finds("nas:/b/ /data nfs defaults 0 0\n", "/data\ndirectory\n\n\nother\nentry /data /data\n", &nfs(export))
    };
    assert!(is_same(&step.verdict(&facts("/b"))) && blocked(&step.verdict(&facts("/a"))).contains("nas:/a"));
}

#[test]
fn a_place_is_known_by_any_of_its_names() {
    let step =
        build::<Mount>("path = '/var/run/s'\nsource = 'tmpfs'\nfstype = 'tmpfs'\noptions = ['size=1m', 'nosuid']")
            .unwrap();
    let head = "/run/s\ndirectory\n\n\nother\nentry /run/s/ /run/s\n";
    let live = "40 22 0:35 / /run/s rw,nosuid - tmpfs tmpfs rw,size=1024k\n";
    let line = "tmpfs /run/s/ tmpfs nosuid,size=1m 0 0\n";
    assert!(is_same(&step.verdict(&finds(line, head, live))));
    let gone = build::<Mount>("path = '/var/run/s'\nstate = 'absent'").unwrap();
    let acts = acts(&gone, &finds(line, head, live));
    assert!(
        acts[0].contains("grep -qxF -- /run/s") && acts[0].contains("umount -- /run/s") && acts[1] == FSTAB,
        "{acts:?}"
    );
}

#[test]
fn options_of_the_entry_that_cannot_be_told_are_set_with_it() {
    let step = build::<Mount>("path = '/data'\nsource = 'tmpfs'\nfstype = 'tmpfs'\noptions = ['size=2m']").unwrap();
    let live = "40 22 0:35 / /data rw - tmpfs tmpfs rw,size=1024k\n";
    let head = "/data\ndirectory\n\n\nother\nentry /data /data\n";
    let facts = finds("tmpfs /data tmpfs size=1m 0 0\n", head, live);
    assert_eq!(acts(&step, &facts)[2], "mount -o remount -- /data");
    let facts = finds("tmpfs /data tmpfs size=2m,nofail,x-y 0 0\n", head, live);
    assert_eq!(acts(&step, &facts).len(), 2, "programs alone read the others");
}

#[test]
fn a_bind_is_known_by_its_folder() {
    let step = build::<Mount>("path = '/data'\nsource = '/srv'\nfstype = 'none'\noptions = ['bind']").unwrap();
    let facts = |same: &str| {
        let live = "40 22 8:2 /srv /data rw - ext4 /dev/sda2 rw\n";
        finds("/srv /data none bind 0 0\n", &format!("/data\ndirectory\n\n\n{same}\nentry /data /data\n"), live)
    };
    assert!(is_same(&step.verdict(&facts("same"))));
    assert!(blocked(&step.verdict(&facts("other"))).contains("is not /srv"));
}

#[test]
fn what_is_mounted_on_demand_is_mounted() {
    let toml = "path = '/data'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['x-systemd.automount']";
    let step = build::<Mount>(toml).unwrap();
    let autofs = "40 22 0:9 / /data rw - autofs systemd-1 rw\n";
    assert!(is_same(&step.verdict(&sees("LABEL=data /data ext4 x-systemd.automount 0 0\n", autofs))));
    assert_eq!(acts(&build::<Mount>("path = '/data'\nstate = 'unmounted'").unwrap(), &sees("", autofs)).len(), 1);
}

#[test]
fn a_mount_that_passes_over_its_device_has_not_mounted() {
    let after = blocked(&step().verdict_after(&sees(LINE, "")));
    assert!(step().is_verified() && after.contains("nothing is mounted at /data"), "{after}");
    assert!(is_same(&step().verdict_after(&sees(LINE, &live("rw,noatime", "/dev/sdb1")))));
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
