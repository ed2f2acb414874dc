//! A host whose new connections can be cut, and which restores itself when a guarded change is not confirmed in time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::host::{CommandOutput, GuardCommand, GuardPhase, GuardState};
use crate::connect::{ConnectError, Target};

type Values = HashMap<String, String>;

#[derive(Default)]
pub struct GuardedHost {
    pub guard: Option<FakeGuard>,
    /// How often a guard was armed.
    pub armed: usize,
    /// How many new connections were made.
    pub logins: usize,
    /// Whether restoring works only in part.
    pub in_part: bool,
    /// Whether the answer to a disarmed guard is lost.
    pub loses_disarm: bool,
    /// Until when no new connection can be made.
    cut: Option<Instant>,
    /// Whether the cut outlasts the restoration.
    for_good: bool,
}

pub struct FakeGuard {
    token: String,
    unit: String,
    due: Instant,
    before: Values,
    phase: GuardPhase,
    applied: Option<i32>,
    /// Whether its timer is at work: not after a reboot.
    pub alive: bool,
}

impl FakeGuard {
    pub fn new(token: &str, unit: &str, time: Duration, values: &Values) -> Self {
        let (due, before, alive) = (Instant::now() + time, values.clone(), true);
        let (token, unit) = (token.to_owned(), unit.to_owned());
        Self { token, unit, due, before, phase: GuardPhase::Armed, applied: None, alive }
    }
}

impl GuardedHost {
    /// Restores the host if its guard is due.
    pub fn pass(&mut self, values: &mut Values) {
        let due = |guard: &FakeGuard| guard.phase == GuardPhase::Armed && guard.alive && guard.due <= Instant::now();
        if self.guard.as_ref().is_some_and(due) {
            self.restore(values);
        }
    }

    fn restore(&mut self, values: &mut Values) {
        let Some(guard) = &mut self.guard else { return };
        values.clone_from(&guard.before);
        guard.phase = if self.in_part { GuardPhase::RestoredInPart } else { GuardPhase::Restored };
        if !self.for_good {
            self.cut = None;
        }
    }

    /// Whether the target can be reached. Only new connections can be cut.
    pub fn connect(&mut self, target: &Target) -> Result<(), ConnectError> {
        if !target.reconnect {
            return Ok(());
        }
        if self.cut.is_some_and(|until| until > Instant::now()) {
            return Err(ConnectError::unreachable("nobody lets us in"));
        }
        self.logins += 1;
        Ok(())
    }

    pub fn guard_state(&self) -> Option<GuardState> {
        let guard = self.guard.as_ref()?;
        let armed = guard.phase == GuardPhase::Armed;
        let left = guard.due.saturating_duration_since(Instant::now());
        Some(GuardState {
            phase: guard.phase,
            token: guard.token.clone(),
            remaining: if armed && guard.alive { left } else { Duration::ZERO },
            alive: armed && guard.alive,
            applied: guard.applied,
            unit: guard.unit.clone(),
            output: if armed { String::new() } else { "put back a".to_owned() },
        })
    }

    pub fn perform(&mut self, effect: &GuardCommand, values: &mut Values) -> Result<CommandOutput, ConnectError> {
        let is_in = |host: &Self, token: &str, phase: GuardPhase| {
            host.guard.as_ref().is_some_and(|guard| guard.token == token && guard.phase == phase)
        };
        let no = Err(ConnectError::failed("the guard is in another phase"));
        match effect {
            GuardCommand::Arm { token, time, unit, .. } => {
                if self.guard.is_some() {
                    return Err(ConnectError::failed("there is a guard already"));
                }
                self.armed += 1;
                self.guard = Some(FakeGuard::new(token, unit, *time, values));
            }
            GuardCommand::Within { .. } => panic!("the world carries out its effect"),
            GuardCommand::Apply { token, command } => {
                if !is_in(self, token, GuardPhase::Armed) {
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
            GuardCommand::Disarm { token } if is_in(self, token, GuardPhase::Armed) => {
                self.guard = None;
                if self.loses_disarm {
                    return Err(ConnectError::lost("the connection broke"));
                }
            }
            GuardCommand::Restore { token } if is_in(self, token, GuardPhase::Armed) => self.restore(values),
            GuardCommand::Forget { token } if is_in(self, token, GuardPhase::Restored) => self.guard = None,
            GuardCommand::Disarm { .. } | GuardCommand::Restore { .. } | GuardCommand::Forget { .. } => return no,
        }
        Ok(CommandOutput::new(0, "", ""))
    }
}
