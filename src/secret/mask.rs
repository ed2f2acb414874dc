//! Constants of masking.

/// The text shown instead of a secret.
pub const MASK: &str = "‹secret›";

/// Values with fewer bytes are not masked: masking every "a" would make output unreadable.
pub const MIN_MASKED_BYTES: usize = 6;
