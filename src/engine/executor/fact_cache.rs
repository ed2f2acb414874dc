//! Answers of hosts, ahead of the units that need them. The first unit that probes a host also sends the probes of the units
//! behind it, so that a host where nothing is to be changed is finished after one round trip. Behind an effect, in the same round
//! trip, go the probes of the units behind it whose answers the effect may have changed.
//!
//! An answer serves one unit, once, and only if no effect on the host may have changed it since it was given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::connect::{Effect, Fact, Probe};
use crate::event::UnitRef;
use crate::sync::lock;

/// A unit and its probes.
pub type Query = (UnitRef, Vec<Probe>);

/// Cached answers, by host.
#[derive(Clone, Default)]
pub struct FactCache(Arc<Mutex<HashMap<String, HostFacts>>>);

#[derive(Default)]
struct HostFacts {
    answers: HashMap<UnitRef, CachedFacts>,
    /// Effects under way, by ticket.
    changing: HashMap<u64, Effect>,
    /// Reads under way, by ticket, with all effects that were under way at some time since the read began.
    reading: HashMap<u64, Vec<Effect>>,
    next: u64,
}

struct CachedFacts {
    probes: Vec<Probe>,
    facts: Vec<Fact>,
    /// Whether an effect may have changed the answer since.
    stale: bool,
}

impl HostFacts {
    /// The answer for a unit, if it is for these very probes and not stale.
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

    /// Whether there is an answer for a unit that is not stale.
    pub fn is_fresh(&self, host: &str, unit: &UnitRef) -> bool {
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| !answer.stale))
    }

    /// Takes the answer for a unit. Returns it if it is for these very probes and not stale.
    pub fn take(&self, host: &str, unit: &UnitRef, probes: &[Probe]) -> Option<Vec<Fact>> {
        let answer = self.with(host, |host| host.answers.remove(unit))?;
        (!answer.stale && answer.probes == probes).then_some(answer.facts)
    }

    /// What `judge` returns for the last answer for a unit, even if that answer is stale.
    pub fn peek_stale(&self, host: &str, unit: &UnitRef, judge: impl FnOnce(&[Fact]) -> bool) -> bool {
        self.with(host, |host| host.answers.get(unit).is_some_and(|answer| judge(&answer.facts)))
    }

    /// What `judge` returns for the answer, which stays cached.
    pub fn peek<T>(
        &self,
        host: &str,
        unit: &UnitRef,
        probes: &[Probe],
        judge: impl FnOnce(&[Fact]) -> Option<T>,
    ) -> Option<T> {
        self.with(host, |host| host.fresh(unit, probes).and_then(|answer| judge(&answer.facts)))
    }

    /// Takes the answer if `judge` returns something for it.
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

    /// Begins a read, whose answers [`ReadTicket::store`] caches.
    pub fn begin_read(&self, host: &str) -> ReadTicket {
        let number = self.with(host, |host| {
            let number = host.number();
            host.reading.insert(number, host.changing.values().cloned().collect());
            number
        });
        ReadTicket { cache: self.clone(), host: host.to_owned(), number }
    }

    /// Begins effects; each ends when its ticket is dropped. Also begins a read that comes behind them in the same round trip.
    pub fn begin_effects(&self, host: &str, effects: &[Effect]) -> (Vec<EffectTicket>, ReadTicket) {
        let (numbers, look) = self.with(host, |host| {
            for effect in effects {
                host.reading.values_mut().for_each(|seen| seen.push(effect.clone()));
                for answer in host.answers.values_mut() {
                    answer.stale |= may_invalidate(std::slice::from_ref(effect), &answer.probes);
                }
            }
            let look = host.number();
            host.reading.insert(look, host.changing.values().cloned().collect());
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

/// A read that is under way.
pub struct ReadTicket {
    cache: FactCache,
    host: String,
    number: u64,
}

impl ReadTicket {
    /// Caches the facts, which are in the order of the queries.
    pub fn store(self, queries: &[Query], facts: Vec<Fact>) {
        let mut facts = facts.into_iter();
        self.cache.with(&self.host, |host| {
            let effects = host.reading.get(&self.number).cloned().unwrap_or_default();
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
        self.cache.with(&self.host, |host| host.reading.remove(&self.number));
    }
}

/// An effect that is under way; ends when dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{fact, read, value, write};

    fn query(path: &str) -> Query {
        (UnitRef { phase: "p".into(), step: path.into(), item: None, host: None }, vec![read(path)])
    }

    /// Reads a path while `meanwhile` happens.
    fn store(cache: &FactCache, path: &str, meanwhile: impl FnOnce()) {
        let ticket = cache.begin_read("h");
        meanwhile();
        ticket.store(&[query(path)], vec![fact(Some("1"))]);
    }

    fn take(cache: &FactCache, path: &str) -> Option<String> {
        let (unit, probes) = query(path);
        let facts = cache.take("h", &unit, &probes)?;
        value(&facts[0]).map(str::to_owned)
    }

    #[test]
    fn an_answer_serves_once_and_for_its_own_probes() {
        let cache = FactCache::default();
        store(&cache, "a", || {});
        let (unit, probes) = query("a");
        assert!(cache.take("other", &unit, &probes).is_none());
        assert!(cache.peek("h", &unit, &[read("b")], |_| Some(())).is_none());
        assert!(cache.peek("h", &unit, &probes, |_| Some(())).is_some());
        assert!(cache.take_if("h", &unit, &probes, |_| None::<()>).is_none(), "it stays when it is not wanted");
        assert_eq!(take(&cache, "a").as_deref(), Some("1"));
        assert_eq!(take(&cache, "a"), None);
    }

    #[test]
    fn an_effect_makes_answers_stale_that_were_given_before_or_meanwhile() {
        let effect = [write("", "a", "2")];
        let cache = FactCache::default();
        store(&cache, "a", || {});
        store(&cache, "b", || {});
        let tickets = cache.begin_effects("h", &effect);
        let (unit, _) = query("a");
        assert!(cache.peek_stale("h", &unit, |_| true) && !cache.is_fresh("h", &unit), "given before");
        assert_eq!(take(&cache, "b").as_deref(), Some("1"), "another file");
        assert_eq!(take(&cache, "a"), None);

        store(&cache, "a", || {});
        assert_eq!(take(&cache, "a"), None, "given while the effect was under way");
        drop(tickets);
        store(&cache, "a", || {});
        assert_eq!(take(&cache, "a").as_deref(), Some("1"), "given after the effect ended");

        store(&cache, "a", || drop(cache.begin_effects("h", &effect)));
        assert_eq!(take(&cache, "a"), None, "the effect began and ended during the read");
        store(&cache, "a", || drop(cache.begin_effects("other", &effect)));
        assert_eq!(take(&cache, "a").as_deref(), Some("1"), "an effect on another host");
    }

    #[test]
    fn a_read_behind_effects_sees_them_done() {
        let cache = FactCache::default();
        let (tickets, behind) = cache.begin_effects("h", &[write("", "a", "2")]);
        behind.store(&[query("a")], vec![fact(Some("2"))]);
        drop(tickets);
        assert_eq!(take(&cache, "a").as_deref(), Some("2"));
    }
}
