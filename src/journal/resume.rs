//! The decision table of a resumed run. Pure.

use super::history::UnitRecord;
use crate::event::{Outputs, RecordedState};
use crate::plan::Role;
use crate::secret::MASK;

/// All that decides about a unit.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What is on record of it.
    pub recorded: Option<&'a UnitRecord>,
    /// Hash of its definition now.
    pub definition: &'a str,
    /// When something that it stands on was touched last, and who that was; [`NOW`] when this run did it.
    pub upstream_change: Option<(u64, &'a str)>,
    /// Who began to undo it since it was done, and did not come to a good end.
    pub undoing: Option<&'a str>,
    /// Whether it can change anything.
    pub role: Role,
    /// Whether it may be started again after it was cut off: its probes tell whether that is needed, or the plan says
    /// that repeating it does no harm.
    pub repeatable: bool,
    /// Whether some step reads its outputs.
    pub outputs_are_read: bool,
}

/// Later than all that is on record.
pub const THIS_RUN: u64 = u64::MAX;

/// What to do with a unit of a resumed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is done: take its outputs from the record.
    Keep,
    /// Probe it, and do what its verdict says; for people, why it is not kept. `None`: nothing is on record.
    Probe(Option<Reason>),
    /// It was cut off, or its undo was; nobody can tell whether it is in effect, and it must not happen twice: a person
    /// decides.
    Stop(Reason),
}

/// Why a unit that is on record is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was started, and its end is not on record.
    CutOff,
    /// It ended badly.
    Failed,
    /// It ended badly, and that was ignored.
    Warned,
    /// It was undone when its phase failed.
    Undone,
    /// Undoing it was begun and not finished.
    HalfUndone(String),
    /// Action, parameters, host or rights are others now.
    Definition,
    /// What it stands on was touched after it was done.
    UpstreamChanged(String),
    /// Checks are always made again: the world may have moved.
    Check,
    /// Its outputs are secret, so they are not on record.
    SecretOutputs,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CutOff => f.write_str("it was cut off"),
            Self::Failed => f.write_str("it had failed"),
            Self::Warned => f.write_str("it had failed, which was ignored"),
            Self::Undone => f.write_str("it was undone"),
            Self::HalfUndone(who) => write!(f, "{who} began to undo it, and did not finish"),
            Self::Definition => f.write_str("its definition changed"),
            Self::UpstreamChanged(who) => write!(f, "{who} changed after it"),
            Self::Check => f.write_str("checks are made again"),
            Self::SecretOutputs => f.write_str("its outputs are secret, so they are not on record"),
        }
    }
}

/// The decision table; the first row that fits counts.
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
    if let Some(who) = half_undone.filter(|_| !case.repeatable) {
        return Decision::Stop(Reason::HalfUndone(who.to_owned()));
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
            Some((when, who)) if Some(when) > recorded.done => probe(Reason::UpstreamChanged(who.to_owned())),
            _ if case.outputs_are_read && holds_mask(&recorded.outputs) => probe(Reason::SecretOutputs),
            _ => Decision::Keep,
        },
    }
}

/// Outputs that hold a secret are not on record; the step must be looked at again to have them.
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

    /// A case in the words of the table.
    #[derive(Debug, Clone, Copy)]
    struct Words {
        standing: Option<RecordedState>,
        same_definition: bool,
        /// Below: untouched, touched before it was done, touched after, touched by this run.
        below: Option<u64>,
        role: Role,
        undoing: bool,
        repeatable: bool,
        /// Its outputs: plain, secret, secret and read.
        secret: Option<bool>,
    }

    const DONE: u64 = 5;

    impl Words {
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

    /// The promise, said the other way round: what must hold for each answer to be right.
    fn right(words: &Words, decision: &Decision) -> bool {
        let below_is_older = words.below.is_none_or(|when| when < DONE);
        let may_keep = words.standing == Some(RecordedState::Succeeded)
            && words.same_definition
            && below_is_older
            && words.role == Role::Change
            && words.secret != Some(true);
        let in_doubt = match words.standing {
            Some(RecordedState::Unknown) => true,
            Some(RecordedState::Succeeded | RecordedState::Undone) => words.undoing,
            Some(RecordedState::Failed | RecordedState::Warned) | None => false,
        };
        let must_stop = in_doubt && !words.repeatable;
        match decision {
            Decision::Keep => may_keep && !must_stop,
            Decision::Stop(_) => must_stop,
            Decision::Probe(why) => !may_keep && !must_stop && why.is_some() == words.standing.is_some(),
        }
    }

    #[test]
    fn the_table_agrees_with_the_promise_everywhere() {
        let all = Words::all();
        assert_eq!(all.len(), 6 * 2 * 4 * 2 * 4 * 3);
        for words in all {
            let decision = words.decide();
            assert!(right(&words, &decision), "{words:?} → {decision:?}");
        }
    }

    #[test]
    fn each_row_by_hand() {
        let base = Words {
            standing: Some(RecordedState::Succeeded),
            same_definition: true,
            below: None,
            role: Role::Change,
            undoing: false,
            repeatable: true,
            secret: None,
        };
        let probe = |why| Decision::Probe(Some(why));
        for (words, decision) in [
            (base, Decision::Keep),
            (Words { below: Some(DONE - 1), ..base }, Decision::Keep),
            (Words { standing: None, ..base }, Decision::Probe(None)),
            (Words { standing: Some(RecordedState::Unknown), ..base }, probe(Reason::CutOff)),
            (
                Words { standing: Some(RecordedState::Unknown), repeatable: false, ..base },
                Decision::Stop(Reason::CutOff),
            ),
            (Words { undoing: true, repeatable: false, ..base }, Decision::Stop(Reason::HalfUndone("p/undo".into()))),
            (Words { undoing: true, below: Some(THIS_RUN), ..base }, probe(Reason::UpstreamChanged("p/b".into()))),
            (Words { standing: Some(RecordedState::Failed), repeatable: false, ..base }, probe(Reason::Failed)),
            (Words { standing: Some(RecordedState::Undone), ..base }, probe(Reason::Undone)),
            (Words { standing: Some(RecordedState::Warned), repeatable: false, ..base }, probe(Reason::Warned)),
            (Words { role: Role::Check, ..base }, probe(Reason::Check)),
            (Words { same_definition: false, ..base }, probe(Reason::Definition)),
            (Words { below: Some(THIS_RUN), ..base }, probe(Reason::UpstreamChanged("p/b".into()))),
            (Words { secret: Some(false), ..base }, Decision::Keep),
            (Words { secret: Some(true), ..base }, probe(Reason::SecretOutputs)),
        ] {
            assert_eq!(words.decide(), decision, "{words:?}");
        }
    }

    proptest! {
        /// Knowing more that speaks against keeping a unit never makes it kept.
        #[test]
        fn doubts_never_lead_to_keeping(index in 0..Words::all().len(), later in 0..10_u64) {
            let words = Words::all()[index];
            let doubtful = Words { below: Some(words.below.unwrap_or_default().max(later)), ..words };
            prop_assert!(doubtful.decide() != Decision::Keep || words.decide() == Decision::Keep);
        }
    }
}
