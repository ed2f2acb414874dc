//! `for_each`, `run_once`, `delegate_to`.

use super::*;

fn project() -> Project {
    let project = Project::new().file("templates/motd.j2", "{{ item.nmae }}\n");
    project.file("templates/ada.j2", "{{ item.name }}\n")
}

/// A plan whose only step writes a file on the Pis, with these additional keys.
fn plan(vars: &str, keys: &str) -> String {
    let step = "[[phase.p.step]]\nid = \"a\"\naction = \"test.file\"\nhosts = \"pis\"\n";
    format!("{vars}\n[phase.p]\n{step}{keys}\n")
}

fn report(vars: &str, keys: &str) -> String {
    project().check(&plan(vars, keys))
}

fn first_line(vars: &str, keys: &str) -> String {
    report(vars, keys).lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn good_loops_have_no_findings() {
    let users = "[vars]\nusers = [{ name = \"ada\", uid = 1 }, { name = \"bob\", uid = 2 }]\nports = [80, 443]";
    for keys in [
        "for_each = [\"x\", 1, true]\npath = \"/{{ item }}\"",
        "for_each = { x = 1, y = \"{{ 1 + 1 }}\" }\npath = \"/{{ item.key }}\"\ncount = \"{{ item.value }}\"",
        "for_each = \"{{ users }}\"\nwhen = \"item.uid > 1\"\npath = \"/{{ item.name }}\"\ncount = \"{{ item.uid }}\"",
        "for_each = \"{{ users }}\"\npath = \"/x\"\ntemplate = \"templates/ada.j2\"",
        "for_each = [{ name = \"ada\" }]\npath = \"/x\"\ntemplate = \"templates/{{ item.name }}.j2\"",
        "for_each = \"{{ groups.pis }}\"\npath = \"/{{ hosts[item].address }}\"\ndelegate_to = \"{{ item }}\"",
        "for_each = [\"{{ host.name }}\", \"x\"]\npath = \"/{{ item }}\"\nrun_once = true\ndelegate_to = \"localhost\"",
        "[[phase.p.step.for_each]]\nname = \"x\"\n[[phase.p.step.for_each]]\nname = \"y\"",
    ] {
        let keys =
            if keys.contains("path") { keys.to_owned() } else { format!("path = \"/{{{{ item.name }}}}\"\n{keys}") };
        let all = report(users, &keys);
        // Ignores warnings: each case leaves some variables unused.
        let errors: Vec<&str> = all.lines().filter(|l| l.contains('×')).collect();
        assert!(errors.is_empty(), "{keys}: {all}");
    }
}

#[test]
fn invalid_loops_are_reported_at_their_place() {
    let tables = [
        ("", "for_each = [\"x\", \"y\", \"x\"]\npath = \"/{{ item }}\""),
        ("", "for_each = [{ nmae = \"x\" }]\npath = \"/a\""),
        ("", "path = \"/{{ item }}\""),
        ("", "for_each = \"{{ steps.b.checksum }}\"\npath = \"/{{ item }}\"\n[[phase.p.step]]\nid = \"b\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/b\""),
        ("[secrets]\nword = { env = \"W\" }", "for_each = [\"x\", \"{{ secrets.word }}\"]\npath = \"/a\""),
        ("[vars]\nusers = [{ name = \"ada\" }, { name = \"bob\", uid = 3 }]", "for_each = \"{{ users }}\"\npath = \"/a\"\ncount = \"{{ item.uid }}\"\ntemplate = \"templates/motd.j2\""),
    ]
    .map(|(vars, keys)| project().table(&plan(vars, keys)));
    insta::assert_snapshot!(tables.concat(), @r#"
    × 9:23 "x": items 1 and 3 of `for_each` are both named `x`
        a run identifies items by their names: rename or remove one of them
    × 9:13 { nmae = "x" }: item 1 of `for_each` has no name: it is a table
        items are texts or numbers, or tables with a `name`; or write a table, whose keys are their names
    × 9:13 item: `item` is defined in steps with `for_each` only
        give the step `for_each = ["…"]`, or name a variable otherwise
    × 9:12 "{{ steps.b.checksum }}": `for_each` is evaluated before the first step runs, so outputs of steps are not available
        write the items into [vars], or let one step do it for all of them with a template
    × 10:18 "{{ secrets.word }}": an item of `for_each` has a secret in its name
        names of items are shown in output: give the item a `name`, and keep the secret in another field
    × ROOT/templates/motd.j2:1:4 item.nmae: `item.nmae` is not defined
        did you mean `name`?
    × 12:13 item.uid: `item.uid` is not defined for `ada`
        `item` has `name`
    "#);
}

#[test]
fn invalid_lists() {
    let lines = [
        ("", "for_each = \"{{ domain }}\"\npath = \"/a\""),
        ("", "for_each = \"{{ doman }}\"\npath = \"/a\""),
        ("", "for_each = [[1]]\npath = \"/a\""),
        ("", "for_each = [\"\"]\npath = \"/a\""),
        ("", "for_each = [\"a\\nb\"]\npath = \"/a\""),
        ("", "for_each = \"{{ range(2000) | list }}\"\npath = \"/a\""),
        ("", "for_each = []\npath = \"/a\""),
        ("", "for_each = [\"{{ item }}\"]\npath = \"/a\""),
        ("[secrets]\nlist = { env = \"W\" }", "for_each = \"{{ secrets.list | from_json }}\"\npath = \"/a\""),
        ("[vars]\ncounts = [300]", "for_each = \"{{ counts }}\"\npath = \"/a\"\ncount = \"{{ item }}\""),
        ("", "for_each = \"{{ [host.slots] }}\"\npath = \"/a\"\ncount = \"{{ item }}\""),
    ]
    .map(|(vars, keys)| first_line(vars, keys));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    × `for_each` must be a list or a table, not a text
    × `doman` is not defined
    × item 1 of `for_each` has no name: it is a list
    × an item of `for_each` has an empty name
    × an item of `for_each` has control characters in its name: "a\nb"
    × `for_each` has 2000 items; 1000 are allowed
    ⚠ `for_each` has no items: step `a` does nothing
    × `item` is not defined in `for_each` itself
    × the items of `for_each` are made from a secret, so their names cannot be known
    × `count` must be an integer 0–255, not 300
    × `count` must be an integer 0–255, not a string
    "#);
}

#[test]
fn secrets_may_be_in_other_fields() {
    let secrets = "[secrets]\nword = { env = \"W\" }";
    let report = report(
        secrets,
        "for_each = [{ name = \"x\", word = \"{{ secrets.word }}\" }]\npath = \"/{{ item.name }}\"\nmode = \"{{ item.word }}\"",
    );
    assert_eq!(report, "0 errors");
}

#[test]
fn unknown_machines_in_delegate_to() {
    let lines = [
        "delegate_to = \"contrl\"\npath = \"/a\"",
        "delegate_to = \"{{ host.address }}\"\npath = \"/a\"",
        "delegate_to = \"pi-*\"\npath = \"/a\"",
        "delegate_to = \"{{ steps.a.checksum }}\"\npath = \"/a\"",
        "delegate_to = \"{{ nothing }}\"\npath = \"/a\"",
        "path = \"/a\"\n[[phase.p.step]]\nid = \"b\"\naction = \"test.release\"\nrelease = \"x\"\ndelegate_to = \"control\"",
        "path = \"/a\"\n[[phase.p.step]]\nid = \"b\"\naction = \"test.release\"\nrelease = \"x\"\nrun_once = true",
    ]
    .map(|keys| first_line("", keys));
    insta::assert_snapshot!(lines.join("\n"), @r"
    × no host is named `contrl`
    × no host is named `10.0.0.1`
    × no host is named `pi-*`
    × `delegate_to` is evaluated before the first step runs, so outputs of steps are not available
    × `nothing` is not defined
    × step `b` has `delegate_to`, but test.release runs once, from this machine
    ⚠ `run_once` has no effect on step `b`, which runs once anyway
    ");
}

#[test]
fn outputs_of_loops_are_by_item_and_outputs_of_run_once_are_not_by_host() {
    let lines = [
        "b.checksum",
        "b.items['x'].checksum",
        "c.checksum",
        "c.hosts['pi-1'].checksum",
        "c.items['x'].checksum",
    ]
    .map(|output| {
        let step = |id: &str, more: &str| {
            format!("[[phase.o.step]]\nid = \"{id}\"\naction = \"test.file\"\nhosts = \"pis\"\npath = \"/b\"\n{more}\n")
        };
        let others = format!("[phase.o]\n{}{}", step("b", "for_each = [\"x\"]"), step("c", "run_once = true"));
        let release = format!(
            "[[phase.q.step]]\nid = \"r\"\naction = \"test.release\"\nrelease = \"{{{{ steps.{output} }}}}\"\n"
        );
        let text = format!("{others}[phase.q]\nneeds = [\"o\"]\n{release}");
        let report = Project::new().check(&text);
        format!("{output}: {}", report.lines().next().unwrap_or_default().trim())
    });
    insta::assert_snapshot!(lines.join("\n"), @r"
    b.checksum: × step `b` is a loop: each item has a `checksum` of its own
    b.items['x'].checksum: 0 errors
    c.checksum: 0 errors
    c.hosts['pi-1'].checksum: × step `c` runs once
    c.items['x'].checksum: × step `c` is not a loop
    ");
}
