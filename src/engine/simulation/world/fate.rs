//! What may befall a call, and what becomes of an effect that is lost.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use super::{Late, Sent, State, ValuePath};
use crate::engine::simulation::generate::chance;
use crate::engine::simulation::order::Key;

/// How likely each fault is, in percent of the calls, of the hosts or of the units.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// An effect is refused once or twice.
    pub refused: u32,
    /// All effects of a unit are refused from now on.
    pub refused_for_good: u32,
    /// The connection breaks.
    pub lost: u32,
    /// No answer ever comes.
    pub hangs: u32,
    /// A host is unreachable for a while.
    pub away: u32,
    /// A call takes its time.
    pub slow: u32,
    /// The program dies in a call; in ten thousandths of the calls.
    pub deadly: u32,
}

/// What becomes of an effect that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Works,
    Refused,
    /// The connection breaks.
    Lost(Lost),
    /// No answer ever comes.
    Hangs(Lost),
    /// The program dies.
    Dies(Lost),
}

/// Whether an effect takes place whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It does not.
    Before,
    /// It does, at once.
    After,
    /// It arrives later.
    Later,
    /// It takes place at once, and once more later.
    TakenAndLater,
}

impl State {
    pub(super) fn fate(&mut self, unit: &Key, command: bool) -> Fate {
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

    /// Lets an effect take place as far as it does whose answer is lost.
    pub(super) fn lose(&mut self, lost: Lost, command: bool, place: ValuePath, sent: Sent) {
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
