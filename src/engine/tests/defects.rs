//! A panic over an answer ends its unit as unclear, to be reported. All else goes on.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::UnitRef;
use crate::event::{Outputs, Problem};
use crate::plan::{Guard, Role, RunsOn};

/// Sets a path to 1, and panics at one of its questions.
#[derive(Deserialize, JsonSchema)]
pub struct Panics {
    path: String,
    at: String,
}

impl Panics {
    fn come_to(&self, place: &str) {
        assert!(self.at != place, "the host answered nonsense, seen at {place}");
    }
}

impl Action for Panics {
    fn probes(&self) -> Vec<Probe> {
        self.come_to("probes");
        vec![testing::read(&self.path)]
    }
    fn verdict(&self, facts: &[Fact]) -> Verdict {
        self.come_to("verdict");
        match testing::value(&facts[0]) {
            Some(_) => Verdict::Same { seen: String::new() },
            None => Verdict::Change(Diff::act("set it")),
        }
    }
    fn next_effect(&self, _: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        self.come_to("next");
        if !done.is_empty() {
            self.come_to("end");
            return Ok(None);
        }
        Ok(Some(testing::write("", &self.path, "1")))
    }
    fn changed(&self, _: &[EffectResult]) -> bool {
        self.come_to("changed");
        true
    }
    fn outputs(&self, _: &[Fact], _: &[EffectResult]) -> Outputs {
        self.come_to("outputs");
        Outputs::new()
    }
    fn printed(&self, _: &[EffectResult]) -> String {
        self.come_to("printed");
        String::new()
    }
}

impl Spec for Panics {
    const NAME: &'static str = "test.panics";
    const SUMMARY: &'static str = "panics";
    const RUNS_ON: RunsOn = RunsOn::Controller;
    const ROLE: Role = Role::Change;
    const EXAMPLE: &'static str = "";
    fn rules(&self) -> Result<(), crate::plan::ParamError> {
        self.come_to("rules");
        Ok(())
    }
}

const PLACES: [&str; 7] = ["rules", "probes", "verdict", "next", "changed", "outputs", "printed"];

fn panics(id: &str, at: &str) -> Step {
    step(id, "test.panics", json!({ "path": id, "at": at }))
}

fn on(hosts: &str, step: Step) -> Step {
    Step { hosts: Some(at(hosts.to_owned())), ..step }
}

/// That a unit is unclear, and says that this is to be reported.
fn is_told(ran: &Ran, unit: &str) {
    let Outcome::Unknown(problem) = &ran.outcomes[unit] else { panic!("{unit}: {:?}", ran.outcomes[unit]) };
    assert!(problem.message.contains("an internal error of rollout: "), "{}", problem.message);
    assert!(problem.hint.as_ref().is_some_and(|hint| hint.contains("report")), "{problem:?}");
    assert!(!ran.report.ok && !ran.report.interrupted && !ran.report.unreachable);
}

#[tokio::test]
async fn an_action_that_panics_ends_its_own_unit_wherever_it_does() {
    for place in PLACES {
        for mode in [Mode::Run, Mode::Preview] {
            if mode == Mode::Preview && ["next", "changed", "outputs"].contains(&place) {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("j");
            let world = FakeWorld::default();
            let steps = vec![
                on("pi", set("a", "1")),
                on("pi", Step { retry: Retry { times: 3, delay: Duration::ZERO }, ..panics("b", place) }),
                on("pi", set("c", "1")),
            ];
            let others = vec![phase("q", &[], vec![on("far", set("d", "1"))]), phase("r", &[], vec![set("e", "1")])];
            let plan = plan([vec![phase("p", &[], steps)], others].concat());
            let journal = (mode == Mode::Run).then(|| Journal::create(&path).unwrap());
            let ran = run_with(plan, &world, Setup { mode, journal, ..Setup::default() }).await;
            is_told(&ran, "p/b@pi");
            let words = ["p/a@pi", "q/d@far", "r/e"].map(|unit| ran.word(unit));
            assert_eq!(words, ["changed", "changed", "changed"], "{place} {mode:?}");
            // It may have been on its way along with the one before it.
            let behind = ran.word("p/c@pi");
            assert!(behind == "cancelled" || behind == "changed" && world.get("b").is_some(), "{place}: {behind}");
            if mode == Mode::Run {
                assert!(matches!(read(&path).unwrap().last().unwrap().kind, EventKind::RunFinished { ok: false, .. }));
                assert!(world.acts("b") == 0 && world.writes() <= 4, "it is not tried again");
            }
        }
    }
}

#[tokio::test]
async fn in_a_row_only_the_unit_that_panics_is_unclear() {
    let world = FakeWorld::default();
    let steps = [set("a", "1"), panics("b", "end"), set("c", "1"), set("d", "1")].map(|step| on("pi", step));
    let ran = run(plan(vec![phase("p", &[], steps.into())]), &world).await;
    is_told(&ran, "p/b@pi");
    assert_eq!(ran.word("p/a@pi"), "changed");
    assert!(!["p/c@pi", "p/d@pi"].iter().any(|unit| ran.word(unit) == "failed"));
}

#[tokio::test]
async fn a_backend_that_panics_ends_what_was_on_its_way() {
    let world = FakeWorld::default();
    world.on_write("b", || panic!("the host answered nonsense"));
    let steps = [set("a", "1"), set("b", "1"), set("c", "1"), set("d", "1")].map(|step| on("pi", step));
    let make = || plan(vec![phase("p", &[], steps.clone().into()), phase("q", &[], vec![on("far", set("e", "1"))])]);
    let ran = run(make(), &world).await;
    assert_eq!(world.rows(), 1);
    is_told(&ran, "p/b@pi");
    let words = ["p/a@pi", "p/c@pi", "p/d@pi", "q/e@far"].map(|unit| ran.word(unit));
    assert_eq!(words, ["changed", "unknown", "unknown", "changed"], "the others were on their way");
    let again = run(make(), &world).await;
    assert!(again.report.ok);
}

#[tokio::test]
async fn a_backend_that_panics_over_one_answer_ends_only_the_one_who_asks_for_it() {
    let world = FakeWorld::default();
    world.panics_at("c");
    let steps = [set("a", "1"), set("b", "1"), set("c", "1"), set("d", "1")].map(|step| on("pi", step));
    let ran = run(plan(vec![phase("p", &[], steps.into())]), &world).await;
    is_told(&ran, "p/c@pi");
    let words = ["p/a@pi", "p/b@pi", "p/d@pi"].map(|unit| ran.word(unit));
    assert_eq!(words, ["changed", "changed", "cancelled"]);
}

#[tokio::test]
async fn a_handler_that_panics_is_unclear_too() {
    let world = FakeWorld::default();
    let steps = vec![
        Step { notify: vec![at("h".to_owned())], ..set("a", "1") },
        Step { kind: StepKind::Handler, ..panics("h", "verdict") },
    ];
    let ran = run(plan(vec![phase("p", &[], steps), phase("q", &[], vec![set("b", "1")])]), &world).await;
    is_told(&ran, "p/h");
    assert_eq!((ran.word("p/a"), ran.word("q/b")), ("changed", "changed"));
}

#[tokio::test(start_paused = true)]
async fn under_a_guard_the_host_takes_it_back_and_the_next_one_has_its_turn() {
    for place in ["end", "verdict"] {
        let world = FakeWorld::default();
        let guard =
            Guard { time: at(Duration::from_secs(60)), apply: None, restore: Some(at("undo".into())), check: None };
        let guarded = |step| on("pi", Step { guard: Some(guard.clone()), ..step });
        let phases =
            vec![phase("p", &[], vec![guarded(panics("a", place))]), phase("q", &[], vec![guarded(set("b", "1"))])];
        let ran = run(plan(phases), &world).await;
        is_told(&ran, "p/a@pi");
        assert_eq!((ran.word("q/b@pi"), world.has_guard(), world.get("a")), ("changed", false, None), "{place}");
    }
}

#[tokio::test]
async fn a_task_that_breaks_around_its_unit_ends_it_and_those_of_its_row() {
    struct Broken;
    impl Faults for Broken {
        fn reach(&self, point: Point, unit: &UnitRef) {
            assert!(point != Point::AfterEffect || unit.step != "b", "broken");
        }
    }
    let world = FakeWorld::default();
    let steps = [set("a", "1"), set("b", "1"), set("c", "1")].map(|step| on("pi", step));
    let plan = plan(vec![phase("p", &[], steps.into()), phase("q", &[], vec![on("far", set("e", "1"))])]);
    let ran = run_with(plan, &world, Setup { faults: Arc::new(Broken), ..Setup::default() }).await;
    is_told(&ran, "p/b@pi");
    assert_eq!(ran.word("q/e@far"), "changed");
    assert_eq!(ran.outcomes.len(), 4);
}
