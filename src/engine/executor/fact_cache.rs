//! What is known of a host ahead of time: the first step of a pipeline that asks its host asks for those behind it too, so
//! that a host where nothing is to be done is done after one round trip. A change is followed, in its own trip, by the
//! queries of the steps behind it whose answers it may have changed.
//!
//! An answer serves the unit that it was asked for, once, and only if no effect on the host could have changed it since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::connect::{Effect, Fact, Probe};
use crate::event::UnitRef;
use crate::sync::lock;

/// What a unit will ask.
pub type Query = (UnitRef, Vec<Probe>);

/// Answers that came ahead of time, by host.
#[derive(Clone, Default)]
pub struct FactCache(Arc<Mutex<HashMap<String, HostFacts>>>);

#[derive(Default)]
struct HostFacts {
    answers: HashMap<UnitRef, CachedFacts>,
    /// Effects under way.
    changing: HashMap<u64, Effect>,
    /// Looks under way, with the effects that were at work at any time since they began.
    looking: HashMap<u64, Vec<Effect>>,
    next: u64,
}

struct CachedFacts {
    probes: Vec<Probe>,
    facts: Vec<Fact>,
    /// An effect may have changed it since.
    stale: bool,
}

impl HostFacts {
    /// The answer for a unit to these very queries.
    fn fresh(&self, unit: &UnitRef, probes: &[Probe]) -> Option<&CachedFacts> {
        self.answers.get(unit).filter(|answer| !answer.stale && answer.probes == probes)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl FactCache {
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut HostFacts) -> T) -> T {
        let mut hosts = lock(&self.0);
        act(hosts.entry(name.to_owned()).or_default())
    }

    /// Whether there is an answer for a unit.
    pub fn is_fresh(&self, host: &str, unit: &UnitRef) -> bool {
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| !answer.stale))
    }

    /// The answer for a unit, if there is one to these very queries.
    pub fn take(&self, host: &str, unit: &UnitRef, probes: &[Probe]) -> Option<Vec<Fact>> {
        let answer = self.with(host, |host| host.answers.remove(unit))?;
        (!answer.stale && answer.probes == probes).then_some(answer.facts)
    }

    /// Whether `judge` says so of the last answer for a unit, even if it may be another one by now.
    pub fn peek_stale(&self, host: &str, unit: &UnitRef, judge: impl FnOnce(&[Fact]) -> bool) -> bool {
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| judge(&answer.facts)))
    }

    /// What `judge` makes of the answer; it stays.
    pub fn peek<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<T> {
        self.with(host, |host| host.fresh(unit, probes).and_then(|answer| judge(&answer.facts)))
    }

    /// The same if `judge` makes something of it; else it stays.
    pub fn take_if<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<(Vec<Fact>, T)> {
        self.with(host, |host| {
            let judged = host.fresh(unit, probes).and_then(|answer| judge(&answer.facts))?;
            host.answers.remove(unit).map(|answer| (answer.facts, judged))
        })
    }

    /// A look begins.
    pub fn begin_read(&self, host: &str) -> ReadTicket {
        let number = self.with(host, |host| {
            let number = host.number();
            host.looking.insert(number, host.changing.values().cloned().collect());
            number
        });
        ReadTicket { cache: self.clone(), host: host.to_owned(), number }
    }

    /// Effects begin; they end when what is returned first is dropped. What is returned second is a look that comes
    /// behind them.
    pub fn begin_effects(&self, host: &str, effects: &[Effect]) -> (Vec<EffectTicket>, ReadTicket) {
        let (numbers, look) = self.with(host, |host| {
            for effect in effects {
                host.looking.values_mut().for_each(|seen| seen.push(effect.clone()));
                for answer in host.answers.values_mut() {
                    answer.stale |= may_invalidate(std::slice::from_ref(effect), &answer.probes);
                }
            }
            let look = host.number();
            host.looking.insert(look, host.changing.values().cloned().collect());
            let numbers: Vec<u64> = effects.iter().map(|_| host.number()).collect();
            host.changing.extend(numbers.iter().copied().zip(effects.iter().cloned()));
            (numbers, look)
        });
        let change = |number| EffectTicket { cache: self.clone(), host: host.to_owned(), number };
        (
            numbers.into_iter().map(change).collect(),
            ReadTicket { cache: self.clone(), host: host.to_owned(), number: look },
        )
    }
}

/// A look that is under way.
pub struct ReadTicket {
    cache: FactCache,
    host: String,
    number: u64,
}

impl ReadTicket {
    /// It has brought these facts, in the order of the queries.
    pub fn store(self, queries: &[Query], facts: Vec<Fact>) {
        let mut facts = facts.into_iter();
        self.cache.with(&self.host, |host| {
            let effects = host.looking.get(&self.number).cloned().unwrap_or_default();
            for (unit, probes) in queries {
                let facts = facts.by_ref().take(probes.len()).collect();
                let stale = may_invalidate(&effects, probes);
                host.answers.insert(unit.clone(), CachedFacts { probes: probes.clone(), facts, stale });
            }
        });
    }
}

impl Drop for ReadTicket {
    fn drop(&mut self) {
        self.cache.with(&self.host, |host| host.looking.remove(&self.number));
    }
}

/// An effect that is under way.
pub struct EffectTicket {
    cache: FactCache,
    host: String,
    number: u64,
}

impl Drop for EffectTicket {
    fn drop(&mut self) {
        self.cache.with(&self.host, |host| host.changing.remove(&self.number));
    }
}

/// Whether any of the effects may change the answer to any of the probes.
pub fn may_invalidate(effects: &[Effect], probes: &[Probe]) -> bool {
    probes.iter().any(|probe| effects.iter().any(|effect| effect.may_change(probe)))
}
