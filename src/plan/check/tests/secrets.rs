//! Secrets: where they come from, and where they must not go.

use super::*;

#[test]
fn secrets() {
    let project = Project::new()
        .file("templates/good.j2", "{{ secrets.token }}{{ secrets.json | from_json }}{{ login | b64encode }}\n")
        .file("templates/bad.j2", "{{ secrets.tokn }}\n");
    insta::assert_snapshot!(project.table(r#"
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
    × ROOT/templates/bad.j2:1:4 secrets.tokn: no secret is named `tokn`
        did you mean `token`?
    × 7:9 "{{ secrets.jsn }}": variable `wrong`: `secrets.jsn` is not defined
        did you mean `json`?
    ⚠ 11:1 spare: secret `spare` is not used
    × 13:9 secrets: `secrets` is used without a name, so it is unknown which secret to read
        write secrets.NAME
    × 26:13 secrets.nothing_like_it: no secret is named `nothing_like_it`
        add [secrets.nothing_like_it] to the plan or the inventory, with where its value comes from
    "#);
}
