use super::super::systemd::tests::unit;
use super::super::testing::{blocked, build, change, file, is_same, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;
use crate::connect::host::{Command, Run};

/// The effects of a change: the first line of scripts, the path of files.
fn effects(step: &Service, facts: &[Fact]) -> Vec<String> {
    let summary = |effect: host::Effect| match effect {
        host::Effect::Run(Run { command: Command::Shell(script), .. }) => {
            script.lines().next().unwrap_or_default().to_owned()
        }
        host::Effect::WriteFile(file) => file.path,
        other => panic!("{other:?}"),
    };
    super::super::testing::effects(step, facts).into_iter().map(summary).collect()
}

#[test]
fn a_unit_is_started_and_enabled_only_when_it_is_not() {
    let step = build::<Service>("name = 'k3s'\nstate = 'started'\nenabled = true").unwrap();
    assert!(is_same(&step.verdict(&[unit("loaded", "active", "running", "enabled")])));
    let facts = [unit("loaded", "inactive", "dead", "disabled")];
    assert_eq!(change(&step.verdict(&facts)), ["~ enabled: disabled → enabled", "~ state: inactive (dead) → started"]);
    assert_eq!(effects(&step, &facts), ["systemctl enable -- k3s.service", "verb=start unit=k3s.service"]);
    let step = build::<Service>("name = 'a.timer'\nstate = 'stopped'\nenabled = false").unwrap();
    assert!(is_same(&step.verdict(&[unit("loaded", "failed", "failed", "static")])));
    assert!(is_same(&step.verdict(&[unit("not-found", "inactive", "dead", "")])));
    let facts = [unit("loaded", "active", "waiting", "enabled")];
    assert_eq!(effects(&step, &facts), ["systemctl disable -- a.timer", "verb=stop unit=a.timer"]);
}

#[test]
fn a_unit_on_its_way_is_waited_for() {
    let step = build::<Service>("name = 'k3s'\nstate = 'started'").unwrap();
    let seen = "k3s.service is activating (auto-restart)".to_owned();
    let facts = [unit("loaded", "activating", "auto-restart", "enabled")];
    assert_eq!(step.verdict(&facts), Verdict::Wait { seen });
}

#[test]
fn what_cannot_be_is_blocked_with_the_reason() {
    let step = build::<Service>("name = 'x'\nenabled = true").unwrap();
    let says = |fact: Fact| blocked(&step.verdict(&[fact]));
    assert!(says(unit("not-found", "inactive", "dead", "")).contains("knows no unit x.service"));
    assert!(says(unit("masked", "inactive", "dead", "masked")).contains("is masked"));
    assert!(says(unit("loaded", "active", "running", "static")).contains("its file is static"));
    let none = ran(127, "", "there is no systemctl\n");
    assert!(says(none).contains("there is no systemctl"));
    assert!(says(ran(0, "LoadState=loaded", "")).contains("ActiveState"));
}

#[test]
fn a_mask_is_set_and_taken_off() {
    let step = build::<Service>("name = 'x'\nmasked = false\nstate = 'started'").unwrap();
    let facts = [unit("masked", "inactive", "dead", "masked")];
    assert_eq!(effects(&step, &facts), ["systemctl unmask -- x.service", "verb=start unit=x.service"]);
    let step = build::<Service>("name = 'x'\nmasked = true").unwrap();
    assert_eq!(change(&step.verdict(&[unit("not-found", "inactive", "dead", "")])), ["~ masked: no → yes"]);
}

#[test]
fn a_unit_file_is_written_and_read_before_the_unit_starts() {
    let text = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n";
    let step = build::<Service>(&format!("name = 'x'\nunit = \"\"\"{text}\"\"\"\nenabled = true")).unwrap();
    let facts = [unit("not-found", "inactive", "dead", ""), file(None), ran(0, "", "")];
    let wanted = ["/etc/systemd/system/x.service", "systemctl daemon-reload", "systemctl enable -- x.service"];
    assert_eq!(effects(&step, &facts), wanted);
    let there = file(Some(regular(text, 0o644)));
    assert!(is_same(&step.verdict(&[unit("loaded", "inactive", "dead", "enabled"), there.clone(), ran(0, "", "")])));
    // The run was interrupted before systemd reloaded the file.
    let facts = [unit("not-found", "inactive", "dead", ""), there, ran(0, "", "")];
    assert_eq!(effects(&step, &facts), wanted[1..]);
}

#[test]
fn a_unit_is_enabled_anew_when_it_is_enabled_by_something_else() {
    let text = |by: &str| format!("[Service]\nExecStart=/bin/x\n[Install]\nWantedBy={by}\n");
    let step =
        build::<Service>(&format!("name = 'x'\nenabled = true\nunit = \"\"\"{}\"\"\"", text("b.target"))).unwrap();
    let sees = |by: &str, missing: &str| {
        let there = file(Some(regular(&text(by), 0o644)));
        [unit("loaded", "active", "running", "enabled"), there, ran(0, missing, "")]
    };
    let link = "/etc/systemd/system/b.target.wants/x.service\n";
    let facts = sees("a.target", link);
    assert_eq!(change(&step.verdict(&facts)).last().unwrap(), "~ enabled by: WantedBy=a.target → WantedBy=b.target");
    let wanted = ["/etc/systemd/system/x.service", "systemctl daemon-reload", "systemctl reenable -- x.service"];
    assert_eq!(effects(&step, &facts), wanted);
    assert_eq!(
        effects(&step, &sees("b.target", link)),
        wanted[2..],
        "it was cut off in between, or somebody disabled it"
    );
    assert!(is_same(&step.verdict(&sees("b.target", ""))));
}

#[test]
fn states_of_this_boot_are_not_taken_for_those_of_each() {
    let acts = |toml: &str, enabled: &str| {
        let load = if enabled.starts_with("masked") { "masked" } else { "loaded" };
        effects(&build::<Service>(&format!("name = 'x'\n{toml}")).unwrap(), &[unit(load, "inactive", "dead", enabled)])
    };
    assert_eq!(acts("enabled = true", "enabled-runtime"), ["systemctl enable -- x.service"]);
    assert_eq!(acts("enabled = true", "linked"), ["systemctl enable -- x.service"]);
    assert_eq!(acts("enabled = false", "enabled-runtime"), ["systemctl disable --runtime -- x.service"]);
    assert_eq!(acts("masked = true", "masked-runtime"), ["systemctl mask -- x.service"]);
    assert_eq!(acts("masked = false", "masked-runtime"), ["systemctl unmask --runtime -- x.service"]);
}

#[test]
fn another_name_is_not_disabled_but_the_unit() {
    let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", "active", "running", "enabled") else { panic!() };
    done.stdout.tail.extend(b"Id=ssh.service\n");
    let step = build::<Service>("name = 'sshd'\nenabled = false").unwrap();
    assert_eq!(effects(&step, &[Fact::Host(host::Fact::Run(done))]), ["systemctl disable -- ssh.service"]);
}

#[test]
fn afterwards_a_unit_runs_or_has_done_its_work() {
    let after = |toml: &str, active: &str, kind: &str| {
        let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", active, "x", "enabled") else { panic!() };
        done.stdout.tail.extend(format!("Type={kind}\n").into_bytes());
        build::<Service>(&format!("name = 'x'\n{toml}")).unwrap().verdict_after(&[Fact::Host(host::Fact::Run(done))])
    };
    for state in ["started", "restarted", "reloaded"] {
        let toml = format!("state = '{state}'\ndaemon_reload = true");
        assert!(is_same(&after(&toml, "active", "simple")) && is_same(&after(&toml, "inactive", "oneshot")), "{state}");
        assert!(matches!(after(&toml, "activating", "notify"), Verdict::Wait { .. }), "{state}");
        assert_eq!(change(&after(&toml, "failed", "simple")), ["~ state: failed (x) → started"], "{state}");
    }
    assert!(is_same(&after("state = 'stopped'", "inactive", "oneshot")));
    assert!(!is_same(&after("state = 'stopped'", "active", "simple")));
}

#[test]
fn files_that_changed_beside_are_read_first() {
    let step = build::<Service>("name = 'x'\nstate = 'started'").unwrap();
    let Fact::Host(host::Fact::Run(mut done)) = unit("loaded", "active", "running", "enabled") else { panic!() };
    done.stdout.tail = done.stdout.text().replace("NeedDaemonReload=no", "NeedDaemonReload=yes").into_bytes();
    assert_eq!(effects(&step, &[Fact::Host(host::Fact::Run(done))]), ["systemctl daemon-reload"]);
}

#[test]
fn handlers_always_act_and_may_act_twice() {
    let facts = [unit("loaded", "active", "running", "enabled")];
    for (state, effect) in [("restarted", "verb=restart"), ("reloaded", "verb=reload")] {
        let step = build::<Service>(&format!("name = 'x'\nstate = '{state}'")).unwrap();
        assert_eq!(effects(&step, &facts), [format!("{effect} unit=x.service")]);
        assert_eq!(step.on_interrupt(), Some(OnInterrupt::Rerun));
    }
    let step = build::<Service>("name = 'x'\nstate = 'reloaded'").unwrap();
    let stopped = [unit("loaded", "inactive", "dead", "enabled")];
    assert_eq!(effects(&step, &stopped), ["verb=start unit=x.service"]);
    let step = build::<Service>("daemon_reload = true").unwrap();
    assert_eq!(change(&step.verdict(&[])), ["! make systemd reload all unit files"]);
    assert_eq!(build::<Service>("name = 'x'\nstate = 'started'").unwrap().on_interrupt(), None);
}

#[test]
fn wrong_parameters_are_refused() {
    for (toml, parameter) in [
        ("", "/name"),
        ("daemon_reload = true\nenabled = true", "/name"),
        ("name = 'a b'\nenabled = true", "/name"),
        ("name = '-x'\nenabled = true", "/name"),
        ("name = 'x'", "/state"),
        ("name = 'x'\nmasked = true\nstate = 'started'", "/masked"),
        ("name = 'x'\nunit = \"[Service]\\n\"\nenabled = true", "/unit"),
        ("name = 'x'\nunit = '[Service]'", "/unit"),
    ] {
        assert_eq!(refused::<Service>(toml), parameter, "{toml}");
    }
}
