//! Unique values go through every feature as secrets, and are then searched for everywhere. All tests run the real
//! program.
//!
//! For a new feature add an entry to [`FEATURES`], for a new way to call the program one to [`CALLS`], and for a new
//! place where data may remain one to `places`.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

#[path = "../vault/bao.rs"]
mod bao;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
mod passing;
mod poison;
mod project;
#[path = "../hosts/sshd.rs"]
#[allow(dead_code, reason = "the tests of hosts ask more of it")]
mod sshd;

use std::fs;

use poison::Search;
use project::{Project, TERMINAL};
use rollout::secret::MASK;
use sshd::Sshd;

/// Steps with secrets, by name. `all` has all secrets, `DIR` is the project's folder, `key` is a secret of many lines.
const FEATURES: &[(&str, &str)] = &[
    ("file", "action = 'node.file'\npath = 'DIR/wanted/file'\ncontent = '{{ all }}'\nmode = '0600'"),
    (
        "template",
        "action = 'node.template'\npath = 'DIR/wanted/template'\ntemplate = 'templates/conf.j2'\nmode = '0600'",
    ),
    ("large", "action = 'node.template'\npath = 'DIR/wanted/large'\ntemplate = 'templates/large.j2'\nmode = '0600'"),
    // An earlier secret is elsewhere in the file; in a file without a secret now; in a removed file; in a removed line.
    (
        "moved",
        "action = 'node.file'\npath = 'DIR/wanted/moved'\ncontent = \"last\\n{{ all }}\\nfirst\\n\"\nmode = '0644'",
    ),
    ("private", "action = 'node.file'\npath = 'DIR/wanted/private'\ncontent = \"first\\nlast\\n\"\nmode = '0640'"),
    (
        "taken-out",
        "action = 'node.file'\npath = 'DIR/wanted/taken-out'\ncontent = 'last'\nmode = '0644'\nsensitive = true",
    ),
    ("gone", "action = 'node.file'\npath = 'DIR/wanted/gone'\nstate = 'absent'"),
    ("line-gone", "action = 'node.line'\npath = 'DIR/wanted/lines'\nmatch = '^old='\nstate = 'absent'"),
    ("fetch", "action = 'node.fetch'\npath = 'DIR/wanted/template'\nto = 'wanted/fetched'"),
    ("echo", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat'"),
    ("use", "action = 'node.command'\nstdin = '{{ steps.echo.stdout }}'\ncommand = 'cat >&2'"),
    ("base64", "action = 'node.command'\nstdin = 'a{{ all }}z'\ncommand = 'base64'"),
    ("base64-in-parts", "action = 'node.command'\nstdin = '{{ key }}'\ncommand = 'base64 -w 20; exit 1'"),
    ("base64url", "action = 'node.command'\nstdin = 'ab{{ all }}'\ncommand = 'base64 -w 0 | tr +/ -_; exit 1'"),
    ("hex", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'od -An -v -tx1 | tr -d \" \"; exit 1'"),
    ("fail", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat >&2; exit 3'"),
    ("fail-late", "action = 'node.command'\nstdin = '{{ key }}'\ncommand = 'cat; seq 15; exit 3'"),
    ("check", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat'\nchanges = false"),
    ("check-fails", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'base64; exit 1'\nchanges = false"),
    (
        "wait",
        "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat; exit 1'\nchanges = false\nwait = true\ntimeout = '5s'",
    ),
    ("retry", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat; exit 1'\nretry = 1\nretry_delay = '10ms'"),
    ("late", "action = 'node.command'\nstdin = '{{ all }}'\ncommand = 'cat; sleep 60'\ntimeout = '5s'"),
    ("argument", "action = 'node.directory'\npath = 'DIR/wanted/{{ secrets.file }}'"),
    // The characters that split the secret take no space on a screen.
    (
        "coloured",
        "action = 'node.command'\nstdin = '{{ secrets.file }}'\n\
         command = 'v=$(cat); for part in \"\\033[31m\" \"\\000\" \"\\033[0K\"; do \
         printf \"%.20s$part%s\\n\" \"$v\" \"$(printf %s \"$v\" | cut -c 21-)\"; done; exit 1'",
    ),
    ("filter", "action = 'node.file'\npath = 'DIR/wanted/no'\ncontent = '{{ secrets.file | from_json }}'"),
    (
        "filter-yaml",
        "action = 'node.file'\npath = 'DIR/wanted/no'\ncontent = \"{{ ('a: [' ~ secrets.file) | from_yaml }}\"",
    ),
    (
        "filter-key",
        "action = 'node.file'\npath = 'DIR/wanted/no'\ncontent = \"{{ ('a: {' ~ secrets.key) | from_yaml }}\"",
    ),
    ("filter-base64", "action = 'node.file'\npath = 'DIR/wanted/no'\ncontent = '{{ secrets.file | b64decode }}'"),
    ("when", "action = 'node.file'\npath = 'DIR/wanted/no'\ncontent = ''\nwhen = \"secrets.file == 'x'\""),
    ("made", "action = 'node.command'\ncommand = 'cat DIR/made'\nsensitive = true"),
    (
        "made-fails",
        "action = 'node.command'\ncommand = 'cat DIR/made >&2; exit 1'\nsensitive = true\nretry = 1\nretry_delay = '10ms'",
    ),
    (
        "http",
        "action = 'http.check'\nurl = 'ECHO'\nbody = '{{ all }}'\nheaders = { x = '{{ secrets.file | b64encode }}' }\nrequest_timeout = '5s'\ntimeout = '2s'",
    ),
    // Prints the first part of a secret, waits until the test has searched, and prints the rest.
    (
        "gate",
        "action = 'node.command'\nstdin = '{{ all }}'\n\
         command = 'v=$(cat); printf %s \"$v\" | head -c 25; touch DIR/begun; until test -e DIR/go; do sleep 0.05; done; \
         printf %s \"$v\" | tail -c +26'",
    ),
];

/// Ways to call the program with the plan. A step of a run waits at the gate, also in a run that continues one whose
/// step passed the gate. Calls with [`TERMINAL`] run in a terminal of their own.
const CALLS: &[&[&str]] = &[
    &["check"],
    &["plan"],
    &["plan", "--diff", "full", "--output", "json"],
    &["run", "--rerun", "gate", "--diff", "full", "--output", "json"],
    &["run", "--rerun", "gate", "--diff", "full"],
    &["plan", "--diff", "full", "--color", "always"],
    &[TERMINAL, "plan", "--diff", "full", "--color", "always"],
    &[TERMINAL, "run", "--fresh", "--diff", "full"],
    &["run", "--fresh", "--color", "always"],
];

/// Ways to call the program without a plan.
const QUERIES: &[&[&str]] =
    &[&["runs"], &["runs", "--output", "json"], &["show", "--diff", "full"], &["show", "--output", "json"]];

fn goes_nowhere_but_where_it_is_wanted(project: &Project, further_places: &[std::path::PathBuf]) {
    let search = Search::new(&project.values());
    let mut found = Vec::new();
    for (log, args) in ["off", "trace"].into_iter().flat_map(|log| CALLS.iter().map(move |call| (log, call))) {
        project.put_back();
        // The program that opens the terminal inherits the secrets' variables from this test.
        let look = || if args.contains(&TERMINAL) { Vec::new() } else { search.find_in_processes() };
        let (output, seen) = project.call(args, log, look);
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&said);
        // Some steps fail on purpose. If the machine is too slow for a deadline, the exit code is another one.
        let codes: &[i32] = if args.contains(&"check") { &[0] } else { &[1, 4] };
        assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{args:?}: {text}");
        // Without this output, the search would find nothing because there was nothing to search.
        assert!(args[0] == "check" || text.contains(MASK), "{args:?}: {text}");
        found.extend(seen.into_iter().chain(search.find(&said).iter().map(|name| format!("{args:?} said {name}"))));
    }
    for args in QUERIES {
        let output = project.query(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        found.extend(search.find(&output.stdout).iter().map(|name| format!("{args:?} said {name}")));
    }
    let all = project.all();
    for (wanted, mode) in [("file", 0o600), ("template", 0o600), ("large", 0o600), ("fetched", 0o600), ("moved", 0o644)]
    {
        let content = fs::read_to_string(project.path("wanted").join(wanted)).unwrap();
        assert!(content.contains(&all), "{wanted} has no secret in it");
        assert_eq!(project.mode(&format!("wanted/{wanted}")), mode);
    }
    let without = ["private", "taken-out", "lines"];
    for file in without {
        let content = fs::read_to_string(project.path("wanted").join(file)).unwrap();
        assert!(search.find(content.as_bytes()).is_empty(), "{file} was not changed");
    }
    let left: Vec<_> = fs::read_dir(project.path("wanted")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 5 + without.len(), "{left:?}");

    found.extend(left_behind(project, &search, further_places));
    assert_eq!(found, Vec::<String>::new());
}

/// Values in files where they must not be: files of the project (journals, saved plans, logs), and temporary files of
/// anybody.
fn left_behind(project: &Project, search: &Search, further_places: &[std::path::PathBuf]) -> Vec<String> {
    let wanted = [project.path("wanted"), project.path("kept")];
    let left_out: Vec<_> = wanted.iter().map(std::path::PathBuf::as_path).collect();
    let mut places = vec![(project.path(""), 5), (std::env::temp_dir(), 1), ("/run".into(), 2)];
    places.extend(further_places.iter().map(|place| (place.clone(), 1)));
    places.iter().flat_map(|(place, depth)| search.find_in(place, *depth, &left_out)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_on_a_host_over_ssh() {
    let (sshd, bao) = (Sshd::start(), bao::Bao::start().await);
    let project = Project::new(FEATURES, &sshd.inventory(), bao.as_ref()).await;
    goes_nowhere_but_where_it_is_wanted(&project, &[sshd.log()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_on_this_machine() {
    let bao = bao::Bao::start().await;
    let project = Project::new(FEATURES, "[hosts.target]\nconnection = \"local\"\n", bao.as_ref()).await;
    goes_nowhere_but_where_it_is_wanted(&project, &[]);
}

/// Runs in a child process, which executes this test program.
#[test]
fn a_panic_says_no_secret() {
    if let Ok(value) = std::env::var("POISON_OF_A_PANIC") {
        rollout::cli::log::start();
        rollout::secret::register(&value);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &value);
        panic!("unexpected {value}, {encoded}");
    }
    let value = poison::value("panic");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_says_no_secret", "--nocapture"])
        .env("POISON_OF_A_PANIC", &value)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&format!("unexpected {MASK}, {MASK}")), "{said}");
    assert_eq!(Search::new(&[("panic", &value)]).find(&output.stderr), Vec::<&str>::new());
}
