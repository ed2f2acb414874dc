//! Plans with the real actions, passed through `rollout check` and the rules for guards.

use std::path::Path;

use serde_json::Map;

use super::Registry;
use crate::finding::Style;
use crate::inventory::Inventory;
use crate::plan::{Plan, check};

const STYLE: Style = Style { color: false, unicode: true, width: 100 };

const INVENTORY: &str = "[hosts.pi-1]\n[hosts.pi-2]\n[groups.pis]\nhosts = [\"pi-*\"]\n";

fn parse(text: &str) -> Plan {
    Plan::parse(Path::new("plans/a.toml"), &format!("[plan]\nname = \"demo\"\n{text}")).unwrap()
}

/// The findings on a plan, as text.
fn findings(text: &str) -> String {
    let plan = parse(text);
    let inventory = Inventory::parse(Path::new("inventory/lab.toml"), INVENTORY).unwrap();
    check(&plan, &inventory, &Registry::standard(), &Map::new()).text(STYLE)
}

#[test]
fn what_cannot_be_kept_needs_a_command_that_undoes_it() {
    let step = "[[phase.a.step]]\nid = \"a\"\naction = \"node.command\"\nhosts = \"pis\"\ncommand = \"true\"\nguard = \"2m\"\n";
    let text = findings(step);
    assert!(text.contains("× step `a` has no `guard_restore`, and what node.command changes cannot be kept"), "{text}");
    assert!(text.contains("the command that undoes it on the host"), "{text}");
    assert_eq!(findings(&format!("{step}guard_restore = \"false\"\n")), "");
    let text = findings(&format!("{step}changes = false\n"));
    assert!(text.contains("× `guard` has no effect on step `a`: node.command only looks"), "{text}");
}

#[test]
fn a_guarded_phase_says_what_it_cannot_hold() {
    let phase = r#"
[phase.network]
guard = "2m"
guard_apply = "networkctl reload"
[[phase.network.step]]
id = "address"
action = "node.line"
hosts = "pis"
path = "/etc/network/interfaces"
line = "auto eth0"
[[phase.network.step]]
id = "look"
action = "node.command"
hosts = "pis"
command = "ip addr"
changes = false
[[phase.network.step]]
id = "route"
action = "node.command"
hosts = "pis"
command = "ip route add default via 10.0.0.254"
"#;
    insta::assert_snapshot!(findings(phase), @r#"
     × the guard of phase `network` cannot hold step `route`
      ╭─[plans/a.toml:5:1]
    4 │ [phase.network]
    5 │ guard = "2m"
      · ──┬──
      ·   ╰── has no `guard_restore`
    6 │ guard_apply = "networkctl reload"
      ╰────
       ╭─[plans/a.toml:20:6]
    19 │ [[phase.network.step]]
    20 │ id = "route"
       ·      ───┬───
       ·         ╰── what node.command changes cannot be kept
    21 │ action = "node.command"
       ╰────
     help: give the step `guard` and `guard_restore`, the command that undoes it on the host, or
           `guard = false` if it cannot cut the connection
    "#);
    assert_eq!(findings(&format!("{phase}guard = false\n")), "");
    assert_eq!(findings(&format!("{phase}guard = \"1m\"\nguard_restore = \"ip route del default\"\n")), "");
    assert_eq!(findings(&phase.replace("guard_apply", "guard_restore")), "");
}

#[test]
fn a_guard_is_handed_down_to_what_it_can_hold() {
    let file = "action = \"node.file\"\nhosts = \"all\"\npath = \"/x\"\ncontent = \"x\"";
    let command = "action = \"node.command\"\nhosts = \"all\"\ncommand = \"true\"";
    let step = |id: &str, keys: &str| format!("[[phase.p.step]]\nid = \"{id}\"\n{keys}\n");
    let rest = [
        step("file", file),
        step("own", &format!("{file}\nguard = \"5s\"")),
        step("off", &format!("{file}\nguard = false")),
        step("once", &format!("{file}\nrun_once = true")),
        step("command", command),
        step("check", &format!("{command}\nchanges = false")),
        step("facts", "action = \"node.facts\"\nhosts = \"all\""),
        step("cluster", "action = \"kube.apply\"\nmanifest = \"x\""),
        step("handler", file).replace("phase.p.step", "phase.p.handler"),
        step("undo", command).replace("phase.p.step", "phase.p.on_failure"),
        step("elsewhere", file).replace("phase.p", "phase.other"),
    ];
    let mut plan = parse(&format!("[phase.p]\nguard = \"1m\"\nguard_apply = \"reload\"\n{}", rest.concat()));
    plan.apply_phase_guards(&Registry::standard());
    let steps = plan.phases.iter().flat_map(|phase| &phase.steps);
    let guarded = steps.filter_map(|step| Some((step.id.value.as_str(), step.guard.as_ref()?)));
    let guarded: Vec<_> = guarded.map(|(id, guard)| (id, guard.time.value.as_secs(), guard.apply.is_some())).collect();
    assert_eq!(guarded, [("file", 60, true), ("own", 5, false), ("once", 60, true), ("command", 60, true)]);
}

#[test]
fn a_secret_is_refused_where_others_would_see_it() {
    let text = r#"
[vars]
login = "me:{{ secrets.token }}"
[secrets]
token = { env = "TOKEN" }
[phase.p]
[[phase.p.step]]
id = "seen"
action = "node.command"
hosts = "all"
command = "login {{ login }}"
[[phase.p.step]]
id = "unseen"
action = "node.command"
hosts = "all"
command = "login"
stdin = "{{ login }}"
"#;
    insta::assert_snapshot!(findings(text), @r#"
     × `command`: it contains a secret, which other users of the host could see: pass it by `stdin`
       ╭─[plans/a.toml:13:11]
    12 │ hosts = "all"
    13 │ command = "login {{ login }}"
       ·           ───────────────────
    14 │ [[phase.p.step]]
       ╰────
    "#);
}
