//! Journals of every released format can be read, shown and continued. `tests/journals` has samples, each with its
//! plan.

use std::collections::BTreeMap;
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rollout::event::{Event, EventKind, outcome_name};
use rollout::journal::read;

use crate::run::Ran;
use crate::world::World;

/// A store with the journals of `tests/journals/VERSION`, up to the n-th.
struct Old {
    world: World,
    plan: PathBuf,
    journals: Vec<PathBuf>,
}

impl Old {
    fn new(version: &str, phases: &[&str], count: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals").join(version);
        let old = Self { world: World::new(), plan: folder.join("plan.toml"), journals: Vec::new() };
        // A run that does nothing creates the folder, whose name only the program knows.
        let skips: Vec<&str> = phases.iter().flat_map(|phase| ["--skip", phase]).collect();
        assert_eq!(old.run(&skips).code, 0);
        let made = old.world.journals().pop().unwrap();
        fs::remove_file(&made).unwrap();
        let mut kept: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
        kept.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
        kept.sort();
        for path in &kept[..count] {
            fs::copy(path, made.with_file_name(path.file_name().unwrap())).unwrap();
        }
        Self { journals: old.world.journals(), ..old }
    }

    fn run(&self, more: &[&str]) -> Ran {
        let args = [&["run", self.plan.to_str().unwrap(), "--output", "json"], more].concat();
        Ran::of(&self.world.rollout(&args).output().unwrap())
    }

    fn events(&self) -> Vec<Event> {
        read(self.journals.last().unwrap()).unwrap()
    }

    /// The output of `rollout show` for the newest run.
    fn shown(&self) -> String {
        let output = self.world.rollout(&["show"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// How long to wait for the test of another checkout that uses the folder of a fixture.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that a fixture's plan names, for the duration of the test. Its name is part of recorded hashes, so all
/// checkouts on this machine share it, one at a time.
struct Fixture {
    path: PathBuf,
    /// An abstract socket name, which disappears with the test, even if the test is killed.
    _turn: UnixListener,
}

impl Fixture {
    fn new(path: &str) -> Self {
        let fixture = Self { path: path.into(), _turn: turn(path) };
        fixture.remove();
        fs::create_dir_all(path).unwrap();
        fixture
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(self.path.with_extension("tried"));
    }
}

fn turn(path: &str) -> UnixListener {
    let name = SocketAddr::from_abstract_name(path).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixListener::bind_addr(&name) {
            Ok(turn) => return turn,
            Err(error) => assert!(Instant::now() < deadline, "{path} is another test's for {PATIENCE:?}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.remove();
    }
}

fn outcomes(ran: &Ran) -> Vec<(String, &'static str)> {
    ran.outcomes().into_iter().collect()
}

fn are(pairs: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    pairs.iter().map(|(step, outcome)| ((*step).to_owned(), *outcome)).collect()
}

/// The reasons why recorded steps ran again.
fn whys(ran: &Ran) -> BTreeMap<&str, &str> {
    let whys = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::UnitStarted { unit, why: Some(why), .. } => Some((unit.step.as_str(), why.as_str())),
        _ => None,
    });
    whys.collect()
}

#[test]
fn runs_of_format_1_are_gone_on_from() {
    let _fixture = Fixture::new("/tmp/rollout-fixture");
    let phases = ["prepare", "deploy", "after"];

    let failed = Old::new("v1", &phases, 1);
    assert!(failed.events().iter().all(|e| e.v == 1));
    assert!(failed.shown().contains("deploy/fails@localhost"), "{}", failed.shown());
    let ran = failed.run(&[]);
    let ends = [
        ("date", "kept"),
        ("fails", "failed"),
        ("folder", "kept"),
        ("last", "cancelled"),
        ("left-out", "skipped"),
        ("waits", "cancelled"),
    ];
    assert_eq!((ran.code, outcomes(&ran)), (1, are(&ends)), "{}", ran.failures());
    assert_eq!(whys(&ran), [("fails", "it had failed")].into());

    let cut_off = Old::new("v1", &phases, 2);
    assert!(cut_off.shown().contains("prepare/date@localhost"), "{}", cut_off.shown());
    let ran = cut_off.run(&[]);
    let ends = [
        ("date", "kept"),
        ("fails", "kept"),
        ("folder", "kept"),
        ("last", "cancelled"),
        ("left-out", "skipped"),
        ("waits", "unknown"),
    ];
    assert_eq!((ran.code, outcomes(&ran)), (1, are(&ends)), "{}", ran.failures());
    assert!(ran.said.contains("--done deploy/waits@localhost"), "{}", ran.said);
    let ran = cut_off.run(&["--done", "waits"]);
    assert_eq!((ran.code, ran.steps("changed")), (0, vec!["last"]), "{}", ran.failures());
}

#[test]
fn runs_of_format_2_are_gone_on_from() {
    let fixture = Fixture::new("/tmp/rollout-fixture-2");
    let phases = ["prepare", "trial", "cut"];

    let failed = Old::new("v2", &phases, 1);
    assert!(failed.events().iter().all(|e| e.v == 2));
    assert!(failed.shown().contains("trial/take-back@localhost"), "{}", failed.shown());
    let ran = failed.run(&[]);
    assert_eq!((ran.code, ran.steps("failed").len()), (1, 2), "the handler and the judge fail: {}", ran.failures());
    fs::write(fixture.path.join("go"), "").unwrap();
    let ran = failed.run(&[]);
    let ends = [
        ("config", "kept"),
        ("cut", "skipped"),
        ("folder", "kept"),
        ("judge", "same"),
        ("once", "kept"),
        ("reload", "changed"),
        ("tried", "changed"),
    ];
    assert_eq!((ran.code, outcomes(&ran)), (0, are(&ends)), "{}", ran.failures());

    let cut_off = Old::new("v2", &phases, 2);
    let remembered = |e: &Event| matches!(e.kind, EventKind::Remembered { .. } | EventKind::Notified { .. });
    assert!(cut_off.events().iter().filter(|e| remembered(e)).count() > 5);
    assert!(cut_off.shown().contains("prepare/once@localhost"), "{}", cut_off.shown());
    fs::remove_file(fixture.path.with_extension("tried")).unwrap();
    let ran = cut_off.run(&["--var", "cut=yes"]);
    let mut with_cut: BTreeMap<_, _> = are(&ends).into_iter().collect();
    with_cut.insert("cut".into(), "unknown");
    assert_eq!((ran.code, ran.outcomes()), (1, with_cut), "{}", ran.failures());
    assert_eq!((whys(&ran)["tried"], whys(&ran)["judge"]), ("it was cut off", "it had failed"));
    let ran = cut_off.run(&["--var", "cut=yes", "--done", "cut"]);
    assert_eq!((ran.code, ran.steps("changed").len()), (0, 0), "{}", ran.failures());
}

/// The outcome of each unit, by name.
fn units(ran: &Ran) -> BTreeMap<String, &'static str> {
    let ends = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::UnitFinished { unit, outcome, .. } => Some((unit.to_string(), outcome_name(outcome))),
        _ => None,
    });
    ends.collect()
}

#[test]
fn runs_of_format_3_are_gone_on_from() {
    let fixture = Fixture::new("/tmp/rollout-fixture-3");
    let phases = ["loops", "cut"];

    let failed = Old::new("v3", &phases, 1);
    assert!(failed.events().iter().all(|e| e.v == 3));
    assert!(failed.shown().contains("loops/each[b]@localhost"), "{}", failed.shown());
    fs::write(fixture.path.join("go"), "").unwrap();
    fs::write(fixture.path.join("reload"), "").unwrap();
    let ran = failed.run(&[]);
    let ends = [
        ("loops/each[a]@localhost", "kept"),
        ("loops/each[b]@localhost", "changed"),
        ("loops/each[c]@localhost", "changed"),
        ("loops/once", "kept"),
        ("loops/reload[a]@localhost", "changed"),
        ("loops/reload[b]@localhost", "changed"),
    ];
    let mut units_of = units(&ran);
    units_of.retain(|unit, _| unit.starts_with("loops/"));
    assert_eq!((ran.code, units_of), (0, are(&ends).into_iter().collect()), "{}", ran.failures());

    let cut_off = Old::new("v3", &phases, 2);
    assert!(cut_off.shown().contains("cut/cut[y]@localhost"), "{}", cut_off.shown());
    let ran = cut_off.run(&["--var", "cut=yes"]);
    let ends = units(&ran);
    assert_eq!((ends["cut/cut[x]@localhost"], ends["cut/cut[y]@localhost"]), ("kept", "unknown"), "{}", ran.failures());
    let ran = cut_off.run(&["--var", "cut=yes", "--done", "cut[y]"]);
    assert_eq!((ran.code, ran.steps("changed").len()), (0, 0), "{}", ran.failures());
}

#[test]
fn runs_of_format_4_are_gone_on_from() {
    let fixture = Fixture::new("/tmp/rollout-fixture-4");
    let failed = Old::new("v4", &["prepare", "judge"], 1);
    assert!(failed.events().iter().all(|e| e.v == 4));
    assert!(failed.shown().contains("! warned    prepare/try@localhost"), "{}", failed.shown());
    fs::write(fixture.path.join("go"), "").unwrap();
    let ran = failed.run(&[]);
    let ends = [("config", "kept"), ("folder", "kept"), ("judge", "same"), ("try", "changed")];
    assert_eq!((ran.code, outcomes(&ran)), (0, are(&ends)), "{}", ran.failures());
    let whys_of = whys(&ran);
    assert_eq!((whys_of["try"], whys_of["judge"]), ("it had failed, which was ignored", "it had failed"));
}
