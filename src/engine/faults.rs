//! Where a run can be made to go wrong on purpose, so that its promises can be tried. An ordinary run has none.

use crate::event::UnitRef;

/// A moment in the life of a unit, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Nothing of it is on record.
    BeforeIntent,
    /// Its start is on disk, nothing of it was sent out.
    AfterIntent,
    /// A change of it is under way.
    MidEffect,
    /// A change of it was made, its end is not on record.
    AfterEffect,
    /// Its end is on disk.
    AfterOutcome,
}

impl Point {
    /// All points, in their order.
    pub const ALL: [Self; 5] =
        [Self::BeforeIntent, Self::AfterIntent, Self::MidEffect, Self::AfterEffect, Self::AfterOutcome];

    /// Its name on the command line.
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

/// What goes wrong on purpose.
pub trait Faults: Send + Sync {
    /// A unit has come to a point; may end the process or block the thread.
    fn reach(&self, _point: Point, _unit: &UnitRef) {}

    /// Whether one of the two below may be true of a unit; it is sent alone then.
    fn meddles(&self, _unit: &UnitRef) -> bool {
        false
    }

    /// Whether a unit that ended well is to be told as failed. Asked once for each of its ends.
    fn fails(&self, _unit: &UnitRef) -> bool {
        false
    }

    /// Whether a unit that made a change is to be run a second time at once.
    fn repeats(&self, _unit: &UnitRef) -> bool {
        false
    }
}

impl Faults for () {}
