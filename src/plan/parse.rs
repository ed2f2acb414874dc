//! From a file to a [`Plan`]: takes the keys that every plan, phase and step may have, and keeps the rest as the action's
//! own parameters. What needs to know the actions or the inventory is checked later.

use std::path::Path;

use super::guard::guard;
use super::keys::is_name;
use super::pace::pace;
use super::step::step;
use super::{Phase, Plan, StepKind};
use crate::document::{Item, Node, Reader, Table, project_root};
use crate::finding::{Findings, Source, Spanned, listed};
use crate::inventory::read_secrets;
use crate::template::{RESERVED_NAMES, is_variable_name};

/// Keys at the top of a plan.
pub(super) const TOP_KEYS: &[&str] = &["plan", "vars", "secrets", "phase"];
/// Keys of `[plan]`.
pub(super) const PLAN_KEYS: &[&str] = &["name", "description"];
/// Keys of `[phase.NAME]`.
pub(super) const PHASE_KEYS: &[&str] = &[
    "description",
    "needs",
    "when",
    "serial",
    "max_failures",
    "guard",
    "guard_apply",
    "guard_restore",
    "guard_check",
    "step",
    "handler",
    "on_failure",
];

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// All that is wrong with it by itself: syntax, unknown or missing keys, wrong types.
    pub fn load(path: &Path) -> Result<Self, Findings> {
        let (plan, findings) = Self::load_partly(path)?;
        findings.or(plan).map(|(plan, _)| plan)
    }

    /// Reads a plan file, with what is wrong with it: so that the parts that are right can be checked further.
    ///
    /// # Errors
    /// When it cannot be read at all or is not TOML.
    pub fn load_partly(path: &Path) -> Result<(Self, Findings), Findings> {
        let (reader, table) = Reader::open(path, "plan")?;
        Ok(read(reader, table))
    }

    /// Reads a plan's text; `path` is where it would lie.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Findings> {
        let (plan, findings) = Self::parse_partly(path, text)?;
        findings.or(plan).map(|(plan, _)| plan)
    }

    /// Reads a plan's text as [`Self::load_partly`] reads a file.
    ///
    /// # Errors
    /// When it is not TOML.
    #[doc(hidden)]
    pub fn parse_partly(path: &Path, text: &str) -> Result<(Self, Findings), Findings> {
        let (reader, table) = Reader::new(Source { path: path.to_owned(), text: text.to_owned() })?;
        Ok(read(reader, table))
    }
}

fn read(mut reader: Reader, mut top: Table) -> (Plan, Findings) {
    let header = top.take("plan").map_or(0..0, |(key, node)| {
        let span = key.span.clone();
        top.entries.insert(0, (key, node));
        span
    });
    let mut head = reader.table(&mut top, "plan");
    let name = reader.required(&mut head, "name", &header, "`[plan]`");
    let name = name.filter(|n| is_name(&mut reader, n, "a plan's name"));
    let description = reader.string(&mut head, "description").map(|d| d.value);
    reader.reject_unknown(head, "`[plan]`", PLAN_KEYS);

    let vars = reader.table(&mut top, "vars");
    let vars = vars.entries.into_iter().filter(|(key, _)| is_variable(&mut reader, key)).collect::<Vec<_>>();
    let vars = vars.into_iter().map(|(key, node)| (key, Spanned::new(node.to_json(), node.span))).collect();

    let root = project_root(&reader.source.path, "plans");
    let secrets = read_secrets(&mut reader, &mut top, &root);
    let phases = phases(&mut reader, &mut top);
    misplaced(&mut reader, &mut top);
    reader.reject_unknown(top, "a plan", TOP_KEYS);

    let plan = Plan {
        source: reader.source.clone(),
        root,
        name: name.unwrap_or_else(|| Spanned::new(String::new(), 0..0)),
        description,
        vars,
        secrets,
        phases,
    };
    (plan, reader.findings)
}

fn phases(reader: &mut Reader, top: &mut Table) -> Vec<Phase> {
    if let Some((_, node @ Node { item: Item::List(_), .. })) = top.entries.iter().find(|(k, _)| k.value == "phase") {
        let (span, message) = (node.span.clone(), "a phase has its name in the header");
        reader.error("wrong-type", &span, message, Some("write [phase.NAME] and [[phase.NAME.step]]".into()));
        let _named = top.take("phase");
        return Vec::new();
    }
    let missing = !top.entries.iter().any(|(k, _)| matches!(k.value.as_str(), "phase" | "phases" | "step"));
    if missing {
        let help = "a plan needs at least one [phase.NAME] with a [[phase.NAME.step]]".to_owned();
        reader.error("no-phases", &(0..0), "the plan has no phases", Some(help));
    }
    let table = reader.table(top, "phase");
    table.entries.into_iter().filter_map(|(name, node)| phase(reader, name, node)).collect()
}

fn phase(reader: &mut Reader, name: Spanned<String>, node: Node) -> Option<Phase> {
    is_name(reader, &name, "a phase's name");
    let Item::Table(mut table) = node.item else {
        let help = format!("write [phase.{}] and under it the phase's keys", name.value);
        reader.wrong_type(&format!("phase.{}", name.value), &node, "a table", Some(help));
        return None;
    };
    let of = format!("phase `{}`", name.value);
    let description = reader.string(&mut table, "description").map(|d| d.value);
    let needs = reader.strings(&mut table, "needs").unwrap_or_default();
    let when = reader.string(&mut table, "when");
    let pace = pace(reader, &mut table);
    let guard = guard(reader, &mut table);
    let mut steps = Vec::new();
    for part in StepKind::ALL {
        match table.take(part.key()) {
            None => {}
            Some((_, Node { item: Item::List(nodes), .. })) => {
                steps.extend(nodes.into_iter().filter_map(|node| step(reader, &name.value, part, node)));
            }
            Some((key, _)) => {
                let help = format!("write [[phase.{}.{}]] with two brackets", name.value, part.key());
                let message = format!("the {}s of {of} are a list of tables", part.key());
                reader.error("wrong-type", &key.span, message, Some(help));
                return None;
            }
        }
    }
    reader.reject_unknown(table, &of, PHASE_KEYS);
    Some(Phase { name, description, needs, when, pace, guard, steps })
}

/// Keys that stand one level too high.
fn misplaced(reader: &mut Reader, top: &mut Table) {
    for (key, help) in [
        ("step", "a step belongs to a phase: write [[phase.NAME.step]]"),
        ("hosts", "hosts belong into the inventory, a file of its own"),
        ("groups", "groups belong into the inventory, a file of its own"),
        ("name", "write it below [plan]"),
    ] {
        if let Some((key, _)) = top.take(key) {
            let message = format!("`{}` does not stand at the top of a plan", key.value);
            reader.error("unknown-key", &key.span, message, Some(help.into()));
        }
    }
}

fn is_variable(reader: &mut Reader, key: &Spanned<String>) -> bool {
    if is_variable_name(&key.value) {
        return true;
    }
    let (message, help) = if RESERVED_NAMES.contains(&key.value.as_str()) {
        (
            format!("`{}` cannot be the name of a variable", key.value),
            format!("{} have a meaning of their own", listed(RESERVED_NAMES)),
        )
    } else {
        let near: String = key.value.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        (format!("`{}` is not a variable name that templates can use", key.value), format!("write `{near}`"))
    };
    reader.error("bad-name", &key.span, message, Some(help));
    false
}

#[cfg(test)]
mod tests {
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
    fn all_that_is_wrong_is_shown_at_once() {
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
         help: `naem` stands there: did you mean `name`?

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
         help: `host`, `hosts`, `groups`, `steps`, `secrets`, `plan`, `item` have a meaning of their own

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

         × `step` does not stand at the top of a plan
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
    fn windows_line_ends_mean_the_same() {
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
    fn names_fit_into_names_of_files() {
        let plan = |name: &str| format!("[plan]\nname = \"{name}\"\n[phase.p]\n");
        assert!(Plan::parse(Path::new("a"), &plan(&"x".repeat(100))).is_ok());
        let refused = findings(&plan(&"x".repeat(101)));
        assert!(refused.contains("a plan's name has at most 100 characters, and this one has 101"), "{refused}");
    }

    #[test]
    fn brackets_are_explained() {
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
    fn what_is_not_toml_is_marked() {
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
        fn any_text_is_read_or_refused(text in "\\PC*") {
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
}
