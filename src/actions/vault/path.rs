//! Paths in Vault.

/// The path of a mount, as it is put in front of others: with or without slashes at its ends, it is the same mount.
pub fn path(mount: &str) -> &str {
    mount.trim_matches('/')
}
