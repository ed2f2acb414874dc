//! Fault injection: what a run makes go wrong on purpose, so that its promises can be tested. An ordinary run injects nothing.

use crate::event::UnitRef;

/// Moments in the life of a unit, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Nothing of the unit is on record.
    BeforeIntent,
    /// The unit's start is durable, and nothing was sent.
    AfterIntent,
    /// An effect is under way.
    MidEffect,
    /// An effect has ended, and the unit's end is not on record.
    AfterEffect,
    /// The unit's end is durable.
    AfterOutcome,
}

impl Point {
    pub const ALL: [Self; 5] =
        [Self::BeforeIntent, Self::AfterIntent, Self::MidEffect, Self::AfterEffect, Self::AfterOutcome];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before-intent",
            Self::AfterIntent => "after-intent",
            Self::MidEffect => "mid-effect",
            Self::AfterEffect => "after-effect",
            Self::AfterOutcome => "after-outcome",
        }
    }
}

pub trait Faults: Send + Sync {
    /// Called when a unit comes to a point; may end the process or block the thread.
    fn reach(&self, _point: Point, _unit: &UnitRef) {}

    /// Whether [`Faults::fails`] or [`Faults::repeats`] may be true for a unit, which is sent alone then.
    fn meddles(&self, _unit: &UnitRef) -> bool {
        false
    }

    /// Whether a unit that ended well is reported as failed. Asked once for each end.
    fn fails(&self, _unit: &UnitRef) -> bool {
        false
    }

    /// Whether a unit that made a change is run a second time at once.
    fn repeats(&self, _unit: &UnitRef) -> bool {
        false
    }
}

impl Faults for () {}
