//! What a node hands to the nodes that need it.

use std::collections::BTreeMap;

use crate::event::UnitRef;
use crate::graph::Unit;

/// Handed along the edges of the graph, from all that a node needs.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// The first unit on the way that did not end well; nothing that needs it may start.
    pub blocked_by: Option<String>,
    /// Hosts that failed on the way and that the others go on without, with the unit that failed; nothing that needs it may
    /// start there.
    pub without: BTreeMap<String, String>,
    /// When something on the way was touched last, on the journal's clock, and by whom: what was done before then is not
    /// kept from an earlier run.
    pub touched: Option<(u64, String)>,
    /// The same of the items before it in its loop, which counts for what comes after the loop: the items of one do not
    /// stand on each other.
    in_loop: Option<(u64, String)>,
    /// In a preview, the nearest unit on the way that would change something.
    pub pending: Option<String>,
    /// The first unit on the way that should have undone something and failed; nothing more is undone behind it.
    pub stuck: Option<String>,
}

impl Mark {
    /// Notes that a unit touched something; the latest one counts.
    pub fn touch(&mut self, when: u64, who: &(impl ToString + ?Sized)) {
        later(&mut self.touched, when, who);
    }

    /// The same, of the unit whose mark it is.
    pub fn touch_by(&mut self, unit: &Unit, when: u64, who: &UnitRef) {
        match unit.item {
            Some(_) => self.touch_in_loop(when, who),
            None => self.touch(when, who),
        }
    }

    /// Notes that an item of a loop did.
    pub fn touch_in_loop(&mut self, when: u64, who: &(impl ToString + ?Sized)) {
        later(&mut self.in_loop, when, who);
    }

    /// What it is to those that come after the loop.
    #[must_use]
    pub fn out_of_loop(mut self) -> Self {
        if let Some((when, who)) = self.in_loop.take() {
            self.touch(when, &who);
        }
        self
    }

    /// Why a unit on a host may not start.
    pub fn blocks(&self, host: Option<&str>) -> Option<&String> {
        self.blocked_by.as_ref().or_else(|| self.without.get(host?))
    }

    /// What passes a gate: only whether to go on.
    pub fn through_a_gate(self) -> Self {
        Self { blocked_by: self.blocked_by, ..Self::default() }
    }

    /// Adds what another predecessor hands on.
    pub fn merge(&mut self, other: &Self) {
        if self.blocked_by.is_none() {
            self.blocked_by.clone_from(&other.blocked_by);
        }
        for (host, who) in &other.without {
            self.without.entry(host.clone()).or_insert_with(|| who.clone());
        }
        if let Some((when, who)) = &other.touched {
            self.touch(*when, who);
        }
        if let Some((when, who)) = &other.in_loop {
            self.touch_in_loop(*when, who);
        }
        if self.stuck.is_none() {
            self.stuck.clone_from(&other.stuck);
        }
        if other.pending.is_some() {
            self.pending.clone_from(&other.pending);
        }
    }
}

fn later(latest: &mut Option<(u64, String)>, when: u64, who: &(impl ToString + ?Sized)) {
    if latest.as_ref().is_none_or(|(before, _)| *before < when) {
        *latest = Some((when, who.to_string()));
    }
}
