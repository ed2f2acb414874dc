use super::*;
use crate::finding::Style;

fn findings(text: &str) -> String {
    let style = Style { color: false, unicode: true, width: 100 };
    match Plan::parse(Path::new("plans/a.toml"), text) {
        Ok(plan) => panic!("accepted: {plan:?}"),
        Err(findings) => findings.text(style),
    }
}

const GOOD: &str = r#"
        [plan]
        name = "demo"
        description = "Shows it."
        [vars]
        zone = "eu"
        count = "{{ zone }}"
        [phase.one]
        [[phase.one.step]]
        id = "b.x"
        action = "node.file"
        hosts = "all"
        become = true
        retry = 3
        retry_delay = "2s"
        timeout = "1h30m"
        tags = ["x"]
        path = "/etc/motd"
        nested = { list = [1, { deep = true }] }
        [[phase.one.step]]
        id = "a"
        action = "kube.wait"
        needs = []
        [phase.a-two]
        needs = ["one"]
        when = "zone == 'eu'"
    "#;

#[test]
fn a_plan_keeps_its_order_and_places() {
    let plan = Plan::parse(Path::new("plans/a.toml"), GOOD).unwrap();
    assert_eq!((plan.root.as_path(), plan.name.value.as_str()), (Path::new("."), "demo"));
    assert_eq!(plan.vars.iter().map(|v| v.0.value.as_str()).collect::<Vec<_>>(), ["zone", "count"]);
    assert_eq!(plan.phases.iter().map(|p| p.name.value.as_str()).collect::<Vec<_>>(), ["one", "a-two"]);
    let [b, a] = &plan.phases[0].steps[..] else { panic!("two steps") };
    assert_eq!((b.retry.times, b.retry.delay.as_secs(), b.timeout.map(|t| t.as_secs())), (3, 2, Some(5400)));
    assert!(b.as_root && b.needs.is_none() && a.needs.as_ref().is_some_and(Vec::is_empty));
    assert_eq!(b.params.keys().collect::<Vec<_>>(), ["path", "nested"]);
    assert_eq!(&GOOD[b.place("/nested/list/1/deep")], "true");
    assert_eq!(&GOOD[b.key_place("/nested/list/1/deep")], "deep");
    assert_eq!(&GOOD[b.place("/path/9/9")], "\"/etc/motd\"");
    assert_eq!(&GOOD[b.place("/missing")], "\"b.x\"");
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"[plan]
naem = "demo"
[vars]
hosts = 1
my-var = 2
[phase.one]
need = ["x"]
[[phase.one.step]]
id = "Bad Id"
action = "node.file"
timeout = 30
retry = -1
become = "yes"
needs = "x"
[[phase.one.step]]
action = "node.file"
retry_delay = "5 parsecs"
[phases.two]
[[step]]
id = "x"
"#;
    insta::assert_snapshot!(findings(text), @r#"
         × `[plan]` has no `name`
          ╭─[plans/a.toml:1:2]
        1 │ [plan]
          ·  ────
        2 │ naem = "demo"
          ╰────
         help: `naem` is there instead: did you mean `name`?

         × `naem` is not a key of `[plan]`
          ╭─[plans/a.toml:2:1]
        1 │ [plan]
        2 │ naem = "demo"
          · ────
        3 │ [vars]
          ╰────
         help: did you mean `name`?

         × `hosts` cannot be the name of a variable
          ╭─[plans/a.toml:4:1]
        3 │ [vars]
        4 │ hosts = 1
          · ─────
        5 │ my-var = 2
          ╰────
         help: `host`, `hosts`, `groups`, `steps`, `secrets`, `plan`, `item` are reserved

         × `my-var` is not a variable name that templates can use
          ╭─[plans/a.toml:5:1]
        4 │ hosts = 1
        5 │ my-var = 2
          · ──────
        6 │ [phase.one]
          ╰────
         help: write `my_var`

         × `need` is not a key of phase `one`
          ╭─[plans/a.toml:7:1]
        6 │ [phase.one]
        7 │ need = ["x"]
          · ────
        8 │ [[phase.one.step]]
          ╰────
         help: did you mean `needs`?

         × `Bad Id` cannot be a step's id
           ╭─[plans/a.toml:9:6]
         8 │ [[phase.one.step]]
         9 │ id = "Bad Id"
           ·      ────────
        10 │ action = "node.file"
           ╰────
         help: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit

         × `timeout` is a duration without a unit
           ╭─[plans/a.toml:11:11]
        10 │ action = "node.file"
        11 │ timeout = 30
           ·           ──
        12 │ retry = -1
           ╰────
         help: write timeout = "30s"; units are ms, s, m, h

         × `retry` must be from 0 to 1000, not -1
           ╭─[plans/a.toml:12:9]
        11 │ timeout = 30
        12 │ retry = -1
           ·         ──
        13 │ become = "yes"
           ╰────

         × `become` must be `true` or `false`, not a string
           ╭─[plans/a.toml:13:10]
        12 │ retry = -1
        13 │ become = "yes"
           ·          ─────
        14 │ needs = "x"
           ╰────

         × `needs` must be a list of strings, not a string
           ╭─[plans/a.toml:14:9]
        13 │ become = "yes"
        14 │ needs = "x"
           ·         ───
        15 │ [[phase.one.step]]
           ╰────
         help: write needs = ["x"]

         × a step has no `id`
           ╭─[plans/a.toml:15:1]
        14 │ needs = "x"
        15 │ [[phase.one.step]]
           · ──────────────────
        16 │ action = "node.file"
           ╰────
         help: add `id = "…"`

         × `retry_delay` without `retry` does nothing
           ╭─[plans/a.toml:17:1]
        16 │ action = "node.file"
        17 │ retry_delay = "5 parsecs"
           · ───────────
        18 │ [phases.two]
           ╰────
         help: add `retry = 3`, or leave `retry_delay` out

         × `5 parsecs` is not a duration such as `90s`, `5m` or `1h30m`
           ╭─[plans/a.toml:17:15]
        16 │ action = "node.file"
        17 │ retry_delay = "5 parsecs"
           ·               ───────────
        18 │ [phases.two]
           ╰────

         × `phases` is not a key of a plan
           ╭─[plans/a.toml:18:2]
        17 │ retry_delay = "5 parsecs"
        18 │ [phases.two]
           ·  ──────
        19 │ [[step]]
           ╰────
         help: did you mean `phase`?

         × `step` does not belong at the top of a plan
           ╭─[plans/a.toml:19:3]
        18 │ [phases.two]
        19 │ [[step]]
           ·   ────
        20 │ id = "x"
           ╰────
         help: a step belongs to a phase: write [[phase.NAME.step]]
        "#);
}

#[test]
fn crlf_line_ends_are_read_as_lf() {
    let text =
        "[plan]\nname = \"a\"\n[vars]\nx = \"\"\"\none\\r\n two \\\n  three\n\"\"\"\ny = '''\na\nb'''\n[phase.p]\n";
    let vars = |text: &str| {
        let plan = Plan::parse(Path::new("a"), text).unwrap();
        plan.vars.iter().map(|(_, value)| value.value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(vars(text), ["one\r\n two three\n", "a\nb"]);
    assert_eq!(vars(&text.replace('\n', "\r\n")), vars(text));
    let wrong = text.replace("[phase.p]", "[phase.p]\nwhat = 1");
    assert_eq!(findings(&wrong.replace('\n', "\r\n")), findings(&wrong));
}

#[test]
fn long_names_are_refused() {
    let plan = |name: &str| format!("[plan]\nname = \"{name}\"\n[phase.p]\n");
    assert!(Plan::parse(Path::new("a"), &plan(&"x".repeat(100))).is_ok());
    let refused = findings(&plan(&"x".repeat(101)));
    assert!(refused.contains("a plan's name has at most 100 characters, and this one has 101"), "{refused}");
}

#[test]
fn wrong_brackets_are_explained() {
    insta::assert_snapshot!(findings("[plan]\nname = \"a\"\n[phase.one.step]\nid = \"x\"\n"), @r#"
         × the steps of phase `one` are a list of tables
          ╭─[plans/a.toml:3:12]
        2 │ name = "a"
        3 │ [phase.one.step]
          ·            ────
        4 │ id = "x"
          ╰────
         help: write [[phase.one.step]] with two brackets
        "#);
    insta::assert_snapshot!(findings("[plan]\nname = \"a\"\n[[phase]]\nname = \"x\"\n"), @r#"
         × a phase has its name in the header
          ╭─[plans/a.toml:3:1]
        2 │ name = "a"
        3 │ [[phase]]
          · ─────────
        4 │ name = "x"
          ╰────
         help: write [phase.NAME] and [[phase.NAME.step]]
        "#);
    insta::assert_snapshot!(findings("[plan]\nname = \"a\"\n"), @r#"
         × the plan has no phases
          ╭─[plans/a.toml:1:1]
        1 │ [plan]
          · ▲
        2 │ name = "a"
          ╰────
         help: a plan needs at least one [phase.NAME] with a [[phase.NAME.step]]
        "#);
}

#[test]
fn syntax_errors_are_marked() {
    let text = "[plan]\nname = demo\n[phase.one]\n[phase.one]\nx = [1,\n";
    insta::assert_snapshot!(findings(text), @r"
         × not TOML: string values must be quoted, expected literal string
          ╭─[plans/a.toml:2:8]
        1 │ [plan]
        2 │ name = demo
          ·        ────
        3 │ [phase.one]
          ╰────

         × not TOML: duplicate key
          ╭─[plans/a.toml:4:8]
        3 │ [phase.one]
        4 │ [phase.one]
          ·        ───
        5 │ x = [1,
          ╰────

         × not TOML: unclosed array, expected `]`
          ╭─[plans/a.toml:5:8]
        4 │ [phase.one]
        5 │ x = [1,
          ·        ▲
          ╰────
        ");
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC*") {
        let _either = Plan::parse(Path::new("a"), &text).map_err(|f| f.text(Style { color: true, unicode: true, width: 80 }));
    }

    #[test]
    fn any_broken_plan_is_refused_with_a_place(at in 0..GOOD.len(), with in "[\\[\\]\"'={}#.\n a0-]{0,3}") {
        let mut text = GOOD.to_owned();
        text.replace_range(at..=at, &with);
        if let Err(findings) = Plan::parse(Path::new("a"), &text) {
            proptest::prop_assert!(findings.iter().all(|f| f.place.is_some()));
            let _drawn = findings.text(Style { color: true, unicode: true, width: 80 });
            let _record = findings.json();
        }
    }
}
