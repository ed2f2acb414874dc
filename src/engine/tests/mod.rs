//! The engine against a world that is a map from path to text.

mod after;
mod away;
mod defects;
mod fact_cache;
mod guarded;
mod guarded_host;
mod handlers;
mod loops;
mod pace;
mod resume;
mod saved;
mod undo;
mod world;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use world::{FakeWorld, registry};

use super::*;
use crate::event::{Event, EventKind, Mode, Outcome, outcome_name};
use crate::graph::{Graph, RenderContext};
use crate::inventory::{Connection, Host, Inventory};
use crate::journal::{Journal, PreviousRun, RunHistory, SavedPlan, read};
use crate::plan::{Pace, Phase, Plan, Retry, Scope, Source, Spanned, Step, StepKind};
use crate::template::Templates;

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, 0..0)
}

fn step(id: &str, action: &str, params: Value) -> Step {
    let Value::Object(params) = params else { panic!("parameters are a table") };
    Step {
        kind: StepKind::Step,
        id: at(id.to_owned()),
        action: at(action.to_owned()),
        hosts: None,
        needs: None,
        when: None,
        for_each: None,
        run_once: false,
        delegate_to: None,
        as_root: false,
        retry: Retry { times: 0, delay: Duration::from_millis(1) },
        timeout: Some(Duration::from_millis(600)),
        pace: Pace::default(),
        ignore_errors: false,
        notify: Vec::new(),
        flush: false,
        on_failure: Vec::new(),
        guard: None,
        unguarded: None,
        sensitive: false,
        tags: Vec::new(),
        params,
        spans: Vec::new(),
        key_spans: Vec::new(),
    }
}

/// A step that sets `path` to `value`.
fn set(id: &str, value: &str) -> Step {
    step(id, "test.set", json!({ "path": id, "value": value }))
}

fn phase(name: &str, needs: &[&str], steps: Vec<Step>) -> Phase {
    let needs = needs.iter().map(|n| at((*n).to_owned())).collect();
    Phase { name: at(name.to_owned()), description: None, needs, when: None, pace: Pace::default(), guard: None, steps }
}

fn plan(phases: Vec<Phase>) -> Plan {
    Plan {
        source: Source { path: "plan.toml".into(), text: String::new() }.into(),
        root: ".".into(),
        name: at("test".to_owned()),
        description: None,
        vars: vec![(at("greeting".to_owned()), at(json!("hello")))],
        secrets: Vec::new(),
        phases,
    }
}

/// A pattern stands for the hosts of its names.
fn hosts(pattern: &str) -> Vec<Arc<Host>> {
    let host = |name: &str| {
        // All are this machine but for those with such a name.
        let connection = if name.starts_with("far") { Connection::Ssh } else { Connection::Local };
        let (name, vars) = (name.to_owned(), Map::new());
        Arc::new(Host { address: name.clone(), name, connection, vars, ..Host::default() })
    };
    pattern.split(',').map(host).collect()
}

/// A run's ends by unit, its report and its events.
struct Ran {
    outcomes: HashMap<String, Outcome>,
    report: Report,
    events: Vec<Event>,
}

impl Ran {
    fn word(&self, unit: &str) -> &'static str {
        outcome_name(&self.outcomes[unit])
    }
}

struct Setup {
    mode: Mode,
    memory: RunHistory,
    journal: Option<Journal>,
    interrupts: watch::Receiver<u8>,
    options: Options,
    agreed: Option<SavedPlan>,
    faults: Arc<dyn Faults>,
    /// The only host that is seen; `None`: all.
    sees: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        let (_keep, interrupts) = watch::channel(0);
        let (memory, options) = (RunHistory::default(), Options::default());
        let faults = Arc::new(());
        Self { mode: Mode::Run, memory, journal: None, interrupts, options, agreed: None, faults, sees: None }
    }
}

async fn run_with(plan: Plan, world: &FakeWorld, setup: Setup) -> Ran {
    let (report, seen) = try_run(plan, world, setup).await;
    let outcomes = seen
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::UnitFinished { unit, outcome, .. } => Some((unit.to_string(), outcome.clone())),
            _ => None,
        })
        .collect();
    Ran { outcomes, report: report.unwrap(), events: seen }
}

async fn try_run(plan: Plan, world: &FakeWorld, setup: Setup) -> (Result<Report, EngineError>, Vec<Event>) {
    let templates = Templates::new(&plan.root);
    let inventory = Inventory::parse("i.toml".as_ref(), "[hosts.\"h[1:3]\"]\n").unwrap();
    let (scope, errors) = Scope::new(&plan, &inventory, &Map::new(), &templates);
    assert!(errors.is_empty());
    let (readers, mut events) = mpsc::unbounded_channel();
    let in_sight = |host: &Host| setup.sees.is_none_or(|name| name == host.name);
    let graph = Graph::new(&plan, hosts, in_sight, RenderContext { templates: &templates, scope: &scope });
    let engine = Engine {
        graph: graph.unwrap(),
        plan: plan.into(),
        registry: registry().into(),
        renderer: Renderer::new(templates, scope, &registry()),
        world: world.clone().into(),
        mode: setup.mode,
        run: "r".into(),
        source: None,
        faults: setup.faults,
        approved: setup.agreed,
        journal: setup.journal,
        earlier: PreviousRun { history: setup.memory, ..PreviousRun::default() },
        options: setup.options,
        readers,
        interrupts: setup.interrupts,
    };
    let report = engine.run().await;
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        seen.push(event);
    }
    (report, seen)
}

async fn run(plan: Plan, world: &FakeWorld) -> Ran {
    run_with(plan, world, Setup::default()).await
}

async fn preview(plan: Plan, world: &FakeWorld) -> Ran {
    run_with(plan, world, Setup { mode: Mode::Preview, ..Setup::default() }).await
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], vec![set("a", "{{ greeting }}"), set("b", "2")])]);
    let first = run(make(), &world).await;
    assert_eq!((first.word("p/a"), first.word("p/b"), first.report.ok), ("changed", "changed", true));
    assert_eq!(world.get("a").as_deref(), Some("hello"));
    let second = run(make(), &world).await;
    assert_eq!((second.word("p/a"), second.word("p/b")), ("same", "same"));
    assert_eq!(world.writes(), 2);
}

#[tokio::test]
async fn a_failure_stops_what_needs_it_and_nothing_else() {
    let world = FakeWorld::default();
    world.refuse("a");
    let ran = run(
        plan(vec![
            phase("p", &[], vec![set("a", "1"), set("b", "1")]),
            phase("after", &["p"], vec![set("c", "1")]),
            phase("aside", &[], vec![set("d", "1")]),
        ]),
        &world,
    )
    .await;
    assert_eq!(ran.word("p/a"), "failed");
    assert_eq!(ran.outcomes["p/b"], Outcome::Cancelled { needs: "p/a".into() });
    assert_eq!(ran.outcomes["after/c"], Outcome::Cancelled { needs: "p/a".into() });
    assert_eq!(ran.word("aside/d"), "changed");
    assert!(!ran.report.ok);
}

#[tokio::test]
async fn a_preview_changes_nothing_and_marks_what_it_cannot_know() {
    let world = FakeWorld::default();
    let reads = step("reads", "test.set", json!({ "path": "x", "value": "{{ steps.made.value }}" }));
    let wait = step("wait", "test.wait", json!({ "path": "made", "value": "1" }));
    let later = step("later", "test.thing", json!({ "kind": "Gateway" }));
    let brings = step("brings", "test.set", json!({ "path": "crd", "value": "1", "brings": "Gateway" }));
    let ran = preview(plan(vec![phase("p", &[], vec![set("made", "1"), reads, wait, brings, later])]), &world).await;
    assert_eq!(ran.word("p/made"), "changed");
    assert_eq!(ran.outcomes["p/reads"], Outcome::Pending { needs: "outputs of step made".into() });
    assert!(matches!(&ran.outcomes["p/wait"], Outcome::Pending { needs } if needs.contains("step ")));
    assert_eq!(ran.word("p/brings"), "changed");
    assert_eq!(
        ran.outcomes["p/later"],
        Outcome::Pending { needs: "kind Gateway.example, which step brings brings".into() }
    );
    assert_eq!(world.writes(), 0);
    assert!(ran.report.ok);
}

#[tokio::test]
async fn a_preview_reports_a_wait_that_no_step_will_end() {
    let world = FakeWorld::default();
    let wait = step("wait", "test.wait", json!({ "path": "x", "value": "1" }));
    let ran = preview(plan(vec![phase("p", &[], vec![wait])]), &world).await;
    assert_eq!(ran.outcomes["p/wait"], Outcome::Waits { seen: "x is absent".into() });
}

#[tokio::test]
async fn a_wait_ends_when_the_world_moves() {
    let world = FakeWorld::default();
    world.appears_after("x", "1", 3);
    let wait = step("wait", "test.wait", json!({ "path": "x", "value": "1" }));
    let ran =
        run(plan(vec![phase("p", &[], vec![Step { timeout: Some(Duration::from_secs(20)), ..wait }])]), &world).await;
    assert_eq!(ran.word("p/wait"), "same");
    let notes = ran
        .events
        .iter()
        .filter(|e| matches!(&e.kind, EventKind::Progress { message, .. } if message == "x is absent"));
    assert!(notes.count() > 0, "a wait says what it sees");
}

#[tokio::test]
async fn a_wait_outlasts_a_moment_without_answers_but_a_first_look_does_not() {
    let wait = || Step {
        timeout: Some(Duration::from_secs(20)),
        ..step("wait", "test.wait", json!({ "path": "x", "value": "1" }))
    };
    let world = FakeWorld::default();
    world.appears_after("x", "1", 2);
    world.silent_at(&[2]);
    assert_eq!(run(plan(vec![phase("p", &[], vec![wait()])]), &world).await.word("p/wait"), "same");
    let world = FakeWorld::default();
    world.silent_at(&[1]);
    assert_eq!(run(plan(vec![phase("p", &[], vec![wait()])]), &world).await.word("p/wait"), "failed");
}

#[tokio::test]
async fn a_wait_that_times_out_says_what_it_saw_last() {
    let world = FakeWorld::default();
    let wait = step("wait", "test.wait", json!({ "path": "x", "value": "1" }));
    let ran = run(plan(vec![phase("p", &[], vec![wait])]), &world).await;
    let Outcome::Failed(problem) = &ran.outcomes["p/wait"] else { panic!("{:?}", ran.outcomes) };
    assert_eq!(problem.message, "not so after 600ms: x is absent");
}

#[tokio::test]
async fn failed_attempts_are_repeated() {
    let world = FakeWorld::default();
    world.refuse_times("a", 2);
    let retried = Step { retry: Retry { times: 2, delay: Duration::from_millis(1) }, ..set("a", "1") };
    let ran = run(plan(vec![phase("p", &[], vec![retried])]), &world).await;
    assert_eq!(ran.word("p/a"), "changed");
    assert_eq!(ran.events.iter().filter(|e| matches!(e.kind, EventKind::UnitRetried { .. })).count(), 2);
}

#[tokio::test]
async fn a_lost_connection_is_looked_into() {
    let world = FakeWorld::default();
    world.lose("took", true);
    world.lose("did-not", false);
    let ran =
        run(plan(vec![phase("p", &[], vec![set("took", "1")]), phase("q", &[], vec![set("did-not", "1")])]), &world)
            .await;
    assert_eq!((ran.word("p/took"), ran.word("q/did-not")), ("changed", "changed"));
    assert_eq!(world.writes(), 2, "what took effect is not sent again, what did not is");
}

#[tokio::test]
async fn a_hanging_effect_ends_at_its_deadline_as_unknown() {
    let world = FakeWorld::default();
    world.hang("a");
    tokio::time::pause();
    let ran = run(plan(vec![phase("p", &[], vec![set("a", "1")])]), &world).await;
    assert_eq!(ran.word("p/a"), "unknown");
}

#[tokio::test]
async fn when_skips_and_what_follows_still_runs() {
    let world = FakeWorld::default();
    let skipped = Step { when: Some(at("greeting == 'bye'".to_owned())), ..set("a", "1") };
    let ran = run(plan(vec![phase("p", &[], vec![skipped, set("b", "1")])]), &world).await;
    assert_eq!((ran.word("p/a"), ran.word("p/b")), ("skipped", "changed"));
}

#[tokio::test]
async fn outputs_reach_later_steps() {
    let world = FakeWorld::default();
    let reads = step("reads", "test.set", json!({ "path": "x", "value": "{{ steps.made_it.value }}!" }));
    let made = step("made-it", "test.set", json!({ "path": "m", "value": "1" }));
    run(plan(vec![phase("p", &[], vec![made, reads])]), &world).await;
    assert_eq!(world.get("x").as_deref(), Some("1!"));
}

#[tokio::test]
async fn a_resumed_run_keeps_what_is_done_and_redoes_what_changed() {
    let world = FakeWorld::default();
    world.refuse("c");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let make = |b: &str| {
        let d = step("d", "test.set", json!({ "path": "d", "value": "{{ steps.a.value }}" }));
        plan(vec![
            phase("p", &[], vec![set("a", "1"), set("b", b), set("c", "1")]),
            phase("q", &[], vec![step("a2", "test.set", json!({ "path": "a2", "value": "1" })), d]),
        ])
    };
    let mut first = make("1");
    first.phases[1].needs = vec![at("p".to_owned())];
    run_with(first, &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    world.allow("c");
    world.remove("a");

    let mut second = make("2");
    second.phases[1].needs = vec![at("p".to_owned())];
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(second, &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!(ran.word("p/a"), "kept");
    assert_eq!(world.get("a"), None, "a kept step is not even looked at");
    assert_eq!(ran.word("p/b"), "changed", "its definition was edited");
    assert_eq!(ran.word("p/c"), "changed", "it had failed");
    assert_eq!(world.get("d").as_deref(), Some("1"), "a kept step's outputs are there");
}

#[tokio::test]
async fn a_step_that_only_looks_is_made_again_by_a_resumed_run() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let make = || {
        let looks = step("looks", "test.set", json!({ "path": "a", "value": "1", "only_looks": true }));
        plan(vec![phase("p", &[], vec![looks])])
    };
    run_with(make(), &world, Setup { journal: Some(Journal::create(&path).unwrap()), ..Setup::default() }).await;
    let memory = RunHistory::from_events(&read(&path).unwrap());
    let ran = run_with(make(), &world, Setup { memory, ..Setup::default() }).await;
    assert_eq!(ran.word("p/looks"), "same");
}

#[tokio::test]
async fn intent_is_on_disk_before_the_effect() {
    let world = FakeWorld::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    world.watch_journal(&path);
    let journal = Some(Journal::create(&path).unwrap());
    run_with(plan(vec![phase("p", &[], vec![set("a", "1")])]), &world, Setup { journal, ..Setup::default() }).await;
    assert_eq!(world.seen_in_journal(), ["p/a started"]);
}

#[tokio::test]
async fn the_first_interrupt_finishes_what_runs_and_starts_nothing_more() {
    let world = FakeWorld::default();
    let (interrupt, interrupts) = watch::channel(0);
    world.on_write("a", move || interrupt.send(1).unwrap());
    let two = plan(vec![phase("p", &[], vec![set("a", "1"), set("b", "1")])]);
    let ran = run_with(two, &world, Setup { interrupts, ..Setup::default() }).await;
    assert_eq!(ran.word("p/a"), "changed");
    assert!(!ran.outcomes.contains_key("p/b"));
    assert!(ran.report.interrupted && !ran.report.ok);
}

#[tokio::test]
async fn the_second_interrupt_cancels_and_records_that_the_end_is_unknown() {
    let world = FakeWorld::default();
    let (interrupt, interrupts) = watch::channel(0);
    world.hang("a");
    world.on_write("a", move || interrupt.send(2).unwrap());
    let step = Step { timeout: Some(Duration::from_secs(60)), ..set("a", "1") };
    let ran = run_with(plan(vec![phase("p", &[], vec![step])]), &world, Setup { interrupts, ..Setup::default() }).await;
    assert_eq!(ran.word("p/a"), "unknown");
    assert!(ran.report.interrupted);
}

#[tokio::test]
async fn a_sensitive_step_shows_nothing_of_its_values() {
    let world = FakeWorld::default();
    let hidden = Step { sensitive: true, ..set("a", "hush-hush") };
    let ran = run(plan(vec![phase("p", &[], vec![hidden])]), &world).await;
    assert!(!serde_json::to_string(&ran.events).unwrap().contains("hush-hush"));
    assert_eq!(world.get("a").as_deref(), Some("hush-hush"));
}

#[tokio::test]
async fn only_and_skip_choose_phases() {
    let world = FakeWorld::default();
    let make = || plan(vec![phase("p", &[], vec![set("a", "1")]), phase("q", &["p"], vec![set("b", "1")])]);
    let only = Options { only: vec!["q".into()], ..Options::default() };
    let ran = run_with(make(), &world, Setup { options: only, ..Setup::default() }).await;
    assert_eq!((ran.word("p/a"), ran.word("q/b")), ("skipped", "changed"));
}

#[tokio::test]
async fn tags_choose_steps() {
    let world = FakeWorld::default();
    let tagged = Step { tags: vec![at("quick".to_owned())], ..set("b", "1") };
    let tags = Options { tags: vec!["quick".into()], ..Options::default() };
    let two = plan(vec![phase("p", &[], vec![set("a", "1"), tagged])]);
    let ran = run_with(two, &world, Setup { options: tags, ..Setup::default() }).await;
    assert_eq!((ran.word("p/a"), ran.word("p/b")), ("skipped", "changed"));
}
