//! What an effect means for the answers to probes, and for a connection that breaks while the effect runs.

use super::{Effect, Fact, Probe, host, kube};

impl Effect {
    /// Whether the effect may change the answer to `probe`. Errs on the side of "may": only effects on hosts and their probes are
    /// known well enough to say no.
    pub fn may_change(&self, probe: &Probe) -> bool {
        match (self, probe) {
            (Self::Host(effect), Probe::Host(probe)) => effect.may_change(probe),
            (Self::Expect(_), _) => false,
            (Self::Fetch(fetch), Probe::Host(probe) | Probe::Controller(probe)) => fetch.may_change(probe),
            _ => true,
        }
    }

    /// The answer to `probe` once the effect has worked, where the answer before it was `seen`; `None` if only the host can tell.
    pub fn result(&self, probe: &Probe, seen: &Fact) -> Option<Fact> {
        match (self, probe, seen) {
            (Self::Host(effect), Probe::Host(probe), Fact::Host(seen)) => {
                effect.predict_answer(probe, seen).map(Fact::Host)
            }
            _ => None,
        }
    }

    /// Whether the effect may go on by itself after its connection broke: a command on a host or in a pod, or helm's program.
    pub fn may_outlive_connection(&self) -> bool {
        match self {
            Self::Host(host::Effect::Guard(host::GuardCommand::Within { effect, .. })) => {
                matches!(**effect, host::Effect::Run(_))
            }
            Self::Host(effect) => matches!(effect, host::Effect::Run(_)),
            Self::Kube(effect) => matches!(effect, kube::Effect::Exec(_)),
            Self::Helm(_) => true,
            Self::Fetch(_) | Self::Vault(_) | Self::Expect(_) => false,
        }
    }

    /// About how many bytes the effect takes in a request.
    pub fn payload_size(&self) -> usize {
        match self {
            Self::Host(host::Effect::WriteFile(file)) => file.content.as_slice().len(),
            Self::Host(host::Effect::Run(run)) => run.stdin.as_slice().len(),
            _ => 0,
        }
    }
}

/// Whether a host can itself compare its answer to `probe` with `fact`.
pub fn is_comparable(probe: &Probe, fact: &Fact) -> bool {
    matches!((probe, fact), (Probe::Host(probe), Fact::Host(fact)) if host::is_comparable(probe, fact))
}
