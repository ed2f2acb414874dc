//! Guards of the simulated hosts: a host keeps what a guarded step alters, and restores it unless the step is confirmed
//! in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::order::Key;
use super::world::ValuePath;
use crate::connect::ConnectError;
use crate::connect::host::{self, GuardPhase, GuardState};

type Values = BTreeMap<ValuePath, String>;

#[derive(Default)]
pub struct Guards {
    by_host: BTreeMap<Option<String>, Guard>,
    /// Units that had a guard in this run. Without it their effects are refused.
    guarded: BTreeSet<Key>,
}

struct Guard {
    token: String,
    unit: String,
    phase: GuardPhase,
    /// The time that is left; counts between two runs.
    left: Duration,
    due: Instant,
    alive: bool,
    before: BTreeMap<ValuePath, Option<String>>,
}

impl Guards {
    /// Begins a run. Before it the hosts may have rebooted, or the guards' time may have gone by.
    pub fn begin(&mut self, values: &mut Values, reboots: bool, waits: bool) {
        self.guarded.clear();
        for guard in self.by_host.values_mut() {
            guard.due = Instant::now() + if waits { Duration::ZERO } else { guard.left };
            guard.alive &= !reboots;
        }
        self.pass(values);
    }

    /// Ends a run.
    pub fn end(&mut self) {
        for guard in self.by_host.values_mut() {
            guard.left = guard.due.saturating_duration_since(Instant::now());
        }
    }

    /// Restores the hosts whose guards are due.
    pub fn pass(&mut self, values: &mut Values) {
        for guard in self.by_host.values_mut() {
            if guard.phase == GuardPhase::Armed && guard.alive && guard.due <= Instant::now() {
                guard.restore(values);
            }
        }
    }

    /// The token of a unit's armed guard.
    pub fn of(&self, unit: &Key) -> Option<&str> {
        let guard = self.by_host.get(&unit.1).filter(|guard| guard.phase == GuardPhase::Armed)?;
        let step = guard.unit.split(['/', '@']).nth(1);
        (step == Some(&unit.0)).then_some(guard.token.as_str())
    }

    /// Whether a unit's effect is accepted: a guarded unit needs its guard to be armed.
    pub fn lets(&self, unit: &Key) -> bool {
        !self.guarded.contains(unit) || self.of(unit).is_some()
    }

    /// Keeps the value that a guarded unit is about to change.
    pub fn keep(&mut self, unit: &Key, place: &ValuePath, values: &Values) {
        if self.of(unit).is_some()
            && let Some(guard) = self.by_host.get_mut(&unit.1)
        {
            guard.before.entry(place.clone()).or_insert_with(|| values.get(place).cloned());
        }
    }

    pub fn state(&self, host: &Option<String>) -> Option<GuardState> {
        let guard = self.by_host.get(host)?;
        let waits = guard.phase == GuardPhase::Armed && guard.alive;
        Some(GuardState {
            phase: guard.phase,
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
        let token = |guard: &Guard, token: &String, phase: GuardPhase| guard.token == *token && guard.phase == phase;
        match (what, self.by_host.get_mut(host)) {
            (host::GuardCommand::Arm { token, time, unit, .. }, None) => {
                let (due, before) = (Instant::now() + *time, BTreeMap::new());
                let step = unit.split(['/', '@']).nth(1).unwrap_or_default().to_owned();
                self.guarded.insert((step, host.clone()));
                let (token, unit, phase) = (token.clone(), unit.clone(), GuardPhase::Armed);
                let guard = Guard { token, unit, phase, left: *time, due, alive: true, before };
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
            _ => return Err(ConnectError::failed("the guard is in another phase")),
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
        self.phase = GuardPhase::Restored;
    }
}
