//! Texts that other tools parse.

use super::*;

#[test]
fn errors_of_other_tools_are_shown_at_their_place() {
    let project = Project::new()
        .file("good.yaml", "a: 0400\n")
        .file("broken.yaml", "a: 1\nb: [1\nc: 2\n")
        .file("twice.yaml.j2", "{% if true %}\na: 1\nb: {{ zone }}\n{% endif %}\na: 2\n")
        .file("made.yaml.j2", "{% for n in [1, 2] %}x: {{ n }}\n{% endfor %}")
        .file("later.yaml.j2", "a: {{ steps.a.checksum }}\na: 1\n");
    insta::assert_snapshot!(project.table(r#"
[vars]
zone = "eu"
[[phase.one.step]]
id = "a"
action = "test.release"
release = "x"
values = ["good.yaml", "broken.yaml", "twice.yaml.j2", "made.yaml.j2"]
"#), @r"
    × ROOT/broken.yaml:3:2 : 2: illegal placement of ':' indicator
    × ROOT/made.yaml.j2:1:1 : in line 2 of the rendered text: the key `x` occurs twice in the same table; the first is in line 1
    × ROOT/twice.yaml.j2:5:1 a: 2: the key `a` occurs twice in the same table; the first is in line 1 (in line 3 of the rendered text)
    ");
}
