//! The simulated world: hosts and a controller as maps from path to value. [`calls`] answers the engine, [`fate`] draws
//! what goes wrong.

mod calls;
mod fate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::disk::SimDisk;
use super::generate::chance;
use super::guards::Guards;
use super::life::Life;
use super::order::Key;
use super::report::Stats;
use crate::connect::Target;

pub use fate::Weather;

/// A path on a host; `None`: on the controller.
pub type ValuePath = (Option<String>, String);

/// An effect that was sent, whether it took place or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub unit: Key,
    /// The run, and how many of its events were durable when the effect was sent.
    pub at: (usize, usize),
    /// The value to be set.
    pub value: String,
    /// Whether it took place.
    pub took: bool,
    /// Whether it changed a value. A command without a trace always counts.
    pub changed: bool,
    /// Whether it arrived long after it was sent.
    pub late: bool,
    /// Whether it is a command whose connection broke, so that the engine cannot know whether it is still running.
    pub out_of_sight: bool,
}

/// The guard of an effect that arrives late. The effect is void if that guard is no longer armed.
type Token = Option<String>;

/// An effect whose connection broke and that takes place later all the same: a request under way, or a command that
/// still runs.
struct Late {
    due: Instant,
    place: ValuePath,
    sent: Sent,
    guard: Token,
}

#[derive(Clone)]
pub struct SimWorld(Arc<Mutex<State>>);

struct State {
    values: BTreeMap<ValuePath, String>,
    sent: Vec<Sent>,
    late: Vec<Late>,
    guards: Guards,
    /// How many more effects of a unit are refused.
    refusals: BTreeMap<Key, usize>,
    /// Until when hosts are unreachable.
    away: BTreeMap<Option<String>, Instant>,
    /// When values appear that steps wait for.
    dawns: BTreeMap<ValuePath, Instant>,
    /// Rules that calls have broken.
    broken: Vec<String>,
    /// Units of this run that were made to fail after they had ended well.
    mishaps: BTreeSet<Key>,
    session: Option<Session>,
    pub stats: Stats,
}

/// What belongs to one run.
struct Session {
    run: usize,
    rng: SmallRng,
    weather: Weather,
    disk: SimDisk,
    life: Life,
    /// Units that run as root, by the plan.
    roots: BTreeSet<String>,
    trace: Option<Arc<Mutex<Vec<String>>>>,
}

impl SimWorld {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            values: BTreeMap::new(),
            sent: Vec::new(),
            late: Vec::new(),
            guards: Guards::default(),
            refusals: BTreeMap::new(),
            away: BTreeMap::new(),
            dawns: BTreeMap::new(),
            broken: Vec::new(),
            mishaps: BTreeSet::new(),
            session: None,
            stats: Stats::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a run")]
    pub fn begin(
        &self,
        run: usize,
        seed: u64,
        weather: Weather,
        disk: SimDisk,
        life: Life,
        roots: BTreeSet<String>,
        trace: Option<Arc<Mutex<Vec<String>>>>,
    ) {
        let mut state = self.state();
        state.away.clear();
        state.dawns.clear();
        state.mishaps.clear();
        if weather.refused_for_good == 0 {
            state.refusals.clear();
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let [reboots, waits] = [20, 40].map(|percent| chance(&mut rng, percent));
        let State { guards, values, .. } = &mut *state;
        guards.begin(values, reboots, waits);
        state.session = Some(Session { run, rng, weather, disk, life, roots, trace });
    }

    /// Ends a run: all late effects take place.
    pub fn end(&self) {
        let mut state = self.state();
        for late in std::mem::take(&mut state.late) {
            let at = (late.sent.at.0, usize::MAX);
            state.arrive(late, at);
        }
        state.guards.end();
        state.session = None;
    }

    pub fn values(&self) -> BTreeMap<ValuePath, String> {
        self.state().values.clone()
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    pub fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    pub fn mishap(&self, unit: Key) {
        self.state().mishaps.insert(unit);
    }

    pub fn mishaps(&self) -> BTreeSet<Key> {
        self.state().mishaps.clone()
    }

    pub fn count(&self, what: &'static str) {
        self.state().stats.count(what);
    }

    /// Takes the rules that calls have broken.
    pub fn broken(&self) -> Vec<String> {
        std::mem::take(&mut self.state().broken)
    }
}

impl State {
    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.session().trace {
            trace.lock().unwrap().push(format!("      {}", line()));
        }
    }

    fn arrive(&mut self, late: Late, at: (usize, usize)) {
        let Late { place, sent, guard, .. } = late;
        if guard.is_some() && self.guards.of(&sent.unit) != guard.as_deref() {
            self.note(|| format!("late: {}@{:?} comes too late for its guard", sent.unit.0, sent.unit.1));
            return;
        }
        self.note(|| format!("late: {}@{:?} sets {place:?} to {}", sent.unit.0, sent.unit.1, sent.value));
        let changed = self.take(&place, &sent);
        self.sent.push(Sent { took: true, changed, late: true, at, ..sent });
    }

    /// Lets an effect take place. Returns whether it changed a value.
    fn take(&mut self, place: &ValuePath, sent: &Sent) -> bool {
        self.guards.keep(&sent.unit, place, &self.values);
        let (act, value) = (place.1.is_empty(), &sent.value);
        act || self.values.insert(place.clone(), value.clone()).as_ref() != Some(value)
    }

    /// Lets all that is due by now take place.
    fn pass(&mut self) {
        let now = Instant::now();
        let (run, seen) = (self.session().run, self.session().disk.count());
        while let Some(n) = self.late.iter().position(|l| l.due <= now) {
            let late = self.late.remove(n);
            self.arrive(late, (run, seen));
        }
        self.guards.pass(&mut self.values);
    }

    /// Whether a host is unreachable now. At random it goes away for a while.
    fn is_away(&mut self, host: Option<&String>) -> bool {
        let now = Instant::now();
        if self.away.get(&host.cloned()).is_some_and(|until| *until > now) {
            return true;
        }
        let session = self.session();
        let leaves = chance(&mut session.rng, session.weather.away);
        if leaves {
            let pause = Duration::from_millis(session.rng.random_range(1..20_000));
            self.away.insert(host.cloned(), now + pause);
            self.stats.count("unreachable");
            self.note(|| format!("{host:?} is away for {pause:?}"));
        }
        leaves
    }

    fn pause(&mut self) -> Option<Duration> {
        let session = self.session();
        chance(&mut session.rng, session.weather.slow).then(|| Duration::from_millis(session.rng.random_range(1..3000)))
    }

    fn dies(&mut self) -> bool {
        let session = self.session();
        session.rng.random_range(0..10_000) < session.weather.deadly
    }

    /// Notes rules that the engine breaks by sending this effect.
    fn judge(&mut self, unit: &Key, target: &Target) {
        self.pass();
        if self.late.iter().any(|late| late.sent.unit == *unit && late.sent.out_of_sight) {
            self.broken.push(format!("an effect of {unit:?} was sent out while a command of it was still at work"));
        }
        let session = self.session();
        let (running, root) = (session.disk.shows_running(unit), session.roots.contains(&unit.0));
        if !running {
            self.broken.push(format!("an effect of {unit:?} was sent out whose start is not durable"));
        }
        if target.as_root != root {
            self.broken.push(format!("an effect of {unit:?} was sent out with other rights than the plan says"));
        }
    }
}
