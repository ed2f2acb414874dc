//! What is masked, and by what.

/// What stands in the place of a secret.
pub const MASK: &str = "‹secret›";

/// Values shorter than this many bytes are not searched for: masking every "a" would make a run unreadable.
pub const MIN_MASKED_BYTES: usize = 6;
