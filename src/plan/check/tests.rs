//! One test for each class of bad plan: what a person reads.

mod guard;
mod loops;
mod pace;
mod repeats;
mod secrets;
mod structure;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::check;
use crate::finding::{Severity, Style};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::plan::testing::catalog;

const INVENTORY: &str = r#"
[vars]
domain = "lan"
[hosts.control]
connection = "local"
[hosts.pi-1]
address = "10.0.0.1"
vars.disk = "/dev/sda"
vars.slots = 2
[hosts.pi-2]
address = "10.0.0.2"
vars.slots = "many"
[groups.pis]
hosts = ["pi-*"]
"#;

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(self, path: &str, text: &str) -> Self {
        let full = self.0.path().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
        self
    }

    /// The findings of a plan whose `[plan]` is given.
    fn check(&self, text: &str) -> String {
        self.check_with(text, &json!({}))
    }

    fn check_with(&self, text: &str, overrides: &Value) -> String {
        let text = format!("[plan]\nname = \"demo\"\n{text}");
        let mut plan = Plan::parse(Path::new("plans/a.toml"), &text).unwrap_or_else(|f| panic!("{}", f.text(STYLE)));
        plan.root = self.0.path().to_owned();
        let inventory = Inventory::parse(Path::new("inventory/lab.toml"), INVENTORY).unwrap();
        let overrides: Map<String, Value> = overrides.as_object().unwrap().clone();
        let findings = check(&plan, &inventory, &catalog(), &overrides);
        let text = findings.text(STYLE).replace(&self.0.path().display().to_string(), "ROOT");
        if text.is_empty() { format!("{} errors", findings.count(Severity::Error)) } else { text }
    }
}

const STYLE: Style = Style { color: false, unicode: true, width: 100 };

#[test]
fn a_good_plan_has_no_findings() {
    let project = Project::new()
        .file(
            "templates/motd.j2",
            "{% set x = zone %}{{ x }} {{ host.disk | default('none') }}{% include 'templates/part.j2' %}\n",
        )
        .file(
            "templates/part.j2",
            "{{ x }} {{ steps.first_file.checksum is defined }}{% for h in hosts %}{{ h }}{% endfor %}",
        )
        .file("values.yaml", "a: {{ not a template\n");
    let said = project.check(
        r#"
[vars]
zone = "{{ domain }}-1"
copies = 3
page = "http://{{ host.address }}/"
[phase.files]
[[phase.files.step]]
id = "first.file"
action = "test.file"
hosts = "pis:!pi-2"
when = "host.disk == '/dev/sda'"
path = "/etc/{{ zone }}"
source = "values.yaml"
aliases = ["{{ hosts['pi-1'].address }}", "{{ groups.pis | first }}", "{{ page }}"]
[[phase.files.step]]
id = "motd"
action = "test.file"
hosts = "pis"
become = true
path = "/etc/motd"
mode = "{{ '0600' if zone.startswith is undefined else '0644' }}"
count = "{{ copies }}"
template = "templates/motd.j2"
[phase.app]
needs = ["files"]
when = "zone is defined"
[[phase.app.step]]
id = "app"
action = "test.release"
release = "{{ steps.first_file.hosts['pi-1'].checksum }}"
[[phase.app.step]]
id = "again"
action = "test.release"
release = "{{ plan.name }}-{{ steps.app.revision }}"
port = "{{ steps.app.revision }}"
"#,
    );
    assert_eq!(said, "0 errors");
}

#[test]
fn actions_and_parameters() {
    insta::assert_snapshot!(Project::new().check(r#"
[vars]
port = "eighty"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.flie"
hosts = "all"
[[phase.one.step]]
id = "b"
action = "test.file"
hosts = "all"
pth = "/etc/motd"
state = "presnt"
aliases = "x"
count = 300
[[phase.one.step]]
id = "c"
action = "test.release"
release = "x"
port = "{{ port }}"
need = ["b"]
values = ["a.yaml", 3]
[[phase.one.step]]
id = "d"
action = "kube.what"
[[phase.one.step]]
id = "e"
action = "test.file"
hosts = "all"
path = "{{ steps.b.checksum }}"
source = "x"
template = "y"
"#), @r#"
     × no action is named `test.flie`
       ╭─[plans/a.toml:9:10]
     8 │ id = "a"
     9 │ action = "test.flie"
       ·          ───────────
    10 │ hosts = "all"
       ╰────
     help: did you mean `test.file`?

     × step `b` has no `path`, which test.file needs
       ╭─[plans/a.toml:13:10]
    12 │ id = "b"
    13 │ action = "test.file"
       ·          ───────────
    14 │ hosts = "all"
       ╰────
     help: `path` (string): Where it goes.

     × test.file has no parameter `pth`
       ╭─[plans/a.toml:15:1]
    14 │ hosts = "all"
    15 │ pth = "/etc/motd"
       · ───
    16 │ state = "presnt"
       ╰────
     help: did you mean `path`?

     × `state`: unknown variant `presnt`, expected `present` or `absent`
       ╭─[plans/a.toml:16:9]
    15 │ pth = "/etc/motd"
    16 │ state = "presnt"
       ·         ────────
    17 │ aliases = "x"
       ╰────
     help: did you mean `present`?

     × `aliases` must be a list of strings, not a string
       ╭─[plans/a.toml:17:11]
    16 │ state = "presnt"
    17 │ aliases = "x"
       ·           ───
    18 │ count = 300
       ╰────

     × `count` must be an integer 0–255, not 300
       ╭─[plans/a.toml:18:9]
    17 │ aliases = "x"
    18 │ count = 300
       ·         ───
    19 │ [[phase.one.step]]
       ╰────

     × `port` must be an integer 0–65535, not a string
       ╭─[plans/a.toml:23:8]
    22 │ release = "x"
    23 │ port = "{{ port }}"
       ·        ──────┬─────
       ·              ╰── is "eighty"
    24 │ need = ["b"]
       ╰────

     × test.release has no parameter `need`
       ╭─[plans/a.toml:24:1]
    23 │ port = "{{ port }}"
    24 │ need = ["b"]
       · ────
    25 │ values = ["a.yaml", 3]
       ╰────
     help: did you mean `needs`?

     × cannot read ROOT/a.yaml: No such file or directory (os error 2)
       ╭─[plans/a.toml:25:11]
    24 │ need = ["b"]
    25 │ values = ["a.yaml", 3]
       ·           ────────
    26 │ [[phase.one.step]]
       ╰────
     help: paths start from ROOT

     × `values.1`: invalid type: integer `3`, expected a path
       ╭─[plans/a.toml:25:21]
    24 │ need = ["b"]
    25 │ values = ["a.yaml", 3]
       ·                     ─
    26 │ [[phase.one.step]]
       ╰────

     × no action is named `kube.what`
       ╭─[plans/a.toml:28:10]
    27 │ id = "d"
    28 │ action = "kube.what"
       ·          ───────────
    29 │ [[phase.one.step]]
       ╰────
     help: `rollout actions` lists all actions

     × give either `template` or `source`, not both
       ╭─[plans/a.toml:34:10]
    33 │ path = "{{ steps.b.checksum }}"
    34 │ source = "x"
       ·          ───
    35 │ template = "y"
       ╰────

     × cannot read ROOT/x: No such file or directory (os error 2)
       ╭─[plans/a.toml:34:10]
    33 │ path = "{{ steps.b.checksum }}"
    34 │ source = "x"
       ·          ───
    35 │ template = "y"
       ╰────
     help: paths start from ROOT

     × cannot read ROOT/y: No such file or directory (os error 2)
       ╭─[plans/a.toml:35:12]
    34 │ source = "x"
    35 │ template = "y"
       ·            ───
       ╰────
     help: paths start from ROOT
    "#);
}

#[test]
fn values_that_differ_between_hosts() {
    insta::assert_snapshot!(Project::new().check(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
hosts = "pis"
path = "{{ disk }}"
count = "{{ host.slots }}"
"#), @r#"
     × `disk` is not defined on `pi-2`
       ╭─[plans/a.toml:9:12]
     8 │ hosts = "pis"
     9 │ path = "{{ disk }}"
       ·            ────
    10 │ count = "{{ host.slots }}"
       ╰────
     help: add it to [vars], or give it with --var

     × `count` must be an integer 0–255, not a string
       ╭─[plans/a.toml:10:9]
     9 │ path = "{{ disk }}"
    10 │ count = "{{ host.slots }}"
       ·         ─────────┬────────
       ·                  ╰── is "many" on pi-2
       ╰────
    "#);
}

#[test]
fn hosts_and_actions_that_do_not_fit() {
    insta::assert_snapshot!(Project::new().check(r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
path = "/x"
[[phase.one.step]]
id = "b"
action = "test.release"
hosts = "all"
release = "x"
[[phase.one.step]]
id = "c"
action = "test.file"
hosts = "control,pi-11"
path = "/x"
[[phase.one.step]]
id = "d"
action = "test.file"
hosts = "pi-1:!pis"
path = "/x"
[[phase.one.step]]
id = "e"
action = "test.file"
hosts = "{{ target }}"
path = "/x"
[[phase.one.step]]
id = "f"
action = "test.release"
become = true
release = "x"
"#), @r#"
     × step `a` has no `hosts`, and test.file runs on hosts
      ╭─[plans/a.toml:7:10]
    6 │ id = "a"
    7 │ action = "test.file"
      ·          ───────────
    8 │ path = "/x"
      ╰────
     help: add `hosts = "all"`, a group or a host of the inventory

     × step `b` has `hosts`, but test.release runs once, from this machine
       ╭─[plans/a.toml:12:9]
    11 │ action = "test.release"
    12 │ hosts = "all"
       ·         ─────
    13 │ release = "x"
       ╰────
     help: take `hosts` away

     × no host or group is named `pi-11`
       ╭─[plans/a.toml:17:18]
    16 │ action = "test.file"
    17 │ hosts = "control,pi-11"
       ·                  ─────
    18 │ path = "/x"
       ╰────
     help: did you mean `pi-1`?

     ⚠ no host is left of `pi-1:!pis`: step `d` does nothing
       ╭─[plans/a.toml:22:9]
    21 │ action = "test.file"
    22 │ hosts = "pi-1:!pis"
       ·         ───────────
    23 │ path = "/x"
       ╰────

     × `hosts` takes no templates
       ╭─[plans/a.toml:27:9]
    26 │ action = "test.file"
    27 │ hosts = "{{ target }}"
       ·         ──────────────
    28 │ path = "/x"
       ╰────
     help: use a group, and let each inventory say who is in it

     ⚠ `become` has no effect on step `f`, which runs on no host
       ╭─[plans/a.toml:30:6]
    29 │ [[phase.one.step]]
    30 │ id = "f"
       ·      ───
    31 │ action = "test.release"
       ╰────
    "#);
}

#[test]
fn names_that_are_not_defined() {
    let project = Project::new()
        .file("good.j2", "fine\n{{ zone }}\n{{ versoin }}\n{% include 'part.j2' %}")
        .file("part.j2", "{{ nothing.at.all }}")
        .file("bad.j2", "a\n{% if zone %}\nb")
        .file("fails.j2", "a\n{{ zone | b64decode }}\n{{ zone | nope }}\n");
    insta::assert_snapshot!(project.check(r#"
[vars]
zone = "eu"
version = "1"
table = { key = 1 }
[phase.one]
when = "zoen == 'eu'"
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x-{{ verison }}-{{ table.kye }}"
when = "host.name == 'x'"
values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
set = { a = { b = "{{ zone | nofilter }}", c = "{{ zone ", d = "{{ version + {} }}" } }
[[phase.one.step]]
id = "b"
action = "test.file"
hosts = "all"
path = "{{ disk }}"
mode = "{{ version | upper }}"
"#), @r#"
     × template does not parse: unexpected end of input, expected end of block
      ╭─[ROOT/bad.j2:3:1]
    2 │ {% if zone %}
    3 │ b
      · ─
      ╰────

     × template fails: b64decode: Invalid padding
      ╭─[ROOT/fails.j2:2:11]
    1 │ a
    2 │ {{ zone | b64decode }}
      ·           ─────────
    3 │ {{ zone | nope }}
      ╰────

     × there is no filter `nope`
      ╭─[ROOT/fails.j2:3:11]
    2 │ {{ zone | b64decode }}
    3 │ {{ zone | nope }}
      ·           ────
      ╰────

     × `versoin` is not defined
      ╭─[ROOT/good.j2:3:4]
    2 │ {{ zone }}
    3 │ {{ versoin }}
      ·    ───────
    4 │ {% include 'part.j2' %}
      ╰────
     help: did you mean `version`?

     × `nothing.at.all` is not defined
      ╭─[ROOT/part.j2:1:4]
    1 │ {{ nothing.at.all }}
      ·    ──────────────
      ╰────
     help: add it to [vars], or give it with --var

     × `zoen` is not defined
       ╭─[plans/a.toml:9:9]
     8 │ [phase.one]
     9 │ when = "zoen == 'eu'"
       ·         ────
    10 │ [[phase.one.step]]
       ╰────
     help: did you mean `zone`?

     × `verison` is not defined
       ╭─[plans/a.toml:13:17]
    12 │ action = "test.release"
    13 │ release = "x-{{ verison }}-{{ table.kye }}"
       ·                 ───────
    14 │ when = "host.name == 'x'"
       ╰────
     help: did you mean `version`?

     × `table.kye` is not defined
       ╭─[plans/a.toml:13:31]
    12 │ action = "test.release"
    13 │ release = "x-{{ verison }}-{{ table.kye }}"
       ·                               ─────────
    14 │ when = "host.name == 'x'"
       ╰────
     help: did you mean `key`?

     × `host` is defined in steps with `hosts` only
       ╭─[plans/a.toml:14:9]
    13 │ release = "x-{{ verison }}-{{ table.kye }}"
    14 │ when = "host.name == 'x'"
       ·         ─────────
    15 │ values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
       ╰────
     help: give the step `hosts`, or name one host: hosts['NAME']

     × cannot read ROOT/missing.j2: No such file or directory (os error 2)
       ╭─[plans/a.toml:15:32]
    14 │ when = "host.name == 'x'"
    15 │ values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
       ·                                ────────────
    16 │ set = { a = { b = "{{ zone | nofilter }}", c = "{{ zone ", d = "{{ version + {} }}" } }
       ╰────
     help: paths start from ROOT

     × `../out.j2` is not a path below ROOT
       ╭─[plans/a.toml:15:46]
    14 │ when = "host.name == 'x'"
    15 │ values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
       ·                                              ───────────
    16 │ set = { a = { b = "{{ zone | nofilter }}", c = "{{ zone ", d = "{{ version + {} }}" } }
       ╰────
     help: paths start from ROOT

     × there is no filter `nofilter`
       ╭─[plans/a.toml:16:30]
    15 │ values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
    16 │ set = { a = { b = "{{ zone | nofilter }}", c = "{{ zone ", d = "{{ version + {} }}" } }
       ·                              ────────
    17 │ [[phase.one.step]]
       ╰────

     × template does not parse: unexpected end of input, expected end of variable block
       ╭─[plans/a.toml:16:48]
    15 │ values = ["good.j2", "bad.j2", "missing.j2", "../out.j2", "fails.j2"]
    16 │ set = { a = { b = "{{ zone | nofilter }}", c = "{{ zone ", d = "{{ version + {} }}" } }
       ·                                                ──────────
    17 │ [[phase.one.step]]
       ╰────

     × `disk` is not defined on `control`, `pi-2`
       ╭─[plans/a.toml:21:12]
    20 │ hosts = "all"
    21 │ path = "{{ disk }}"
       ·            ────
    22 │ mode = "{{ version | upper }}"
       ╰────
     help: add it to [vars], or give it with --var
    "#);
}

#[test]
fn outputs_that_do_not_exist_or_come_too_late() {
    insta::assert_snapshot!(Project::new().check(r#"
[phase.one]
when = "steps.here.revision > 1"
[[phase.one.step]]
id = "here"
action = "test.release"
release = "{{ steps.here.revision }}{{ steps.after.revision }}{{ steps.far_away.revision }}"
[[phase.one.step]]
id = "after"
action = "test.release"
release = "{{ steps.heer.revision }}{{ steps.here.revison }}{{ steps['here'].revision }}"
[[phase.one.step]]
id = "on-pis"
action = "test.file"
hosts = "pis"
path = "/x"
[[phase.one.step]]
id = "once"
action = "test.release"
release = "{{ steps.on_pis.checksum }}{{ steps.after.hosts['pi-1'].revision }}"
[[phase.one.step]]
id = "everywhere"
action = "test.file"
hosts = "all"
path = "{{ steps.on_pis.checksum }}"
[phase.two]
[[phase.two.step]]
id = "far-away"
action = "test.release"
release = "x"
"#), @r#"
     × phase `one` uses an output of step `here`, which need not have run by then
      ╭─[plans/a.toml:5:9]
    4 │ [phase.one]
    5 │ when = "steps.here.revision > 1"
      ·         ──────────
    6 │ [[phase.one.step]]
      ╰────
     help: a phase's `when` is decided before its steps

     × step `here` uses its own output
       ╭─[plans/a.toml:9:15]
     8 │ action = "test.release"
     9 │ release = "{{ steps.here.revision }}{{ steps.after.revision }}{{ steps.far_away.revision }}"
       ·               ──────────
    10 │ [[phase.one.step]]
       ╰────

     × step `here` uses an output of step `after`, which need not have run by then
       ╭─[plans/a.toml:9:40]
     8 │ action = "test.release"
     9 │ release = "{{ steps.here.revision }}{{ steps.after.revision }}{{ steps.far_away.revision }}"
       ·                                        ───────────
    10 │ [[phase.one.step]]
       ╰────
     help: put it after step `after`, or let it need that step

     × step `here` uses an output of step `far-away`, which need not have run by then
       ╭─[plans/a.toml:9:66]
     8 │ action = "test.release"
     9 │ release = "{{ steps.here.revision }}{{ steps.after.revision }}{{ steps.far_away.revision }}"
       ·                                                                  ──────────────
    10 │ [[phase.one.step]]
       ╰────
     help: let phase `one` need phase `two`

     × no step is called `heer` in templates
       ╭─[plans/a.toml:13:15]
    12 │ action = "test.release"
    13 │ release = "{{ steps.heer.revision }}{{ steps.here.revison }}{{ steps['here'].revision }}"
       ·               ──────────
    14 │ [[phase.one.step]]
       ╰────
     help: did you mean `here`?

     × `steps` is not used with a name, so nobody can tell which step must run first
       ╭─[plans/a.toml:13:15]
    12 │ action = "test.release"
    13 │ release = "{{ steps.heer.revision }}{{ steps.here.revison }}{{ steps['here'].revision }}"
       ·               ─────
    14 │ [[phase.one.step]]
       ╰────
     help: write steps.ID.OUTPUT, with `_` in the place of `-` and `.` in the id

     × step `here` has no output `revison`
       ╭─[plans/a.toml:13:40]
    12 │ action = "test.release"
    13 │ release = "{{ steps.heer.revision }}{{ steps.here.revison }}{{ steps['here'].revision }}"
       ·                                        ──────────────────
    14 │ [[phase.one.step]]
       ╰────
     help: did you mean `revision`?

     × step `on-pis` runs on hosts: each has a `checksum` of its own
       ╭─[plans/a.toml:22:15]
    21 │ action = "test.release"
    22 │ release = "{{ steps.on_pis.checksum }}{{ steps.after.hosts['pi-1'].revision }}"
       ·               ─────────────────────
    23 │ [[phase.one.step]]
       ╰────
     help: write steps.on_pis.hosts['NAME'].checksum

     × step `after` does not run on hosts
       ╭─[plans/a.toml:22:42]
    21 │ action = "test.release"
    22 │ release = "{{ steps.on_pis.checksum }}{{ steps.after.hosts['pi-1'].revision }}"
       ·                                          ───────────
    23 │ [[phase.one.step]]
       ╰────
     help: write steps.after.OUTPUT

     × step `on-pis` does not run on `control`
       ╭─[plans/a.toml:27:12]
    26 │ hosts = "all"
    27 │ path = "{{ steps.on_pis.checksum }}"
       ·            ─────────────────────
    28 │ [phase.two]
       ╰────
     help: write steps.on_pis.hosts['NAME'].checksum
    "#);
}

#[test]
fn variables_of_the_plan() {
    insta::assert_snapshot!(Project::new().check_with(r#"
[vars]
a = "{{ b }}"
b = "{{ c }}"
c = "{{ a }}"
d = "{{ domian }}"
e = "{{ steps.x.y }}"
unused = 1
own = "{{ host.name }}"
[phase.one]
[[phase.one.step]]
id = "x"
action = "test.release"
release = "{{ a }}{{ d }}{{ e }}{{ own }}{{ given }}"
"#, &json!({ "given": 1 })), @r#"
     × variable refers to itself: a → b → c → a
      ╭─[plans/a.toml:5:5]
    4 │ [vars]
    5 │ a = "{{ b }}"
      ·     ─────────
    6 │ b = "{{ c }}"
      ╰────
     help: an arrow reads "refers to"; give one of them a value of its own

     × variable `d`: `domian` is not defined
      ╭─[plans/a.toml:8:5]
    7 │ c = "{{ a }}"
    8 │ d = "{{ domian }}"
      ·     ──────────────
    9 │ e = "{{ steps.x.y }}"
      ╰────
     help: did you mean `domain`?

     × variable `e`: `steps.x.y` is not defined
       ╭─[plans/a.toml:9:5]
     8 │ d = "{{ domian }}"
     9 │ e = "{{ steps.x.y }}"
       ·     ─────────────────
    10 │ unused = 1
       ╰────
     help: variables are resolved before any step runs; use the output in the step itself

     ⚠ variable `unused` is not used
       ╭─[plans/a.toml:10:1]
     9 │ e = "{{ steps.x.y }}"
    10 │ unused = 1
       · ──────
    11 │ own = "{{ host.name }}"
       ╰────

     × variable `own` uses `host`, which a step without `hosts` does not have
       ╭─[plans/a.toml:16:36]
    15 │ action = "test.release"
    16 │ release = "{{ a }}{{ d }}{{ e }}{{ own }}{{ given }}"
       ·                                    ───
       ╰────
    "#);
}

#[test]
fn overrides_count_as_defined_and_are_checked() {
    let plan = "[vars]\nport = 1\n[phase.one]\n[[phase.one.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\nport = \"{{ port }}\"\n";
    assert_eq!(Project::new().check(plan), "0 errors");
    let said = Project::new().check_with(plan, &json!({ "port": "x" }));
    assert!(said.contains("`port` must be an integer"), "{said}");
}
