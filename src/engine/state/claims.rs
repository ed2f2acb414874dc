//! Which unit writes which file on the machine that runs the tool.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::event::{Problem, UnitRef};

/// The files, each with the first unit that writes it.
#[derive(Debug, Default)]
pub struct FileClaims(HashMap<PathBuf, UnitRef>);

impl FileClaims {
    /// Claims a file for a unit.
    ///
    /// # Errors
    /// If the same step writes it for another host or item in this run. Another step on the same host may write it again.
    pub fn claim(&mut self, file: &Path, unit: &UnitRef) -> Result<(), Problem> {
        let first = self.0.entry(file.to_owned()).or_insert_with(|| unit.clone());
        if first.host == unit.host && (first.step != unit.step || first.item == unit.item) {
            return Ok(());
        }
        let hint = "have each write a file of its own: put `{{ host.name }}` or `{{ item }}` into the path";
        Err(Problem::new(format!("{first} writes {} too", file.display())).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_from_one_place() {
        let unit = |step: &str, item: &str, host: &str| UnitRef {
            phase: "p".to_owned(),
            step: step.to_owned(),
            item: Some(item.to_owned()),
            host: Some(host.to_owned()),
        };
        let mut claims = FileClaims::default();
        let mut claim = |file: &str, unit: UnitRef| claims.claim(file.as_ref(), &unit);
        assert!(claim("/a", unit("s", "x", "h")).is_ok());
        assert!(claim("/a", unit("s", "x", "h")).is_ok(), "the same unit again");
        assert!(claim("/a", unit("t", "y", "h")).is_ok(), "another step on the same host");
        assert!(claim("/b", unit("s", "y", "h")).is_ok(), "another file");
        let problem = claim("/a", unit("s", "y", "h")).unwrap_err();
        assert_eq!(problem.message, "p/s[x]@h writes /a too");
        assert!(claim("/a", unit("s", "x", "i")).is_err(), "another host");
    }
}
