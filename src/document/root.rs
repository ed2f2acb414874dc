//! Finds the root folder of a file's project.

use std::path::{Path, PathBuf};

/// The folder that relative paths start from: the folder of the file, or its parent if the file is in `folder`.
pub fn project_root(file: &Path, folder: &str) -> PathBuf {
    let own = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let full = std::path::absolute(own).unwrap_or_else(|_| own.to_owned());
    if full.file_name().is_none_or(|name| name != folder) {
        return own.to_owned();
    }
    match own.parent() {
        Some(parent) if own.file_name().is_some() && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if own.file_name().is_some() => parent.to_owned(),
        _ => own.join(".."),
    }
}

/// Joins a path to a root for display: nothing is put in front if the root is the current folder.
pub fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    if root == Path::new(".") { path.as_ref().to_owned() } else { root.join(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_folder_around_plans() {
        for (file, wanted) in [
            ("a.toml", "."),
            ("plans/a.toml", "."),
            ("x/plans/a.toml", "x"),
            ("/p/plans/a.toml", "/p"),
            ("/p/x/a.toml", "/p/x"),
            ("../plans/a.toml", ".."),
        ] {
            assert_eq!(project_root(Path::new(file), "plans"), Path::new(wanted), "{file}");
        }
    }
}
