//! How often a unit may be repaired. Something else may undo each repair; then the unit is left alone for a while and reported.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::UnitRef;

const HOUR: Duration = Duration::from_secs(3600);

/// The longest suspension.
const MAX_SUSPENSION: Duration = Duration::from_secs(24 * 3600);

/// The repairs of each unit within the last hour, and which units are suspended. Times are those of a clock that only goes
/// forward.
#[derive(Debug)]
pub struct RepairLimits {
    max_per_hour: usize,
    units: BTreeMap<UnitRef, Repairs>,
}

#[derive(Debug, Default)]
struct Repairs {
    at: VecDeque<Duration>,
    /// Set while the unit is suspended.
    until: Option<Duration>,
    /// How long the last suspension was; the next one is twice as long.
    last: Duration,
}

/// A unit that was repaired too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    pub unit: UnitRef,
    /// How long it is not repaired from now on.
    pub left: Duration,
}

impl RepairLimits {
    pub fn new(max_per_hour: usize) -> Self {
        Self { max_per_hour, units: BTreeMap::new() }
    }

    /// Notes that a unit was repaired. Returns its suspension if that was once too often.
    pub fn record(&mut self, unit: &UnitRef, now: Duration) -> Option<Suspension> {
        let repairs = self.units.entry(unit.clone()).or_default();
        repairs.forget_old(now);
        repairs.at.push_back(now);
        if repairs.at.len() < self.max_per_hour {
            return None;
        }
        repairs.last = (repairs.last * 2).clamp(HOUR, MAX_SUSPENSION);
        repairs.until = Some(now + repairs.last);
        Some(Suspension { unit: unit.clone(), left: repairs.last })
    }

    /// The units that are not to be repaired now.
    pub fn suspended(&mut self, now: Duration) -> Vec<Suspension> {
        for repairs in self.units.values_mut() {
            if repairs.until.is_some_and(|until| until <= now) {
                // One repair is allowed again; the next suspension follows at once if that does not last.
                repairs.until = None;
                repairs.at.truncate(self.max_per_hour.saturating_sub(1));
                repairs.at.iter_mut().for_each(|at| *at = now);
            }
        }
        self.units.retain(|_, repairs| !repairs.is_forgotten(now));
        let suspended = |(unit, repairs): (&UnitRef, &Repairs)| {
            Some(Suspension { unit: unit.clone(), left: repairs.until?.saturating_sub(now) })
        };
        self.units.iter().filter_map(suspended).collect()
    }
}

impl Repairs {
    fn forget_old(&mut self, now: Duration) {
        while self.at.front().is_some_and(|at| now.saturating_sub(*at) >= HOUR) {
            self.at.pop_front();
        }
    }

    /// Whether a day without repairs has passed.
    fn is_forgotten(&self, now: Duration) -> bool {
        self.until.is_none() && self.at.back().is_none_or(|at| now.saturating_sub(*at) >= MAX_SUSPENSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> UnitRef {
        UnitRef { phase: "p".into(), step: "s".into(), item: None, host: Some("pi-1".into()) }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_unit_that_something_else_undoes_is_suspended_for_longer_each_time() {
        let mut limits = RepairLimits::new(3);
        assert_eq!((limits.record(&unit(), minutes(0)), limits.record(&unit(), minutes(15))), (None, None));
        assert_eq!(limits.record(&unit(), minutes(30)).unwrap().left, HOUR);
        assert_eq!(limits.suspended(minutes(60)), [Suspension { unit: unit(), left: minutes(30) }]);
        assert_eq!(limits.suspended(minutes(90)), []);
        // The first repair after that shows that nothing has changed.
        assert_eq!(limits.record(&unit(), minutes(90)).unwrap().left, 2 * HOUR);
        assert_eq!(limits.suspended(minutes(210)), []);
        assert_eq!(limits.record(&unit(), minutes(211)).unwrap().left, 4 * HOUR);
    }

    #[test]
    fn repairs_that_are_an_hour_apart_are_never_too_many() {
        let mut limits = RepairLimits::new(3);
        for hour in 0..200 {
            assert_eq!(limits.record(&unit(), minutes(hour * 31)), None, "{hour}");
            assert!(limits.suspended(minutes(hour * 31)).is_empty());
        }
    }

    #[test]
    fn a_day_without_repairs_is_a_new_beginning() {
        let mut limits = RepairLimits::new(1);
        assert_eq!(limits.record(&unit(), minutes(0)).unwrap().left, HOUR);
        assert!(limits.suspended(minutes(26 * 60)).is_empty());
        assert!(limits.suspended(minutes(51 * 60)).is_empty());
        assert_eq!(limits.record(&unit(), minutes(51 * 60)).unwrap().left, HOUR);
    }
}
