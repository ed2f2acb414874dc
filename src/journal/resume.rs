//! The decision table of a resumed run: keep a unit, probe it, or stop. Pure functions.

use super::history::UnitRecord;
use crate::event::{Outputs, RecordedState};
use crate::plan::Role;
use crate::secret::MASK;

/// The facts that decide about a unit.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The record of the unit, if there is one.
    pub recorded: Option<&'a UnitRecord>,
    /// Hash of its current definition.
    pub definition: &'a str,
    /// When something that the unit depends on was last touched, and by which unit; [`THIS_RUN`] if by this run.
    pub upstream_change: Option<(u64, &'a str)>,
    /// The rollback step that started to undo the unit since it was done, and did not succeed.
    pub undoing: Option<&'a str>,
    /// Whether its action can change anything.
    pub role: Role,
    /// Whether the unit may be started again after it was cut off: its probe tells whether that is needed, or the plan
    /// says that repeating it does no harm.
    pub repeatable: bool,
    pub outputs_are_read: bool,
}

/// A time later than all recorded times.
pub const THIS_RUN: u64 = u64::MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The unit is done: take its outputs from the record.
    Keep,
    /// Probe the unit, and act if the probe says so. The reason tells the user why the unit is not kept; `None` if
    /// there is no record.
    Probe(Option<Reason>),
    /// The unit or its rollback step was cut off, it is unknown whether its change is in effect, and the change must
    /// not be made twice: the user decides.
    Stop(Reason),
}

/// Why a recorded unit is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The unit was started, and its end is not recorded.
    CutOff,
    /// The unit failed.
    Failed,
    /// The unit failed, and the failure was ignored.
    Warned,
    /// The unit was undone when its phase failed.
    Undone,
    /// Undoing the unit was started and not finished.
    HalfUndone(String),
    /// Action, parameters, host or rights have changed.
    Definition,
    /// Something that the unit depends on was touched after the unit was done.
    UpstreamChanged(String),
    /// Checks always run again, since the state of the systems may have changed.
    Check,
    /// The outputs are secret, so they are not recorded.
    SecretOutputs,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CutOff => f.write_str("it was cut off"),
            Self::Failed => f.write_str("it had failed"),
            Self::Warned => f.write_str("it had failed, which was ignored"),
            Self::Undone => f.write_str("it was undone"),
            Self::HalfUndone(by) => write!(f, "{by} began to undo it, and did not finish"),
            Self::Definition => f.write_str("its definition changed"),
            Self::UpstreamChanged(by) => write!(f, "{by} changed after it"),
            Self::Check => f.write_str("checks are made again"),
            Self::SecretOutputs => f.write_str("its outputs are secret, so they are not on record"),
        }
    }
}

/// The decision table; the first matching row counts.
///
/// | recorded | definition | below | unit | decision |
/// |---|---|---|---|---|
/// | nothing | | | | probe |
/// | cut off | | | not repeatable | stop |
/// | succeeded, undone | | | its undo was cut off or failed; not repeatable | stop |
/// | cut off | | | | probe |
/// | failed, warned, undone | | | | probe |
/// | succeeded | | | only looks | probe |
/// | succeeded | changed | | | probe |
/// | succeeded | same | touched since | | probe |
/// | succeeded | same | quiet | has secret outputs that are read | probe |
/// | succeeded | same | quiet | | keep |
pub fn decide(case: &Case<'_>) -> Decision {
    let Some(recorded) = case.recorded else { return Decision::Probe(None) };
    let probe = |why| Decision::Probe(Some(why));
    let half_undone =
        case.undoing.filter(|_| matches!(recorded.standing, RecordedState::Succeeded | RecordedState::Undone));
    if let Some(by) = half_undone.filter(|_| !case.repeatable) {
        return Decision::Stop(Reason::HalfUndone(by.to_owned()));
    }
    match recorded.standing {
        RecordedState::Unknown if !case.repeatable => Decision::Stop(Reason::CutOff),
        RecordedState::Unknown => probe(Reason::CutOff),
        RecordedState::Failed => probe(Reason::Failed),
        RecordedState::Warned => probe(Reason::Warned),
        RecordedState::Undone => probe(Reason::Undone),
        RecordedState::Succeeded if case.role == Role::Check => probe(Reason::Check),
        RecordedState::Succeeded if recorded.definition != case.definition => probe(Reason::Definition),
        RecordedState::Succeeded => match case.upstream_change {
            Some((when, by)) if Some(when) > recorded.done => probe(Reason::UpstreamChanged(by.to_owned())),
            _ if case.outputs_are_read && holds_mask(&recorded.outputs) => probe(Reason::SecretOutputs),
            _ => Decision::Keep,
        },
    }
}

/// Whether some output was masked. Secret outputs are not recorded, so the step must run again to provide them.
fn holds_mask(outputs: &Outputs) -> bool {
    serde_json::to_string(outputs).map_or(true, |json| json.contains(MASK))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::unit;
    use super::*;

    const STANDINGS: [RecordedState; 5] = [
        RecordedState::Succeeded,
        RecordedState::Failed,
        RecordedState::Unknown,
        RecordedState::Undone,
        RecordedState::Warned,
    ];

    /// A case in the terms of the table.
    #[derive(Debug, Clone, Copy)]
    struct TestCase {
        standing: Option<RecordedState>,
        same_definition: bool,
        /// When something upstream was touched: never, before the unit was done, after, or by this run.
        below: Option<u64>,
        role: Role,
        undoing: bool,
        repeatable: bool,
        /// Its outputs: not secret, secret, secret and read.
        secret: Option<bool>,
    }

    const DONE: u64 = 5;

    impl TestCase {
        fn decide(&self) -> Decision {
            let mut outputs = Outputs::new();
            if self.secret.is_some() {
                outputs.insert("token".into(), MASK.into());
            }
            let recorded = self.standing.map(|standing| UnitRecord {
                unit: unit("a"),
                definition: "d".into(),
                standing,
                outputs,
                done: Some(DONE),
                touched: Some(DONE),
            });
            decide(&Case {
                recorded: recorded.as_ref(),
                definition: if self.same_definition { "d" } else { "other" },
                upstream_change: self.below.map(|when| (when, "p/b")),
                undoing: self.undoing.then_some("p/undo"),
                role: self.role,
                repeatable: self.repeatable,
                outputs_are_read: self.secret == Some(true),
            })
        }

        fn all() -> Vec<Self> {
            let mut all = Vec::new();
            for standing in STANDINGS.map(Some).into_iter().chain([None]) {
                for same_definition in [true, false] {
                    for below in [None, Some(DONE - 1), Some(DONE + 1), Some(THIS_RUN)] {
                        for role in [Role::Check, Role::Change] {
                            for (undoing, repeatable) in [(true, true), (true, false), (false, true), (false, false)] {
                                for secret in [None, Some(false), Some(true)] {
                                    all.push(Self {
                                        standing,
                                        same_definition,
                                        below,
                                        role,
                                        undoing,
                                        repeatable,
                                        secret,
                                    });
                                }
                            }
                        }
                    }
                }
            }
            all
        }
    }

    /// The specification, stated independently: what must hold for each decision to be right.
    fn is_right(test_case: &TestCase, decision: &Decision) -> bool {
        let below_is_older = test_case.below.is_none_or(|when| when < DONE);
        let may_keep = test_case.standing == Some(RecordedState::Succeeded)
            && test_case.same_definition
            && below_is_older
            && test_case.role == Role::Change
            && test_case.secret != Some(true);
        let in_doubt = match test_case.standing {
            Some(RecordedState::Unknown) => true,
            Some(RecordedState::Succeeded | RecordedState::Undone) => test_case.undoing,
            Some(RecordedState::Failed | RecordedState::Warned) | None => false,
        };
        let must_stop = in_doubt && !test_case.repeatable;
        match decision {
            Decision::Keep => may_keep && !must_stop,
            Decision::Stop(_) => must_stop,
            Decision::Probe(why) => !may_keep && !must_stop && why.is_some() == test_case.standing.is_some(),
        }
    }

    #[test]
    fn the_table_agrees_with_the_specification_everywhere() {
        let all = TestCase::all();
        assert_eq!(all.len(), 6 * 2 * 4 * 2 * 4 * 3);
        for test_case in all {
            let decision = test_case.decide();
            assert!(is_right(&test_case, &decision), "{test_case:?} → {decision:?}");
        }
    }

    #[test]
    fn each_row_by_hand() {
        let base = TestCase {
            standing: Some(RecordedState::Succeeded),
            same_definition: true,
            below: None,
            role: Role::Change,
            undoing: false,
            repeatable: true,
            secret: None,
        };
        let probe = |why| Decision::Probe(Some(why));
        for (test_case, decision) in [
            (base, Decision::Keep),
            (TestCase { below: Some(DONE - 1), ..base }, Decision::Keep),
            (TestCase { standing: None, ..base }, Decision::Probe(None)),
            (TestCase { standing: Some(RecordedState::Unknown), ..base }, probe(Reason::CutOff)),
            (
                TestCase { standing: Some(RecordedState::Unknown), repeatable: false, ..base },
                Decision::Stop(Reason::CutOff),
            ),
            (
                TestCase { undoing: true, repeatable: false, ..base },
                Decision::Stop(Reason::HalfUndone("p/undo".into())),
            ),
            (TestCase { undoing: true, below: Some(THIS_RUN), ..base }, probe(Reason::UpstreamChanged("p/b".into()))),
            (TestCase { standing: Some(RecordedState::Failed), repeatable: false, ..base }, probe(Reason::Failed)),
            (TestCase { standing: Some(RecordedState::Undone), ..base }, probe(Reason::Undone)),
            (TestCase { standing: Some(RecordedState::Warned), repeatable: false, ..base }, probe(Reason::Warned)),
            (TestCase { role: Role::Check, ..base }, probe(Reason::Check)),
            (TestCase { same_definition: false, ..base }, probe(Reason::Definition)),
            (TestCase { below: Some(THIS_RUN), ..base }, probe(Reason::UpstreamChanged("p/b".into()))),
            (TestCase { secret: Some(false), ..base }, Decision::Keep),
            (TestCase { secret: Some(true), ..base }, probe(Reason::SecretOutputs)),
        ] {
            assert_eq!(test_case.decide(), decision, "{test_case:?}");
        }
    }

    proptest! {
        /// An additional reason against keeping a unit never leads to keeping it.
        #[test]
        fn doubts_never_lead_to_keeping(index in 0..TestCase::all().len(), later in 0..10_u64) {
            let test_case = TestCase::all()[index];
            let doubtful = TestCase { below: Some(test_case.below.unwrap_or_default().max(later)), ..test_case };
            prop_assert!(doubtful.decide() != Decision::Keep || test_case.decide() == Decision::Keep);
        }
    }
}
