//! A host that can be cut off, and takes back what was not confirmed in time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::host::{Done, Guard, Mark, Standing};
use crate::connect::{ConnectError, Target};

type Values = HashMap<String, String>;

#[derive(Default)]
pub struct GuardedHost {
    pub guard: Option<FakeGuard>,
    pub armed: usize,
    pub logins: usize,
    pub in_part: bool,
    pub loses_disarm: bool,
    /// Until when no new connection can be made.
    cut: Option<Instant>,
    /// Whether putting things back does not end that.
    for_good: bool,
}

pub struct FakeGuard {
    token: String,
    unit: String,
    due: Instant,
    before: Values,
    mark: Mark,
    applied: Option<i32>,
    pub alive: bool,
}

impl FakeGuard {
    pub fn new(token: &str, unit: &str, time: Duration, values: &Values) -> Self {
        let (due, before, alive) = (Instant::now() + time, values.clone(), true);
        let (token, unit) = (token.to_owned(), unit.to_owned());
        Self { token, unit, due, before, mark: Mark::Armed, applied: None, alive }
    }
}

impl GuardedHost {
    /// Lets happen what is due.
    pub fn pass(&mut self, values: &mut Values) {
        let due = |guard: &FakeGuard| guard.mark == Mark::Armed && guard.alive && guard.due <= Instant::now();
        if self.guard.as_ref().is_some_and(due) {
            self.restore(values);
        }
    }

    fn restore(&mut self, values: &mut Values) {
        let Some(guard) = &mut self.guard else { return };
        values.clone_from(&guard.before);
        guard.mark = if self.in_part { Mark::RestoredInPart } else { Mark::Restored };
        if !self.for_good {
            self.cut = None;
        }
    }

    pub fn reached(&mut self, target: &Target) -> Result<(), ConnectError> {
        if !target.fresh {
            return Ok(());
        }
        if self.cut.is_some_and(|until| until > Instant::now()) {
            return Err(ConnectError::unreachable("nobody lets us in"));
        }
        self.logins += 1;
        Ok(())
    }

    pub fn standing(&self) -> Option<Standing> {
        let guard = self.guard.as_ref()?;
        let armed = guard.mark == Mark::Armed;
        let left = guard.due.saturating_duration_since(Instant::now());
        Some(Standing {
            mark: guard.mark,
            token: guard.token.clone(),
            left: if armed && guard.alive { left } else { Duration::ZERO },
            alive: armed && guard.alive,
            applied: guard.applied,
            unit: guard.unit.clone(),
            said: if armed { String::new() } else { "put back a".to_owned() },
        })
    }

    pub fn perform(&mut self, effect: &Guard, values: &mut Values) -> Result<Done, ConnectError> {
        let stands = |host: &Self, token: &str, mark: Mark| {
            host.guard.as_ref().is_some_and(|guard| guard.token == token && guard.mark == mark)
        };
        let no = Err(ConnectError::failed("it does not stand so"));
        match effect {
            Guard::Arm { token, time, unit, .. } => {
                if self.guard.is_some() {
                    return Err(ConnectError::failed("there is a guard already"));
                }
                self.armed += 1;
                self.guard = Some(FakeGuard::new(token, unit, *time, values));
            }
            Guard::Within { .. } => panic!("the effects of these tests are no host's"),
            Guard::Apply { token, command } => {
                if !stands(self, token, Mark::Armed) {
                    return no;
                }
                let forever = Duration::from_secs(1_000_000);
                let seconds = command.strip_prefix("cut for ").and_then(|n| n.parse().ok()).map(Duration::from_secs);
                if command.starts_with("cut") {
                    self.cut = Some(Instant::now() + seconds.unwrap_or(forever));
                }
                self.for_good = command == "cut for good";
                if let Some(guard) = &mut self.guard {
                    guard.applied = (command != "hang").then_some(i32::from(command == "fail"));
                }
                if command.starts_with("cut") {
                    return Err(ConnectError::lost("the connection broke"));
                }
            }
            Guard::Disarm { token } if stands(self, token, Mark::Armed) => {
                self.guard = None;
                if self.loses_disarm {
                    return Err(ConnectError::lost("the connection broke"));
                }
            }
            Guard::Restore { token } if stands(self, token, Mark::Armed) => self.restore(values),
            Guard::Forget { token } if stands(self, token, Mark::Restored) => self.guard = None,
            Guard::Disarm { .. } | Guard::Restore { .. } | Guard::Forget { .. } => return no,
        }
        Ok(Done::new(0, "", ""))
    }
}
