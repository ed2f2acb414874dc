use super::super::testing::{blocked, build, change, effects, file, is_same, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;

fn step() -> BootConfig {
    build("cmdline = ['cgroup_enable=memory']\ncmdline_absent = ['quiet']\nconfig = ['arm_64bit=1']").unwrap()
}

/// A Pi with its files in /boot/firmware, whose kernel runs with these flags and was booted at time 1000.
fn sees(cmdline: &str, config: &str, changed: u32, flags: &str) -> [Fact; 5] {
    let text = |text: &str| file(Some(regular(text, 0o755)));
    [text(cmdline), text(config), file(None), file(None), ran(0, &format!("1000\n{changed}\n{flags}\n"), "")]
}

fn owed(facts: &[Fact], done: usize) -> bool {
    let done = vec![EffectResult::Host(host::CommandOutput::new(0, "", "")); done];
    step().outputs(facts, &done)["reboot_needed"] == true
}

#[test]
fn both_files_are_edited_and_a_reboot_is_owed_until_it_happened() {
    let facts = sees("rootwait quiet\n", "a=1\n", 10, "rootwait quiet");
    let lines = change(&step().verdict(&facts));
    assert!(lines.contains(&"+rootwait cgroup_enable=memory".to_owned()) && lines.contains(&"+arm_64bit=1".to_owned()));
    let effects = effects(&step(), &facts);
    let [host::Effect::WriteFile(cmdline), host::Effect::WriteFile(config)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(cmdline.path, "/boot/firmware/cmdline.txt");
    assert_eq!(config.content.as_slice(), b"a=1\narm_64bit=1\n");
    assert!(owed(&facts, 2));
    let line = "rootwait cgroup_enable=memory\n";
    for (changed, flags, needed) in [
        (2000, "rootwait quiet", true),
        (2000, "rootwait cgroup_enable=memory", true),
        (900, "rootwait", true),
        (900, "x=1 rootwait cgroup_enable=memory", false),
    ] {
        let facts = sees(line, "arm_64bit=1\n", changed, flags);
        assert!(is_same(&step().verdict(&facts)));
        assert_eq!(owed(&facts, 0), needed, "{changed} {flags}");
    }
}

#[test]
fn the_old_place_is_found_too() {
    let step = build::<BootConfig>("cmdline = ['a']").unwrap();
    let old = file(Some(regular("a\n", 0o755)));
    let facts = [file(None), file(None), old, file(None), ran(0, "1000\n\na\n", "")];
    assert!(is_same(&step.verdict(&facts)));
    let facts = [file(None), file(None), file(None), file(None), ran(0, "1000\n\na\n", "")];
    assert!(blocked(&step.verdict(&facts)).contains("no cmdline.txt in /boot/firmware or /boot"));
}

#[test]
fn a_second_line_blocks() {
    let facts = sees("rootwait\nquiet\n", "arm_64bit=1\n", 0, "");
    assert!(blocked(&step().verdict(&facts)).contains("`quiet`"));
}

#[test]
fn wrong_parameters_are_refused() {
    for (toml, parameter) in [
        ("", "/cmdline"),
        ("cmdline = ['a b']", "/cmdline/0"),
        ("cmdline = ['a', 'b=*']", "/cmdline/1"),
        ("cmdline = ['a']\ncmdline_absent = ['a']", "/cmdline/0"),
        ("config = ['[all]']", "/config/0"),
        ("config = ['a']", "/config/0"),
        ("config = ['a=1']\nsection = '[pi5]'", "/section"),
        ("config = ['a=1']\nfolder = 'boot'", "/folder"),
    ] {
        assert_eq!(refused::<BootConfig>(toml), parameter, "{toml}");
    }
}
