//! A chain of runs from one seed: runs with faults and edits between them, then runs without faults until all is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use super::disk::Trouble;
use super::edit::edit;
use super::generate::{self, chance};
use super::model::{Act, Model};
use super::oracle::{Asked, Oracle, Ran, key};
use super::order::{Key, Order};
use super::report::Stats;
use super::run::{End, Left, Setup, Troubles, plan, run};
use super::world::{SimWorld, Weather};
use crate::event::{Event, EventKind, Outcome};
use crate::journal::{PreviousRun, parse};
use crate::plan::{Plan, StepKind};

/// The state of a chain.
pub struct Chain {
    seed: u64,
    rng: SmallRng,
    pub world: SimWorld,
    pub model: Model,
    plan: Arc<Plan>,
    earlier: Vec<Model>,
    /// The events that each run has left on disk.
    pub journals: Vec<Vec<Event>>,
    oracle: Oracle,
    runs: usize,
    /// Units whose result is unknown, so that a person must decide.
    stopped: Vec<Key>,
    trace: Option<Arc<Mutex<Vec<String>>>>,
}

/// How the story of a seed went.
pub struct Story {
    pub stats: Stats,
    pub trace: Vec<String>,
    pub wrong: Option<String>,
}

/// Plays a seed to its end.
pub fn play(seed: u64, traced: bool) -> Story {
    let mut chain = match caught(|| Chain::new(seed, traced)) {
        Ok(chain) => chain,
        Err(panic) => return Story { stats: Stats::default(), trace: Vec::new(), wrong: Some(panic) },
    };
    let wrong = caught(|| chain.play()).flatten().err();
    let mut stats = if wrong.is_none() { chain.world.stats() } else { Stats::default() };
    stats.0.insert("runs", chain.runs);
    Story { stats, trace: chain.trace(), wrong }
}

/// Turns a panic into an error, so that the seed is reported.
fn caught<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    })
}

impl Chain {
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let model = generate::plan(&mut rng);
        let chain = Self {
            seed,
            rng,
            world: SimWorld::new(),
            earlier: vec![model.clone()],
            plan: plan(&model),
            model,
            journals: Vec::new(),
            oracle: Oracle::default(),
            runs: 0,
            stopped: Vec::new(),
            trace: traced.then(Arc::default),
        };
        chain.note(|| chain.model.text());
        chain
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.lock().unwrap().push(line());
        }
    }

    /// What was traced so far.
    pub fn trace(&self) -> Vec<String> {
        let trace = self.trace.as_ref().map(|t| t.lock().unwrap_or_else(PoisonError::into_inner).clone());
        trace.unwrap_or_default()
    }

    /// Plays to the end.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn play(&mut self) -> Result<(), String> {
        for number in 0..self.rng.random_range(1..=6) {
            if number > 0 && chance(&mut self.rng, 45) {
                self.edit();
            }
            let (asked, troubles) = (self.asked(), troubles(&mut self.rng));
            self.run(asked, troubles)?;
        }
        self.quiet()
    }

    fn edit(&mut self) {
        let what = edit(&mut self.rng, &mut self.model, &self.earlier);
        self.earlier.push(self.model.clone());
        self.plan = plan(&self.model);
        self.world.count("edits");
        self.note(|| format!("edit: {what}\n{}", self.model.text()));
    }

    /// The end of a chain: a person helps, and the plan is run without faults until all is done. Then the plan is run
    /// once more, which must change nothing, and compared with a single run in another world.
    pub fn quiet(&mut self) -> Result<(), String> {
        let mut last = None;
        for _ in 0..5 {
            let asked = Asked { parallel: 64, ..self.helped() };
            let ran = self.run(asked, Troubles::default())?;
            let Some(ran) = ran else { return Err("a run without trouble came to no end".to_owned()) };
            let ok = ran.report.as_ref().is_some_and(|r| r.ok);
            last = Some(ran);
            if ok {
                break;
            }
        }
        let Some(last) = last.filter(|ran| ran.report.as_ref().is_some_and(|r| r.ok)) else {
            return Err("five runs without trouble did not end well".to_owned());
        };
        self.oracle.judge_end(&last)?;
        let values = self.world.values();
        self.acts_are_done()?;
        let once_more = self.run(Asked { parallel: 64, ..Asked::default() }, Troubles::default())?;
        self.changed_nothing(&once_more.ok_or("the last run did not begin")?)?;
        if self.own(&values) != self.own(&self.world.values()) {
            return Err("the last run changed the world".to_owned());
        }
        self.compare()
    }

    /// The world must be as a single run of the plan leaves an empty world.
    fn compare(&self) -> Result<(), String> {
        let world = SimWorld::new();
        let trace = Arc::default();
        let asked = Asked { parallel: 64, ..Asked::default() };
        let setup = Setup {
            number: 0,
            seed: 0,
            model: &self.model,
            plan: &self.plan,
            asked: &asked,
            earlier: PreviousRun::default(),
            troubles: Troubles::default(),
            trace: Some(Arc::clone(&trace)),
        };
        let End::Finished(report) = run(setup, &world)?.end else { return Err("a first run died".to_owned()) };
        if !report.ok {
            let story = trace.lock().unwrap().join("\n");
            return Err(format!("a single run without trouble did not end well: {:?}\n{story}", report.summary));
        }
        let (here, there) = (self.own(&self.world.values()), self.own(&world.values()));
        if here == there {
            return Ok(());
        }
        let differ: Vec<_> = there.iter().filter(|v| !here.contains(*v)).collect();
        Err(format!("the world is not what a single run makes of it; it lacks {differ:?}"))
    }

    /// The values that the plan's steps set, without the steps that are left out.
    fn own(&self, values: &std::collections::BTreeMap<(Option<String>, String), String>) -> BTreeSet<(Key, String)> {
        let mut own = BTreeSet::new();
        for (phase, step) in self.model.steps() {
            if step.part != StepKind::Step || step.when == Some(false) || phase.when == Some(false) {
                continue;
            }
            for host in step.places() {
                for path in step.paths() {
                    let place = (host.map(str::to_owned), path);
                    let value = values.get(&place).cloned().unwrap_or_default();
                    own.insert(((place.1, place.0), value));
                }
            }
        }
        own
    }

    /// Each act that leaves no trace was done, the last time with the plan's value.
    fn acts_are_done(&self) -> Result<(), String> {
        let sent = self.world.sent();
        for (phase, step) in self.model.unrolled().steps() {
            let Act::Do { value, .. } = &step.act else { continue };
            if step.part != StepKind::Step || step.when == Some(false) || phase.when == Some(false) {
                continue;
            }
            for host in step.places() {
                let unit = (step.id.clone(), host.map(str::to_owned));
                let last = sent.iter().rev().find(|s| s.unit == unit && s.took);
                if last.is_none_or(|s| s.value != *value) {
                    return Err(format!("{unit:?} was not done as the plan says: last was {last:?}"));
                }
            }
        }
        Ok(())
    }

    fn changed_nothing(&self, ran: &Ran) -> Result<(), String> {
        for (unit, outcome) in ran.outcomes() {
            let step = ran.step(&unit).ok_or("no such step")?;
            let may = step.part != StepKind::Step || step.act.unguarded();
            if *outcome == Outcome::Changed && !may {
                return Err(format!("the last run changed {unit:?}"));
            }
        }
        Ok(())
    }

    /// Random options of a run.
    fn asked(&mut self) -> Asked {
        let help = chance(&mut self.rng, 50);
        let mut asked = if help { self.helped() } else { Asked::default() };
        let rng = &mut self.rng;
        asked.parallel = rng.random_range(1..=8);
        asked.fresh = chance(rng, 4);
        let phases: Vec<String> = self.model.phases.iter().map(|p| p.name.clone()).collect();
        if chance(rng, 8) {
            asked.limit = [&["h1"][..], &["h2", "h3"]].choose(rng).copied();
        }
        if chance(rng, 8) {
            asked.only = phases.iter().filter(|_| chance(rng, 50)).cloned().collect();
        }
        if chance(rng, 8) {
            asked.skip = phases.iter().filter(|_| chance(rng, 40)).cloned().collect();
        }
        if chance(rng, 8) {
            asked.tags = vec!["quick".to_owned()];
        }
        asked
    }

    /// Options of a person who looks at each act that was cut off: `--done` if it took effect with the plan's value,
    /// else `--rerun`.
    fn helped(&mut self) -> Asked {
        let (sent, model) = (self.world.sent(), self.model.unrolled());
        let mut asked = Asked::default();
        for unit in &self.stopped {
            let Some(Act::Do { value, .. }) = model.step(&unit.0).map(|s| &s.act) else { continue };
            let since = self.oracle.history.started.get(unit).copied().unwrap_or_default();
            let last = sent.iter().rev().find(|s| s.unit == *unit && s.took && s.at.0 >= since);
            if last.is_some_and(|s| s.value == *value) {
                asked.done.push(unit.clone());
            } else {
                asked.rerun.push(unit.clone());
            }
        }
        if !asked.done.is_empty() || !asked.rerun.is_empty() {
            self.world.count("help");
            self.note(|| format!("help: --done {:?} --rerun {:?}", asked.done, asked.rerun));
        }
        asked
    }

    /// One run, which takes over the history of the runs before it as the command line does.
    pub fn run(&mut self, asked: Asked, troubles: Troubles) -> Result<Option<Ran>, String> {
        let number = self.runs;
        self.runs += 1;
        self.note(|| format!("run {number}: {asked:?}\n  {troubles:?}"));
        let earlier = earlier(&self.journals, asked.fresh);
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let sent_before = self.world.sent().len();
        let setup = Setup {
            number,
            seed,
            model: &self.model,
            plan: &self.plan,
            asked: &asked,
            earlier,
            troubles,
            trace: self.trace.clone(),
        };
        let Left { end, journal, published } = run(setup, &self.world)?;
        self.world.count(match &end {
            End::Finished(_) => "finished",
            End::Broken => "disk",
            End::Died => "crashes",
        });
        let report = if let End::Finished(report) = end { Some(report) } else { None };
        let events = parse(Path::new("journal"), &journal).map_err(|e| e.to_string())?;
        published_as_recorded(&published, &events)?;
        self.journals.push(events.clone());
        let Some(start) = events.iter().position(|e| matches!(e.kind, EventKind::RunStarted { .. })) else {
            return Ok(None);
        };
        let model = self.model.unrolled();
        let order = Order::limited(&model, asked.limit);
        let sent = self.world.sent()[sent_before..].to_vec();
        let mishaps = self.world.mishaps();
        let ran = Ran { number, model, order, asked, events, start, report, sent, mishaps };
        self.oracle.judge(&ran)?;
        self.stopped = stopped(&ran);
        Ok(Some(ran))
    }
}

/// Readers receive the events of the journal, without any difference.
fn published_as_recorded(published: &[Event], events: &[Event]) -> Result<(), String> {
    let recorded =
        |event: &Event| events.binary_search_by_key(&event.seq, |e| e.seq).is_ok_and(|n| events[n] == *event);
    let other = published.iter().find(|e| !matches!(e.kind, EventKind::Progress { .. }) && !recorded(e));
    other.map_or(Ok(()), |event| Err(format!("an event was published that is not on record: {:?}", event.kind)))
}

/// Units about which a person must decide.
fn stopped(ran: &Ran) -> Vec<Key> {
    let stops = ran.own().filter_map(|(_, kind)| match kind {
        EventKind::UnitFinished { unit, outcome: Outcome::Unknown(_), definition: None, .. } => Some(key(unit)),
        _ => None,
    });
    stops.collect()
}

/// The history that `rollout run` takes over: that of the newest run that began.
pub fn earlier(journals: &[Vec<Event>], fresh: bool) -> PreviousRun {
    let began = |events: &&Vec<Event>| events.iter().any(|e| matches!(e.kind, EventKind::RunStarted { .. }));
    journals.iter().rev().find(began).map(|events| PreviousRun::from_events(events, fresh)).unwrap_or_default()
}

fn troubles(rng: &mut SmallRng) -> Troubles {
    let storm = |rng: &mut SmallRng, most: u32| if chance(rng, 40) { rng.random_range(0..=most) } else { 0 };
    let weather = Weather {
        refused: storm(rng, 15),
        refused_for_good: storm(rng, 6),
        lost: storm(rng, 20),
        hangs: storm(rng, 6),
        away: storm(rng, 10),
        slow: if chance(rng, 60) { rng.random_range(0..=80) } else { 0 },
        deadly: storm(rng, 400),
    };
    let at = rng.random_range(1..30);
    let disk = match rng.random_range(0..100) {
        0..=5 => Some(Trouble::Full(at)),
        6..=9 => Some(Trouble::Sync(at)),
        10..=24 => Some(Trouble::Crash(at)),
        _ => None,
    };
    Troubles {
        weather,
        disk,
        survives: rng.random_range(0..=1000),
        deadly_points: if chance(rng, 25) { rng.random_range(1..60) } else { 0 },
        dies_at_poll: chance(rng, 15).then(|| rng.random_range(1..60)),
        interrupts: chance(rng, 15)
            .then(|| (rng.random_range(0..4000), chance(rng, 50).then(|| rng.random_range(0..3000)))),
        fails: storm(rng, 5),
        repeats: storm(rng, 10),
    }
}
