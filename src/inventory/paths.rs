//! Expands paths in an inventory.

use std::path::{Path, PathBuf};

use crate::document::below;

/// The user's home directory.
pub(super) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|h| !h.as_os_str().is_empty())
}

/// Expands `~` and `$HOME`; relative paths start from `root`.
pub(super) fn expand(text: &str, root: &Path, home: Option<&Path>) -> PathBuf {
    let rest = ["~", "$HOME", "${HOME}"].into_iter().find_map(|prefix| {
        let rest = text.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    });
    match (rest, home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => below(root, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_and_root_are_prepended() {
        let expand = |text| expand(text, Path::new("/project"), Some(Path::new("/home/me")));
        for (text, wanted) in [
            ("~/.kube/config", "/home/me/.kube/config"),
            ("$HOME/x", "/home/me/x"),
            ("${HOME}", "/home/me/"),
            ("ca.pem", "/project/ca.pem"),
            ("/etc/ca.pem", "/etc/ca.pem"),
            ("~other/x", "/project/~other/x"),
        ] {
            assert_eq!(expand(text), Path::new(wanted), "{text}");
        }
    }
}
