//! Paths in Vault.

/// The path of a mount without slashes at its ends: with or without them, it is the same mount.
pub fn path(mount: &str) -> &str {
    mount.trim_matches('/')
}
