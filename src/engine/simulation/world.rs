//! The simulated world: some hosts and a controller as maps from path to text, and all that may befall a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
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
use crate::connect::host::{self, Command, Run};
use crate::connect::{
    CallContext, ConnectError, Effect, EffectResult, Fact, Pipeline, PipelineResult, Probe, Target, World,
    perform_sequentially,
};
use crate::engine::testing::{fact, read_path, value, written};

/// Where something lies: a host, or the controller, and a path.
pub type Place = (Option<String>, String);

/// How likely each kind of trouble is, in percent of the calls (of hosts, of units).
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub refused: u32,
    pub refused_for_good: u32,
    pub lost: u32,
    pub hangs: u32,
    pub away: u32,
    pub slow: u32,
    /// In ten thousandths of the calls.
    pub deadly: u32,
}

/// A change that took place or was at least sent out.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub unit: Key,
    /// The run, and how many of its events were durable then.
    pub at: (usize, usize),
    /// What it was to be.
    pub value: String,
    /// Whether it took place.
    pub took: bool,
    /// Whether anything is another thing since: doing something without a trace always counts.
    pub changed: bool,
    /// Whether it arrived long after it was sent.
    pub late: bool,
    /// A command whose connection broke: who sent it cannot know whether it is still at work.
    pub out_of_sight: bool,
}

/// Whose change arrives late may be guarded, and is of no effect when that guard stands no more.
type Token = Option<String>;

/// An effect whose connection broke and that arrives later all the same: a request that was on its way, or a command that
/// is at work until then.
struct Late {
    due: Instant,
    place: Place,
    sent: Sent,
    guard: Token,
}

#[derive(Clone)]
pub struct SimWorld(Arc<Mutex<State>>);

struct State {
    values: BTreeMap<Place, String>,
    sent: Vec<Sent>,
    late: Vec<Late>,
    guards: Guards,
    refusals: BTreeMap<Key, usize>,
    away: BTreeMap<Option<String>, Instant>,
    dawns: BTreeMap<Place, Instant>,
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

/// What becomes of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Refused,
    /// The connection breaks: before, after, or it arrives later on its own, perhaps once more.
    Lost(Lost),
    /// Nobody answers, whatever became of it.
    Hangs(Lost),
    Dies(Lost),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Before,
    After,
    Later,
    TakenAndLater,
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

    #[expect(clippy::too_many_arguments, reason = "what a run brings along")]
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

    /// A run is over, and all that was still on its way has arrived.
    pub fn end(&self) {
        let mut state = self.state();
        for late in std::mem::take(&mut state.late) {
            let at = (late.sent.at.0, usize::MAX);
            state.arrive(late, at);
        }
        state.guards.end();
        state.session = None;
    }

    pub fn values(&self) -> BTreeMap<Place, String> {
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

    /// Rules that a call has broken.
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

    /// Lets an effect take place; tells whether anything is another thing since.
    fn take(&mut self, place: &Place, sent: &Sent) -> bool {
        self.guards.keep(&sent.unit, place, &self.values);
        let (act, value) = (place.1.is_empty(), &sent.value);
        act || self.values.insert(place.clone(), value.clone()).as_ref() != Some(value)
    }

    /// What is due by now.
    fn pass(&mut self) {
        let now = Instant::now();
        let (run, seen) = (self.session().run, self.session().disk.count());
        while let Some(n) = self.late.iter().position(|l| l.due <= now) {
            let late = self.late.remove(n);
            self.arrive(late, (run, seen));
        }
        self.guards.pass(&mut self.values);
    }

    /// Whether a host does not answer just now.
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

    fn fate(&mut self, unit: &Key, command: bool) -> Fate {
        if let Some(left) = self.refusals.get_mut(unit).filter(|n| **n > 0) {
            *left = left.saturating_sub(usize::from(*left != usize::MAX));
            return Fate::Refused;
        }
        let deadly = self.dies();
        let session = self.session();
        let weather = session.weather;
        let lost = match session.rng.random_range(0..4) {
            0 => Lost::Before,
            1 => Lost::After,
            2 => Lost::Later,
            // A command runs once; a request may arrive twice.
            _ if command => Lost::After,
            _ => Lost::TakenAndLater,
        };
        if deadly {
            return Fate::Dies(lost);
        }
        if chance(&mut session.rng, weather.refused_for_good) {
            self.refusals.insert(unit.clone(), usize::MAX);
            return Fate::Refused;
        }
        if chance(&mut session.rng, weather.refused) {
            let more = session.rng.random_range(0..2);
            self.refusals.insert(unit.clone(), more);
            return Fate::Refused;
        }
        if chance(&mut session.rng, weather.lost) {
            return Fate::Lost(lost);
        }
        if chance(&mut session.rng, weather.hangs) { Fate::Hangs(lost) } else { Fate::Works }
    }

    /// Notes what the rules say of an effect that is sent out.
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

    /// Has an effect, lost in some way, take place as far as it does.
    fn lose(&mut self, lost: Lost, command: bool, place: Place, sent: Sent) {
        let sent = Sent { out_of_sight: command, ..sent };
        if matches!(lost, Lost::After | Lost::TakenAndLater) {
            let changed = self.take(&place, &sent);
            self.sent.push(Sent { took: true, changed, ..sent.clone() });
        } else {
            self.sent.push(sent.clone());
        }
        if matches!(lost, Lost::Later | Lost::TakenAndLater) {
            let most = if command { 100_000 } else { 10_000 };
            let delay = Duration::from_millis(self.session().rng.random_range(1..most));
            let guard = self.guards.of(&sent.unit).map(str::to_owned);
            self.late.push(Late { due: Instant::now() + delay, place, sent, guard });
            self.stats.count(if command { "out of sight" } else { "late" });
        }
    }
}

async fn forever<T>() -> T {
    std::future::pending().await
}

#[async_trait]
impl World for SimWorld {
    async fn probe(&self, target: &Target, probes: &[Probe], _: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        let host = target.host.as_ref().map(|h| h.name.clone());
        let (dead, pause, away) = {
            let mut state = self.state();
            let over = state.session().life.is_over();
            if !over && state.dies() {
                state.session().life.end(format!("asking {host:?}"));
            }
            (state.session().life.is_over(), state.pause(), state.is_away(host.as_ref()))
        };
        if dead {
            return forever().await;
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        if away {
            return Err(ConnectError::unreachable("nobody answers"));
        }
        let mut state = self.state();
        state.pass();
        let facts = probes.iter().map(|probe| {
            if matches!(probe, Probe::Host(host::Probe::Guard)) {
                return Fact::Host(host::Fact::Guard(state.guards.standing(&host)));
            }
            let Some(path) = read_path(probe) else { panic!("this world knows no {probe:?}") };
            let place = (host.clone(), path.to_owned());
            if path.starts_with("dawn.") {
                let in_a_while = Duration::from_millis(state.session().rng.random_range(0..5000));
                let now = Instant::now();
                if *state.dawns.entry(place.clone()).or_insert(now + in_a_while) <= now {
                    state.values.insert(place.clone(), "1".to_owned());
                }
            }
            fact(state.values.get(&place).map(String::as_str))
        });
        Ok(facts.collect())
    }

    async fn perform_pipeline(&self, target: &Target, row: Pipeline<'_>, call: &CallContext) -> PipelineResult {
        if row.has_several() {
            self.count("rows");
        }
        if !row.on_success.is_empty() {
            self.count("looks behind a change");
        }
        perform_sequentially(self, target, row, call).await
    }

    async fn perform(
        &self,
        target: &Target,
        effect: &Effect,
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        let effect = &match effect {
            Effect::Host(host::Effect::Guard(host::GuardCommand::Within { effect, .. })) => {
                Effect::Host((**effect).clone())
            }
            Effect::Host(host::Effect::Guard(guard)) => return self.guard(target, guard).await,
            Effect::Expect(answers) => return self.expect(target, answers, call).await,
            other => other.clone(),
        };
        let [unit, path, value] = words(effect);
        let command = matches!(effect, Effect::Host(host::Effect::Run(_)));
        let host = target.host.as_ref().map(|h| h.name.clone());
        let unit: Key = (unit, host.clone());
        let place = (host.clone(), path.clone());
        if self.state().session().life.is_over() {
            return forever().await;
        }
        let (fate, pauses, sent) = {
            let mut state = self.state();
            state.judge(&unit, target);
            if state.is_away(host.as_ref()) {
                return Err(ConnectError::unreachable("nobody answers"));
            }
            let fate = state.fate(&unit, command);
            let (run, seen) = (state.session().run, state.session().disk.count());
            state.note(|| format!("effect of {}@{host:?} on {path:?}: {fate:?}", unit.0));
            let (unit, at) = (unit.clone(), (run, seen));
            let sent = Sent { unit, at, value, took: false, changed: false, late: false, out_of_sight: false };
            (fate, [state.pause(), state.pause()], sent)
        };
        let [before, after] = pauses;
        tokio::time::sleep(before.unwrap_or_default()).await;
        let Some(result) = self.carry_out(fate, command, place, sent) else { return forever().await };
        // The answer takes its time too, and the caller may be gone by then.
        tokio::time::sleep(after.unwrap_or_default()).await;
        result
    }
}

fn name_of(guard: &host::GuardCommand) -> &'static str {
    match guard {
        host::GuardCommand::Arm { .. } => "armed",
        host::GuardCommand::Disarm { .. } => "confirmed",
        host::GuardCommand::Restore { .. } => "restored",
        host::GuardCommand::Forget { .. } => "forgotten",
        host::GuardCommand::Within { .. } | host::GuardCommand::Apply { .. } => "guarded",
    }
}

/// The unit, path and value of an effect.
fn words(effect: &Effect) -> [String; 3] {
    match effect {
        Effect::Host(host::Effect::Run(Run { command: Command::Argv(argv), .. })) => argv.clone().try_into().unwrap(),
        other => written(other).expect("an effect of this world"),
    }
}

impl SimWorld {
    /// Compares what is there with what was; a row that has been at work for long ends too.
    async fn expect(
        &self,
        target: &Target,
        answers: &[(Probe, Fact)],
        call: &CallContext,
    ) -> Result<EffectResult, ConnectError> {
        let probes: Vec<Probe> = answers.iter().map(|(probe, _)| probe.clone()).collect();
        // Who cannot be asked in the middle of a row has broken its connection.
        let facts = self.probe(target, &probes, call).await.map_err(|_| ConnectError::lost("the connection broke"))?;
        let late = { chance(&mut self.state().session().rng, 5) };
        let same = facts.iter().zip(answers).all(|(now, (_, was))| value(now) == value(was));
        self.count(if late {
            "rows too long"
        } else if same {
            "as expected"
        } else {
            "not as expected"
        });
        Ok(EffectResult::Host(host::CommandOutput::new(i32::from(late || !same), "", "")))
    }

    /// Sets up a guard, or has it do something.
    async fn guard(&self, target: &Target, guard: &host::GuardCommand) -> Result<EffectResult, ConnectError> {
        let host = target.host.as_ref().map(|h| h.name.clone());
        let (fate, pause) = {
            let mut state = self.state();
            if state.session().life.is_over() {
                (Fate::Hangs(Lost::Before), None)
            } else if state.is_away(host.as_ref()) {
                return Err(ConnectError::unreachable("nobody answers"));
            } else {
                (state.fate(&(String::new(), host.clone()), true), state.pause())
            }
        };
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let result = {
            let mut state = self.state();
            if state.session().life.is_over() {
                None
            } else {
                state.pass();
                let State { guards, values, .. } = &mut *state;
                let lost =
                    matches!(fate, Fate::Lost(Lost::Before) | Fate::Hangs(Lost::Before) | Fate::Dies(Lost::Before));
                let done =
                    if lost { Ok(host::CommandOutput::new(0, "", "")) } else { guards.perform(&host, guard, values) };
                state.note(|| format!("{} on {host:?}: {fate:?}", name_of(guard)));
                match fate {
                    Fate::Dies(_) => {
                        state.session().life.end("at a guard");
                        None
                    }
                    Fate::Hangs(_) => None,
                    Fate::Lost(_) => Some(Err(ConnectError::lost("the connection broke"))),
                    Fate::Works | Fate::Refused => {
                        state.stats.count(name_of(guard));
                        Some(done.map(EffectResult::Host))
                    }
                }
            }
        };
        match result {
            Some(result) => result,
            None => forever().await,
        }
    }

    /// What becomes of an effect; `None`: no answer ever comes.
    fn carry_out(
        &self,
        fate: Fate,
        command: bool,
        place: Place,
        sent: Sent,
    ) -> Option<Result<EffectResult, ConnectError>> {
        let mut state = self.state();
        if state.session().life.is_over() {
            return None;
        }
        state.pass();
        if !state.guards.lets(&sent.unit) {
            state.stats.count("too late");
            return Some(Err(ConnectError::failed("the guard's time was over")));
        }
        match fate {
            Fate::Works => {
                let changed = state.take(&place, &sent);
                state.sent.push(Sent { took: true, changed, ..sent });
                Some(Ok(EffectResult::Host(host::CommandOutput::new(0, "", ""))))
            }
            Fate::Refused => {
                state.stats.count("refused");
                Some(Err(ConnectError::failed("refused")))
            }
            Fate::Lost(lost) => {
                state.stats.count("lost");
                state.lose(lost, command, place, sent);
                Some(Err(ConnectError::lost("the connection broke")))
            }
            Fate::Hangs(lost) => {
                state.stats.count("hung");
                state.lose(lost, command, place, sent);
                None
            }
            Fate::Dies(lost) => {
                let whereabouts = format!("in an effect of {:?} ({lost:?})", sent.unit);
                state.lose(lost, command, place, sent);
                state.session().life.end(whereabouts);
                None
            }
        }
    }
}
