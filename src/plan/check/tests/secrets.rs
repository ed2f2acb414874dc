//! Secrets: where they come from, and where they must not go.

use super::*;

#[test]
fn secrets() {
    let project = Project::new()
        .file("templates/good.j2", "{{ secrets.token }}{{ secrets.json | from_json }}{{ login | b64encode }}\n")
        .file("templates/bad.j2", "{{ secrets.tokn }}\n");
    insta::assert_snapshot!(project.check(r#"
[vars]
login = "me:{{ secrets.token }}"
parsed = "{{ (secrets.json | from_json).a }}"
wrong = "{{ secrets.jsn }}"
[secrets]
token = { env = "TOKEN" }
json = { file = "json" }
spare = { env = "SPARE" }
[phase.p]
when = "secrets.token != '' and secrets['json'] != ''"
[[phase.p.step]]
id = "good"
action = "test.file"
hosts = "pis"
path = "{{ secrets.token }}"
count = "{{ secrets.token | int }}"
template = "templates/good.j2"
aliases = ["{{ parsed }}"]
[[phase.p.step]]
id = "bad"
action = "test.file"
hosts = "pis"
path = "/{{ secrets.nothing_like_it }}/{{ wrong }}"
template = "templates/bad.j2"
"#), @r#"
     × no secret is named `tokn`
      ╭─[ROOT/templates/bad.j2:1:4]
    1 │ {{ secrets.tokn }}
      ·    ────────────
      ╰────
     help: did you mean `token`?

     × variable `wrong`: `secrets.jsn` is not defined
      ╭─[plans/a.toml:7:9]
    6 │ parsed = "{{ (secrets.json | from_json).a }}"
    7 │ wrong = "{{ secrets.jsn }}"
      ·         ───────────────────
    8 │ [secrets]
      ╰────
     help: did you mean `json`?

     ⚠ secret `spare` is not used
       ╭─[plans/a.toml:11:1]
    10 │ json = { file = "json" }
    11 │ spare = { env = "SPARE" }
       · ─────
    12 │ [phase.p]
       ╰────

     × `secrets` is not used with a name, so nobody can tell which one must be read
       ╭─[plans/a.toml:13:9]
    12 │ [phase.p]
    13 │ when = "secrets.token != '' and secrets['json'] != ''"
       ·         ───────
    14 │ [[phase.p.step]]
       ╰────
     help: write secrets.NAME

     × no secret is named `nothing_like_it`
       ╭─[plans/a.toml:26:13]
    25 │ hosts = "pis"
    26 │ path = "/{{ secrets.nothing_like_it }}/{{ wrong }}"
       ·             ───────────────────────
    27 │ template = "templates/bad.j2"
       ╰────
     help: add [secrets.nothing_like_it] to the plan or the inventory, with where its value comes
           from
    "#);
}

#[test]
fn a_secret_is_refused_where_others_would_see_it() {
    let text = r#"
[plan]
name = "demo"
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
    let plan = Plan::parse(Path::new("plans/a.toml"), text).unwrap();
    let registry = crate::actions::Registry::standard();
    let findings = check(&plan, &Inventory::builtin(), &registry, &Map::new());
    insta::assert_snapshot!(findings.text(STYLE), @r#"
     × `command`: it has a secret in it, which others on the host could see: hand it over by `stdin`
       ╭─[plans/a.toml:13:11]
    12 │ hosts = "all"
    13 │ command = "login {{ login }}"
       ·           ───────────────────
    14 │ [[phase.p.step]]
       ╰────
    "#);
}
