//! What a node hands to the nodes that need it.

/// Handed along the edges of the graph, from all that a node needs.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// The first unit on the way that did not end well; nothing that needs it may start.
    pub blocked_by: Option<String>,
    /// Whether this run changed something on the way; then nothing further down is kept from an earlier run.
    pub changed: bool,
    /// In a preview, the nearest unit on the way that would change something.
    pub pending: Option<String>,
}

impl Mark {
    /// Adds what another predecessor hands on.
    pub fn merge(&mut self, other: &Self) {
        if self.blocked_by.is_none() {
            self.blocked_by.clone_from(&other.blocked_by);
        }
        self.changed |= other.changed;
        if other.pending.is_some() {
            self.pending.clone_from(&other.pending);
        }
    }
}
