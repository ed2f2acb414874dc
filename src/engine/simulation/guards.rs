//! Guards of the simulated hosts: what their steps alter is kept, and comes back unless they are confirmed in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::order::Key;
use super::world::Place;
use crate::connect::ConnectError;
use crate::connect::host::{self, GuardPhase, GuardState};

type Values = BTreeMap<Place, String>;

#[derive(Default)]
pub struct Guards {
    by_host: BTreeMap<Option<String>, Guard>,
    /// Units that had one in this run: they change nothing without.
    guarded: BTreeSet<Key>,
}

struct Guard {
    token: String,
    unit: String,
    mark: GuardPhase,
    /// Between two runs, the time that is left.
    left: Duration,
    due: Instant,
    alive: bool,
    before: BTreeMap<Place, Option<String>>,
}

impl Guards {
    /// A run begins; before it the hosts may have rebooted, or time gone by.
    pub fn begin(&mut self, values: &mut Values, reboots: bool, waits: bool) {
        self.guarded.clear();
        for guard in self.by_host.values_mut() {
            guard.due = Instant::now() + if waits { Duration::ZERO } else { guard.left };
            guard.alive &= !reboots;
        }
        self.pass(values);
    }

    /// A run is over.
    pub fn end(&mut self) {
        for guard in self.by_host.values_mut() {
            guard.left = guard.due.saturating_duration_since(Instant::now());
        }
    }

    /// Lets happen what is due.
    pub fn pass(&mut self, values: &mut Values) {
        for guard in self.by_host.values_mut() {
            if guard.mark == GuardPhase::Armed && guard.alive && guard.due <= Instant::now() {
                guard.restore(values);
            }
        }
    }

    /// The token of the guard under which a unit is.
    pub fn of(&self, unit: &Key) -> Option<&str> {
        let guard = self.by_host.get(&unit.1).filter(|guard| guard.mark == GuardPhase::Armed)?;
        let step = guard.unit.split(['/', '@']).nth(1);
        (step == Some(&unit.0)).then_some(guard.token.as_str())
    }

    /// Whether a unit may change something: only under its guard, if it has one.
    pub fn lets(&self, unit: &Key) -> bool {
        !self.guarded.contains(unit) || self.of(unit).is_some()
    }

    /// Keeps what a unit is about to change, if it is under guard.
    pub fn keep(&mut self, unit: &Key, place: &Place, values: &Values) {
        if self.of(unit).is_some()
            && let Some(guard) = self.by_host.get_mut(&unit.1)
        {
            guard.before.entry(place.clone()).or_insert_with(|| values.get(place).cloned());
        }
    }

    pub fn standing(&self, host: &Option<String>) -> Option<GuardState> {
        let guard = self.by_host.get(host)?;
        let waits = guard.mark == GuardPhase::Armed && guard.alive;
        Some(GuardState {
            phase: guard.mark,
            token: guard.token.clone(),
            remaining: if waits { guard.due.saturating_duration_since(Instant::now()) } else { Duration::ZERO },
            alive: waits,
            applied: None,
            unit: guard.unit.clone(),
            output: String::new(),
        })
    }

    pub fn perform(
        &mut self,
        host: &Option<String>,
        what: &host::GuardCommand,
        values: &mut Values,
    ) -> Result<host::CommandOutput, ConnectError> {
        let token = |guard: &Guard, token: &String, mark: GuardPhase| guard.token == *token && guard.mark == mark;
        match (what, self.by_host.get_mut(host)) {
            (host::GuardCommand::Arm { token, time, unit, .. }, None) => {
                let (due, before) = (Instant::now() + *time, BTreeMap::new());
                let step = unit.split(['/', '@']).nth(1).unwrap_or_default().to_owned();
                self.guarded.insert((step, host.clone()));
                let (token, unit, mark) = (token.clone(), unit.clone(), GuardPhase::Armed);
                let guard = Guard { token, unit, mark, left: *time, due, alive: true, before };
                self.by_host.insert(host.clone(), guard);
            }
            (host::GuardCommand::Disarm { token: of }, Some(guard)) if token(guard, of, GuardPhase::Armed) => {
                self.by_host.remove(host);
            }
            (host::GuardCommand::Restore { token: of }, Some(guard)) if token(guard, of, GuardPhase::Armed) => {
                guard.restore(values)
            }
            (host::GuardCommand::Forget { token: of }, Some(guard)) if token(guard, of, GuardPhase::Restored) => {
                self.by_host.remove(host);
            }
            _ => return Err(ConnectError::failed("it does not stand so")),
        }
        Ok(host::CommandOutput::new(0, "", ""))
    }
}

impl Guard {
    fn restore(&mut self, values: &mut Values) {
        for (place, before) in std::mem::take(&mut self.before) {
            match before {
                Some(value) => drop(values.insert(place, value)),
                None => drop(values.remove(&place)),
            }
        }
        self.mark = GuardPhase::Restored;
    }
}
