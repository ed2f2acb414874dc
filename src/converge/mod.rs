//! The rules of `rollout converge`, which keeps a world as a plan says: when to probe, what counts as drift, and how often a
//! unit may be repaired. Knows events; reads no clock and starts nothing.

mod drift;
mod event;
mod notices;
mod repairs;
mod schedule;
mod ticker;

pub use drift::{Drift, DriftedUnit};
pub use event::{ServiceEvent, ServiceEventKind, VERSION};
pub use notices::Notices;
pub use repairs::{RepairLimits, Suspension};
pub use schedule::{Schedule, ScheduleError};
pub use ticker::{Clock, Ticker};
