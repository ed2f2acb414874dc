//! Finds the inventory file for a plan.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::document::{Project, below};
use crate::finding::{Finding, Findings, listed};

/// The inventory file of the project at `root`: `inventory/default.toml`, else the only TOML file in `inventory/`.
/// `None` if there is none.
///
/// # Errors
/// When there are several files and none is `default.toml`.
pub fn find(root: &Path) -> Result<Option<PathBuf>, Findings> {
    let folder = below(root, "inventory");
    let default = folder.join("default.toml");
    if default.is_file() {
        return inside(root, default).map(Some);
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    if files.len() > 1 {
        let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        let message = format!("{} has several inventories and none is default.toml", folder.display());
        let help = format!("choose one with -i: {}", listed(names.iter().map(String::as_str)));
        return Err(Finding::error("ambiguous-inventory", message).help(help).into());
    }
    files.pop().map(|file| inside(root, file)).transpose()
}

/// Refuses a file outside of the project: the user has not named it.
fn inside(root: &Path, file: PathBuf) -> Result<PathBuf, Findings> {
    let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
    match Project::from(root).folder(&path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let message = format!("the inventory {} is a link that leads out of the project", file.display());
            let help = format!("name it, if it is meant: -i {}", file.display());
            Err(Finding::error("outside", message).help(help).into())
        }
        _ => Ok(file),
    }
}

/// The folder that relative paths start from: the folder of the file, or its parent if the file is in `inventory/`.
pub(super) fn root(file: &Path) -> PathBuf {
    crate::document::project_root(file, "inventory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_toml_or_the_only_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join("inventory").join(name);
        assert_eq!(find(dir.path()), Ok(None));
        std::fs::create_dir(dir.path().join("inventory")).unwrap();
        std::fs::write(file("lab.toml"), "").unwrap();
        std::fs::write(file("notes.md"), "").unwrap();
        assert_eq!(find(dir.path()), Ok(Some(file("lab.toml"))));
        std::fs::write(file("pis.toml"), "").unwrap();
        let findings = find(dir.path()).unwrap_err();
        assert!(findings.iter().next().unwrap().help.as_ref().unwrap().contains("lab.toml"));
        std::fs::write(file("default.toml"), "").unwrap();
        assert_eq!(find(dir.path()), Ok(Some(file("default.toml"))));
        std::fs::remove_file(file("default.toml")).unwrap();
        std::os::unix::fs::symlink("lab.toml", file("default.toml")).unwrap();
        assert_eq!(find(dir.path()), Ok(Some(file("default.toml"))));
        std::fs::remove_file(file("default.toml")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", file("default.toml")).unwrap();
        assert!(find(dir.path()).unwrap_err().iter().all(|f| f.message.contains("leads out of the project")));
    }
}
