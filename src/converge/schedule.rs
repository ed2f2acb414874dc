//! When ticks are due: at an interval, or by a cron expression in a time zone.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff_of_croner::tz::TimeZone;

/// Shorter intervals would probe the hosts all the time.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub enum Schedule {
    Every(Duration),
    Cron(Box<Cron>, TimeZone),
}

/// Why there is no such schedule; a sentence, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    pub message: String,
    pub hint: String,
}

fn refuse<T>(message: String, hint: &str) -> Result<T, ScheduleError> {
    Err(ScheduleError { message, hint: hint.to_owned() })
}

impl Schedule {
    /// # Errors
    /// If the interval is below 30 seconds.
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        if interval < MIN_INTERVAL {
            let hint = "give at least 30s; a change to an object of a cluster is better watched than polled";
            return refuse(format!("an interval of {interval:?} is too short"), hint);
        }
        Ok(Self::Every(interval))
    }

    /// A cron expression with five fields, as in a crontab. `zone` is an IANA name; `None` is the time zone of this machine.
    ///
    /// # Errors
    /// If the expression or the time zone cannot be read, if the expression never matches, or if it matches more often than
    /// every 30 seconds.
    pub fn cron(expression: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => match TimeZone::get(name) {
                Ok(zone) => zone,
                Err(_) => {
                    return refuse(
                        format!("this machine knows no time zone `{name}`"),
                        "write an IANA name such as Europe/Berlin; on Debian the package tzdata has them",
                    );
                }
            },
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = match parser.parse(expression) {
            Ok(cron) => cron,
            Err(error) => {
                return refuse(
                    format!("`{expression}` is no cron expression: {error}"),
                    "write five fields (minute hour day month weekday), such as \"*/15 * * * *\"",
                );
            }
        };
        let schedule = Self::Cron(Box::new(cron), zone);
        if schedule.next(Timestamp::UNIX_EPOCH).is_none() {
            return refuse(format!("`{expression}` never comes"), "does that month have such a day?");
        }
        Ok(schedule)
    }

    /// The first moment after `now` at which a tick is due; `None` if there is none.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(interval) => now.checked_add(jiff::SignedDuration::try_from(*interval).ok()?).ok(),
            Self::Cron(cron, zone) => {
                let now = jiff_of_croner::Timestamp::from_second(now.as_second()).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&now, false).ok()?;
                Timestamp::from_second(next.timestamp().as_second()).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_interval_begins_anew_after_each_tick() {
        let every = Schedule::every(Duration::from_secs(900)).unwrap();
        assert_eq!(every.next(at("2026-03-01T10:00:01Z")), Some(at("2026-03-01T10:15:01Z")));
        assert!(Schedule::every(Duration::from_secs(29)).is_err());
    }

    #[test]
    fn cron_expressions_are_in_the_time_zone() {
        let cron = Schedule::cron("30 2 * * *", Some("Europe/Berlin")).unwrap();
        assert_eq!(cron.next(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T01:30:00Z")));
        assert_eq!(cron.next(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T00:30:00Z")));
        // On the day when the clock goes forward, 02:30 does not exist: the tick comes at 03:00 or later that day.
        let next = cron.next(at("2026-03-28T12:00:00Z")).unwrap();
        assert!((at("2026-03-29T00:00:00Z")..at("2026-03-30T00:00:00Z")).contains(&next), "{next}");
    }

    #[test]
    fn bad_schedules_say_what_is_wrong() {
        let message = |expression, zone| Schedule::cron(expression, zone).unwrap_err().message;
        assert!(message("every day", None).starts_with("`every day` is no cron expression"));
        assert!(message("0 */5 * * * *", None).contains("no cron expression"), "six fields");
        assert_eq!(message("0 0 30 2 *", Some("UTC")), "`0 0 30 2 *` never comes");
        assert_eq!(message("0 0 * * *", Some("Berlin")), "this machine knows no time zone `Berlin`");
    }
}
