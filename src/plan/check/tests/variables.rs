//! Variables of the plan, and what overrides them.

use super::*;

#[test]
fn wrong_and_unused_variables() {
    insta::assert_snapshot!(Project::new().table_with(r#"
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
    × 5:5 "{{ b }}": variable refers to itself: a → b → c → a
        an arrow means "refers to"; give one of these variables a value of its own
    × 8:5 "{{ domian }}": variable `d`: `domian` is not defined
        did you mean `domain`?
    × 9:5 "{{ steps.x.y }}": variable `e`: `steps.x.y` is not defined
        variables are resolved before any step runs; use the output in the step itself
    ⚠ 10:1 unused: variable `unused` is not used
    × 16:36 own: variable `own` uses `host`, which a step without `hosts` does not have
    "#);
}

#[test]
fn overrides_count_as_defined_and_are_checked() {
    let plan = "[vars]\nport = 1\n[phase.one]\n[[phase.one.step]]\nid = \"a\"\naction = \"test.release\"\nrelease = \"x\"\nport = \"{{ port }}\"\n";
    assert_eq!(Project::new().check(plan), "0 errors");
    let said = Project::new().check_with(plan, &json!({ "port": "x" }));
    assert!(said.contains("`port` must be an integer"), "{said}");
}
