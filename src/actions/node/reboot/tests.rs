use super::super::content::tests::regular;
use super::super::testing::{at, blocked, build, change, file, is_same, perform, ran, refused};
use super::*;
use crate::connect::host::{FileKind, System};

const OLD: &str = "11111111-old";
const NEW: &str = "22222222-new";

/// A host in a boot of some age, with a note and a log, and the answers of guards and check.
fn host(boot: &str, uptime: u64, note: Option<&str>, rest: &[Fact]) -> Vec<Fact> {
    let system = System { boot_id: boot.into(), uptime, user: "root".into(), ..System::default() };
    let mut facts = vec![
        file(Some(regular("00000000-controller\n", 0o444))),
        Fact::Host(host::Fact::System(Box::new(system))),
        file(note.map(|note| regular(note, 0o644))),
        file(None),
    ];
    facts.extend_from_slice(rest);
    facts
}

fn with_log(mut facts: Vec<Fact>, log: &str) -> Vec<Fact> {
    facts[3] = file(Some(regular(log, 0o644)));
    facts
}

fn step(toml: &str) -> Reboot {
    build(toml).unwrap()
}

fn waits(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Wait { seen } => seen.clone(),
        other => panic!("does not wait: {other:?}"),
    }
}

fn resumed(step: &Reboot) -> ActionRef {
    step.resumed().unwrap()
}

/// The script of the first effect.
fn script(step: &dyn Action, facts: &[Fact]) -> String {
    match step.next_effect(facts, &[]).unwrap() {
        Some(Effect::Host(host::Effect::Run(run))) => run.command.to_string(),
        _ => panic!("no script"),
    }
}

fn asks(step: &dyn Action, facts: &[Fact]) -> bool {
    script(step, facts).starts_with("boot=")
}

#[test]
fn guards_tell_whether_a_reboot_is_due() {
    let there = file(Some(at(FileKind::Regular, 0o644)));
    let by_file = step("when_file = '/run/r'");
    assert_eq!(change(&by_file.verdict(&host(OLD, 9, None, std::slice::from_ref(&there)))), ["! reboot"]);
    let none = by_file.verdict(&host(OLD, 9, None, &[file(None)]));
    assert_eq!(none, Verdict::Same { seen: "/run/r is not there".into() });
    let both = step("when_file = '/run/r'\nonly_if = 'x'");
    assert!(is_same(&both.verdict(&host(OLD, 9, None, &[there.clone(), ran(1, "", "")]))));
    assert_eq!(change(&both.verdict(&host(OLD, 9, None, &[there, ran(0, "", "")]))), ["! reboot"]);
    assert_eq!(change(&step("").verdict(&host(OLD, 9, None, &[]))), ["! reboot"], "a handler needs none");
}

#[test]
fn a_host_that_cannot_be_rebooted_is_told_why() {
    let mut facts = host(OLD, 9, None, &[]);
    facts[0] = file(Some(regular(OLD, 0o444)));
    assert!(blocked(&step("").verdict(&facts)).contains("the machine that runs rollout"));
    assert!(blocked(&step("").verdict(&host("", 9, None, &[]))).contains("has no boot id"));
    let mut facts = host(OLD, 9, None, &[]);
    let system = System { boot_id: OLD.into(), uid: 1000, user: "pi".into(), ..System::default() };
    facts[1] = Fact::Host(host::Fact::System(Box::new(system)));
    assert!(blocked(&step("").verdict(&facts)).contains("only root"));
}

#[test]
fn once_asked_it_waits_for_another_boot_and_for_the_check() {
    let first = step("check = 'x'");
    assert_eq!(first.probes().len(), 4, "before it, the check is not asked");
    let before = host(OLD, 100, None, &[]);
    assert!(asks(&first, &before));
    assert!(matches!(first.next_effect(&before, &[EffectResult::Host(host::CommandOutput::new(0, "", ""))]), Ok(None)));
    let sent = first.after_disconnect(&before).unwrap();
    assert_eq!(sent.probes().len(), 5);
    let note = format!("{OLD} 100\n");
    let still = sent.verdict(&host(OLD, 103, Some(&note), &[ran(0, "", "")]));
    assert_eq!(waits(&still), "the reboot was requested 3 s ago, and the host is still up");
    let starting = sent.verdict(&host(NEW, 5, Some(&note), &[ran(1, "starting\n", "")]));
    assert_eq!(waits(&starting), "the host was rebooted; `check`: exit status 1 starting");
    let back = host(NEW, 9, Some(&note), &[ran(0, "", "")]);
    assert_eq!(change(&sent.verdict(&back)), ["! reboot"]);
    assert!(script(&*sent, &back).starts_with("rm -f -- /var/lib/rollout/reboot "));
    assert!(sent.after_disconnect(&back).is_none(), "taking the note away takes no host away");
    assert_eq!(sent.outputs(&back, &[])["boot_id"], NEW);
    // When the note is lost in the reboot, the boot id alone proves the reboot.
    assert_eq!(change(&sent.verdict(&host(NEW, 9, None, &[ran(0, "", "")]))), ["! reboot"]);
}

#[test]
fn what_was_never_asked_for_is_asked_again() {
    let first = step("when_file = '/run/r'");
    let due = [file(Some(at(FileKind::Regular, 0o644)))];
    let sent = first.after_disconnect(&host(OLD, 100, None, &due)).unwrap();
    for note in [None, Some(format!("{OLD} 99"))] {
        let facts = host(OLD, 101, note.as_deref(), &due);
        assert!(matches!(sent.verdict(&facts), Verdict::Change(_)) && asks(&*sent, &facts), "{note:?}");
        assert!(sent.after_disconnect(&facts).is_some());
    }
}

#[test]
fn a_command_that_fails_is_told_but_not_on_the_way_down() {
    let sent = step("delay = '5s'").after_disconnect(&host(OLD, 100, None, &[])).unwrap();
    let note = format!("{OLD} 100");
    let at = |uptime| with_log(host(OLD, uptime, Some(&note), &[]), "sh: 1: rebot: not found\nexit status 127\n");
    assert!(matches!(sent.verdict(&at(110)), Verdict::Wait { .. }));
    assert!(blocked(&sent.verdict(&at(116))).contains("rebot: not found"));
    let says = with_log(host(OLD, 200, Some(&note), &[]), "rebooting\n");
    assert!(matches!(sent.verdict(&says), Verdict::Wait { .. }));
}

#[test]
fn a_run_that_was_cut_off_is_gone_on_from_and_reboots_once() {
    let first = step("when_file = '/run/r'\ncheck = 'x'");
    let due = file(Some(at(FileKind::Regular, 0o644)));
    let note = format!("{OLD} 100");
    let action = resumed(&first);
    // The run was interrupted before it left the note.
    let facts = host(OLD, 101, None, &[due.clone(), ran(0, "", "")]);
    assert!(matches!(action.verdict(&facts), Verdict::Change(_)) && asks(&*action, &facts));
    assert!(is_same(&action.verdict(&host(OLD, 101, None, &[file(None), ran(0, "", "")]))));
    // The host is shutting down; after the grace period, the reboot counts as not begun.
    let facts = |uptime| host(OLD, uptime, Some(&note), &[due.clone(), ran(0, "", "")]);
    assert_eq!(waits(&action.verdict(&facts(161))), "the reboot was requested 61 s ago, and the host is still up");
    assert!(matches!(action.verdict(&facts(162)), Verdict::Change(_)) && asks(&*action, &facts(162)));
    let failed = with_log(facts(112), "exit status 1\n");
    assert!(asks(&*action, &failed), "what ended badly is tried again");
    // The host is back, whatever the guard says.
    let facts = |check| host(NEW, 5, Some(&note), &[file(None), ran(check, "", "")]);
    assert!(matches!(action.verdict(&facts(1)), Verdict::Wait { .. }));
    assert!(matches!(action.verdict(&facts(0)), Verdict::Change(_)) && !asks(&*action, &facts(0)));
}

#[test]
fn an_old_note_does_not_keep_a_new_reboot_from_happening() {
    let facts = host(NEW, 5, Some(&format!("{OLD} 100")), &[]);
    let first = step("");
    assert!(matches!(first.verdict(&facts), Verdict::Change(_)) && asks(&first, &facts));
}

#[test]
fn a_guard_that_holds_after_the_reboot_is_a_failure() {
    let first = step("when_file = '/etc/r'\nonly_if = 'x'");
    let due = |well| [file(Some(at(FileKind::Regular, 0o644))), ran(well, "", "")];
    let sent = first.after_disconnect(&host(OLD, 100, None, &due(0))).unwrap();
    let done = [EffectResult::Host(host::CommandOutput::new(0, "", ""))];
    let problem = sent.next_effect(&host(NEW, 5, None, &due(0)), &done).err().unwrap();
    assert_eq!(problem.message, "the host was rebooted, but `when_file` and `only_if` still hold");
    assert!(matches!(sent.next_effect(&host(NEW, 5, None, &due(1)), &done), Ok(None)));
    let failed = [EffectResult::Host(host::CommandOutput::new(1, "", "rm: no"))];
    assert!(sent.next_effect(&host(NEW, 5, None, &due(1)), &failed).is_err());
}

#[tokio::test]
async fn a_host_that_was_rebooted_meanwhile_is_not_asked() {
    let step = step("command = 'touch /nowhere/at/all'");
    let run = step.request(&step.host_state(&host("another-boot", 9, None, &[])).unwrap());
    let done = perform(&run).await;
    assert_eq!((done.exit, done.stderr.text()), (0, String::new()));
    assert!(!std::fs::exists(NOTE).unwrap());
}

#[test]
fn wrong_parameters_are_refused() {
    let secret = crate::secret::Secret::new("a-secret-of-node-reboot");
    for (toml, parameter) in [
        ("when_file = 'r'".to_owned(), "/when_file"),
        ("command = ''".to_owned(), "/command"),
        ("delay = 'soon'".to_owned(), "delay"),
        ("stage = 'First'".to_owned(), "stage"),
        (format!("message = '{}'", secret.expose()), "/message"),
    ] {
        assert_eq!(refused::<Reboot>(&toml), parameter, "{toml}");
    }
}
