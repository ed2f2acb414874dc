//! Names and filters in texts and files.

use super::*;

#[test]
fn undefined_names() {
    let project = Project::new()
        .file("good.j2", "fine\n{{ zone }}\n{{ versoin }}\n{% include 'part.j2' %}")
        .file("part.j2", "{{ nothing.at.all }}")
        .file("bad.j2", "a\n{% if zone %}\nb")
        .file("fails.j2", "a\n{{ zone | b64decode }}\n{{ zone | nope }}\n");
    insta::assert_snapshot!(project.table(r#"
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
    × ROOT/bad.j2:3:1 b: template does not parse: unexpected end of input, expected end of block
    × ROOT/fails.j2:2:11 b64decode: template fails: b64decode: Invalid padding
    × ROOT/fails.j2:3:11 nope: there is no filter `nope`
    × ROOT/good.j2:3:4 versoin: `versoin` is not defined
        did you mean `version`?
    × ROOT/part.j2:1:4 nothing.at.all: `nothing.at.all` is not defined
        add it to [vars], or give it with --var
    × 9:9 zoen: `zoen` is not defined
        did you mean `zone`?
    × 13:17 verison: `verison` is not defined
        did you mean `version`?
    × 13:31 table.kye: `table.kye` is not defined
        did you mean `key`?
    × 14:9 host.name: `host` is defined in steps with `hosts` only
        give the step `hosts`, or name one host: hosts['NAME']
    × 15:32 "missing.j2": cannot read ROOT/missing.j2: No such file or directory (os error 2)
        paths start from ROOT
    × 15:46 "../out.j2": `../out.j2` is not a path below ROOT
        paths start from ROOT
    × 16:30 nofilter: there is no filter `nofilter`
    × 16:48 "{{ zone ": template does not parse: unexpected end of input, expected end of variable block
    × 21:12 disk: `disk` is not defined on `control`, `pi-2`
        add it to [vars], or give it with --var
    "#);
}

#[test]
fn a_template_is_rendered_for_each_host() {
    let project = Project::new().file(
        "templates/t.j2",
        "{% if host.name == 'pi-2' %}{% for a in range(99999) %}{{ a }}{{ a }}{% endfor %}{% endif %}",
    );
    let said = project.table(
        r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
hosts = "pis"
path = "/a"
template = "templates/t.j2"
"#,
    );
    assert!(said.contains("takes more than 250000 steps"), "{said}");
}

#[test]
fn a_script_with_crlf_line_ends_is_a_warning() {
    let project = Project::new().file("templates/t.j2", "#!/bin/sh\r\ntrue\r\n").file("templates/u.j2", "true\r\n");
    let said = project.table(
        r#"
[phase.one]
[[phase.one.step]]
id = "a"
action = "test.file"
hosts = "pis"
path = "/a"
template = "templates/t.j2"
[[phase.one.step]]
id = "b"
action = "test.file"
hosts = "pis"
path = "/b"
template = "templates/u.j2"
"#,
    );
    insta::assert_snapshot!(said, @r#"
    ⚠ 10:12 "templates/t.j2": the lines of `templates/t.j2` end as on Windows (CRLF): no system finds the program of `#!/bin/sh`
        sed -i 's/\r$//' templates/t.j2
    "#);
}
