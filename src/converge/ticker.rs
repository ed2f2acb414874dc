//! Decides when the next tick is due, whatever the clocks do: a machine that sleeps, and a wall clock that jumps.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::schedule::Schedule;

/// The longest time to wait before the clocks are read again: the monotonic clock stands still while the machine sleeps.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Both clocks of a machine, read at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub wall: Timestamp,
    /// Time since the service began, by a clock that only goes forward.
    pub running: Duration,
}

/// The next tick. The first one is due at once; ticks that were missed are made up for by one.
#[derive(Debug)]
pub struct Ticker {
    schedule: Schedule,
    due: Timestamp,
    /// For intervals, the moment by the monotonic clock.
    due_running: Option<Duration>,
    /// The wall clock when the ticker last looked.
    seen: Timestamp,
}

impl Ticker {
    pub fn new(schedule: Schedule, now: Clock) -> Self {
        Self { schedule, due: now.wall, due_running: None, seen: now.wall }
    }

    /// The moment of the next tick.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    pub fn is_due(&mut self, now: Clock) -> bool {
        // A wall clock that was set back would put off the next tick by as much. Intervals go on by the other clock; cron
        // expressions are asked anew.
        if now.wall < self.seen && self.due_running.is_none() && self.due > now.wall {
            self.due = self.schedule.next(now.wall).unwrap_or(Timestamp::MAX);
        }
        self.seen = now.wall;
        now.wall >= self.due || self.due_running.is_some_and(|due| now.running >= due)
    }

    /// How long to wait before [`Ticker::is_due`] is asked again.
    pub fn wait(&self, now: Clock) -> Duration {
        let by_wall = Duration::try_from(self.due.duration_since(now.wall)).unwrap_or_default();
        let by_running = self.due_running.map_or(by_wall, |due| due.saturating_sub(now.running));
        by_wall.min(by_running).min(MAX_WAIT)
    }

    /// Sets the next tick after one that began at `now`, later by `jitter`.
    pub fn advance(&mut self, now: Clock, jitter: Duration) {
        let later = |due: Timestamp| due.checked_add(SignedDuration::try_from(jitter).unwrap_or_default()).ok();
        self.due = self.schedule.next(now.wall).and_then(later).unwrap_or(Timestamp::MAX);
        self.due_running = match &self.schedule {
            Schedule::Every(interval) => Some(now.running + *interval + jitter),
            Schedule::Cron(..) => None,
        };
        self.seen = now.wall;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(wall: &str, running: u64) -> Clock {
        Clock { wall: format!("2026-01-01T{wall}Z").parse().unwrap(), running: Duration::from_secs(running) }
    }

    fn every_15_minutes() -> Ticker {
        let mut ticker = Ticker::new(Schedule::every(Duration::from_secs(900)).unwrap(), clock("10:00:00", 0));
        assert!(ticker.is_due(clock("10:00:00", 0)), "the first tick is due at once");
        ticker.advance(clock("10:00:00", 0), Duration::ZERO);
        ticker
    }

    #[test]
    fn ticks_come_at_their_interval() {
        let mut ticker = every_15_minutes();
        assert!(!ticker.is_due(clock("10:14:59", 899)));
        assert_eq!(ticker.wait(clock("10:14:57", 897)), Duration::from_secs(3));
        assert!(ticker.is_due(clock("10:15:00", 900)));
    }

    #[test]
    fn a_machine_that_slept_makes_up_for_all_missed_ticks_with_one() {
        let mut ticker = every_15_minutes();
        // The monotonic clock stood still for three hours.
        assert!(ticker.is_due(clock("13:05:00", 300)));
        ticker.advance(clock("13:05:00", 300), Duration::ZERO);
        assert!(!ticker.is_due(clock("13:19:59", 1199)));
        assert!(ticker.is_due(clock("13:20:00", 1200)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_off_ticks() {
        let mut ticker = every_15_minutes();
        assert!(!ticker.is_due(clock("08:10:00", 600)));
        assert!(ticker.is_due(clock("08:15:00", 900)));

        let hourly = Schedule::cron("0 * * * *", Some("UTC")).unwrap();
        let mut ticker = Ticker::new(hourly, clock("10:00:00", 0));
        ticker.advance(clock("10:00:00", 0), Duration::ZERO);
        assert!(!ticker.is_due(clock("08:30:00", 60)));
        assert!(ticker.is_due(clock("09:00:00", 1860)));
    }

    #[test]
    fn jitter_comes_on_top() {
        let mut ticker = every_15_minutes();
        ticker.advance(clock("10:15:00", 900), Duration::from_secs(20));
        assert!(!ticker.is_due(clock("10:30:19", 1819)));
        assert!(ticker.is_due(clock("10:30:20", 1820)));
    }
}
