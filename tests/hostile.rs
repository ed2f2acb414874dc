//! `rollout check` on hostile repositories, which try to keep it busy, exhaust memory or crash it. The real program
//! runs with little memory and a deadline, and must end with a readable finding each time.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Memory limit of the program, in KiB.
const MEMORY: u64 = 2 * 1024 * 1024;
/// Deadline in seconds; only a hang takes longer.
const DEADLINE: u64 = 120;
/// The longest output in bytes: one or two screens.
const MOST_SAID: usize = 8_000;

/// A repository, and the expected message.
struct Case {
    name: &'static str,
    says: &'static str,
    plan: String,
    hosts: String,
    template: String,
    /// Creates files that are more than a text.
    make: fn(&Path),
}

impl Case {
    fn new(name: &'static str, says: &'static str) -> Self {
        let hosts = "[hosts.a]\n".to_owned();
        Self { name, says, plan: String::new(), hosts, template: "text".to_owned(), make: |_| {} }
    }

    /// A repository with one step, which writes the template to all hosts.
    fn step(self, vars: &str, keys: &str) -> Self {
        let plan = format!(
            "[plan]\nname = \"p\"\n[vars]\n{vars}\n[[phase.one.step]]\nid = \"put\"\naction = \"node.template\"\n\
             hosts = \"all\"\n{keys}\n"
        );
        Self { plan, ..self }
    }

    /// A repository with one step, which writes this template to one host.
    fn template(self, text: &str) -> Self {
        let case = Self { template: text.to_owned(), ..self };
        case.step("", "path = \"/x\"\ntemplate = \"templates/t.j2\"")
    }

    fn hosts(self, count: usize) -> Self {
        Self { hosts: format!("[hosts.\"h[1:{count}]\"]\n"), ..self }
    }

    fn with_group(self, vars: &str) -> Self {
        Self { hosts: format!("{}[groups.g]\nhosts = [\"all\"]\n[groups.g.vars]\n{vars}\n", self.hosts), ..self }
    }

    fn pattern(self, pattern: &str) -> Self {
        Self { plan: self.plan.replace("hosts = \"all\"", &format!("hosts = \"{pattern}\"")), ..self }
    }

    fn make(self, make: fn(&Path)) -> Self {
        Self { make, ..self }
    }

    /// What is wrong with the program's result, if anything.
    fn wrong(&self) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("plans")).unwrap();
        fs::create_dir_all(at("templates")).unwrap();
        fs::write(at("plans/p.toml"), &self.plan).unwrap();
        fs::write(at("hosts.toml"), &self.hosts).unwrap();
        fs::write(at("templates/t.j2"), &self.template).unwrap();
        (self.make)(folder.path());
        let limited = format!("ulimit -v {MEMORY} && exec timeout -s KILL {DEADLINE} \"$@\"");
        let done = Command::new("sh")
            .args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_rollout"), "check", "plans/p.toml", "-i", "hosts.toml"])
            .current_dir(folder.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
        let start: String = said.chars().take(1500).collect();
        if done.status.code() != Some(2) {
            return Some(format!("ended with {:?}, signal {:?}: {start}", done.status.code(), done.status.signal()));
        }
        // The renderer wraps long lines.
        let words = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.contains(self.says) {
            return Some(format!("does not say {:?}: {start}", self.says));
        }
        (said.len() > MOST_SAID).then(|| format!("says {} bytes: {start}", said.len()))
    }
}

fn all_end_as_findings(cases: &[Case]) {
    let wrong = cases.iter().filter_map(|case| Some(format!("{}: {}", case.name, case.wrong()?)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn endless(path: &Path) {
    fs::remove_file(path).unwrap();
    symlink("/dev/zero", path).unwrap();
}

#[test]
fn files_that_are_none() {
    let case = |name, says| Case::new(name, says).template("text");
    let outside = "leads out of the project by a link";
    all_end_as_findings(&[
        case("plan: pipe", "it is a pipe, and not a file").make(|at| pipe(&at.join("plans/p.toml"))),
        case("inventory: pipe", "it is a pipe, and not a file").make(|at| pipe(&at.join("hosts.toml"))),
        case("template: pipe", "it is a pipe, and not a file").make(|at| pipe(&at.join("templates/t.j2"))),
        case("plan: endless", "it is a device, and not a file").make(|at| endless(&at.join("plans/p.toml"))),
        case("inventory: endless", "it is a device, and not a file").make(|at| endless(&at.join("hosts.toml"))),
        case("template: endless", outside).make(|at| endless(&at.join("templates/t.j2"))),
        case("included: pipe", "it is a pipe, and not a file").template("{% include 'templates/pipe' %}").make(|at| {
            fs::write(at.join("templates/pipe"), "").unwrap();
            pipe(&at.join("templates/pipe"));
        }),
    ]);
}

#[test]
fn plans_that_multiply() {
    let doubling = |start: &str| {
        let next = |n: usize| format!("v{n} = \"{{{{ v{0} }}}}{{{{ v{0} }}}}\"\n", n - 1);
        format!("v0 = \"{start}{}\"\n", "x".repeat(500)) + &(1..=14).map(next).collect::<String>()
    };
    let content = "path = \"/x\"\ncontent = \"{{ v14 | length }}\"";
    let items = format!("for_each = {:?}\npath = \"/{{{{ item }}}}\"", (0..1000).collect::<Vec<_>>());
    let file = |case: Case| Case { plan: case.plan.replace("node.template", "node.file"), ..case };
    let many = (0..150).map(|n| format!("item{n}")).collect::<Vec<_>>();
    let many = format!("for_each = {many:?}\npath = \"/{{{{ item }}}}\"\ncontent = \"x\"");
    let again = format!("{many}\n[[phase.one.step]]\nid = \"again\"\naction = \"node.file\"\nhosts = \"all\"\n{many}");
    let huge = format!("v = \"{}\"", "x".repeat(500_000));
    all_end_as_findings(&[
        file(Case::new("units", "9999 hosts × 1000 items").step("", &format!("{items}\ncontent = \"x\"")).hosts(9999)),
        file(Case::new("units of two steps", "with step `again`").step("", &again).hosts(9999)),
        file(Case::new("variables of hosts", "variable `v").step(&doubling("{{ host.name }}"), content).hosts(9999)),
        file(Case::new("variables of a group", "`v`").step("", &content.replace("v14", "v")).hosts(9999))
            .with_group(&huge),
        // Values that do not depend on the host exist once, so the limit is not reached and the later mistake is found.
        file(
            Case::new("variables of all", "`nobody` is not defined")
                .step(&doubling(""), &format!("{content}\nmode = \"{{{{ nobody }}}}\""))
                .hosts(9999),
        ),
    ]);
}

/// A template with two lists, `{0}` and `{1}` at the end, each of which contains one list twice, nested forty times.
fn with_doubled(end: &str) -> String {
    let twice = |name: &str| {
        format!(
            "{{% set {name} = namespace(a=[1]) %}}{{% for i in range(40) %}}{{% set {name}.a = [{name}.a, {name}.a] %}}{{% endfor %}}"
        )
    };
    twice("a") + &twice("b") + &end.replace("{0}", "a.a").replace("{1}", "b.a")
}

#[test]
fn templates_that_make_much_from_little() {
    let endless = |end: &'static str| Case::new(end, "takes more than 3 seconds").template(&with_doubled(end));
    all_end_as_findings(&[
        Case::new("indent", "takes more than 250000 steps").template("{{ [1] | tojson(indent=100000000000) }}"),
        Case::new("raw", "template does not parse").template(&"{% raw %}".repeat(100_000)),
        endless("{{ {0} == {1} }}"),
        endless("{{ {0} in 'text' }}"),
        endless("{{ {0} ~ '' }}"),
        endless("{{ [{0}, {1}] | sort }}"),
    ]);
}

#[test]
fn filters_that_write_values_out() {
    let steps = "takes more than 250000 steps";
    let doubled = |end: &'static str| Case::new(end, steps).template(&with_doubled(end));
    all_end_as_findings(&[
        doubled("{{ {0} | safe | length }}"),
        doubled("{{ {0} | title | length }}"),
        doubled("{{ {0} | replace('1', '2') | length }}"),
        doubled("{{ 'a' | replace('a', {0}) | length }}"),
        doubled("{{ {0} | indent(2) | length }}"),
        doubled("{{ {0} | trim | length }}"),
        doubled("{{ {0} is startingwith 'x' }}"),
    ]);
}

#[test]
fn values_that_end_the_program() {
    let deep = "{% set a = namespace(a=1) %}{% for i in range(20000) %}{% set a.a = [a.a] %}{% endfor %}";
    all_end_as_findings(&[
        Case::new("step", "template fails").template("{{ 'text'[::-9223372036854775808] }}"),
        Case::new("deep", "`nobody` is not defined").template(&format!("{deep}text{{{{ nobody }}}}")),
        Case::new("deep, compared", "`nobody` is not defined")
            .template(&format!("{deep}{{{{ a.a == [1] }}}}{{{{ nobody }}}}")),
    ]);
}

#[test]
fn long_lines() {
    let long = "x".repeat(900_000);
    let plan = |text: String| Case { plan: text, ..Case::new("line", "`nobody` is not defined") };
    all_end_as_findings(&[
        plan(format!("[plan]\nname = \"p\"\n[[phase.one.step]]\nid = \"a\"\naction = \"node.file\"\nhosts = \"all\"\npath = \"/x\"\ncontent = \"{long}{{{{ nobody }}}}{long}\"\n").replace("xx", "x")),
        Case::new("a template's line", "`nobody` is not defined").template(&format!("{long}{{{{ nobody }}}}{long}")),
        Case::new("a template's words", "`nobody` is not defined").template(&format!("{}{{{{ nobody }}}}", "ab ".repeat(300_000))),
        Case { plan: format!("{long} = 1"), ..Case::new("key", "xxx") },
        Case { plan: format!("[plan]\nname = \"{long}\""), ..Case::new("name", "at most 100 characters") },
        Case { hosts: format!("[hosts.{long}]"), ..Case::new("host", "longer than 253 bytes").template("text") },
        Case { hosts: format!("[hosts.a]\n{long} = 1"), ..Case::new("host's key", "is not a key").template("text") },
        Case::new("path", "").step("", &format!("template = \"{long}\"\npath = \"/x\"")),
        Case::new("a name that is not defined", "is not defined").template(&format!("{{{{ {long} }}}}")),
        Case::new("pattern", "").step("", "path = \"/x\"\ntemplate = \"templates/t.j2\"").pattern(&long),
    ]);
}
