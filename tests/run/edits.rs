//! Steps in parallel phases that edit the same file.

use std::fs;

use crate::project::Project;

/// A phase without dependencies, with a step that waits between reading the file and writing it.
fn phase(name: &str, action: &str, more: &str) -> String {
    format!(
        "[phase.{name}]\nneeds = []\n[[phase.{name}.step]]\nid = \"{name}\"\nhosts = \"localhost\"\naction = \"{action}\"\n\
         path = \"DIR/file\"\nvalidate = \"sleep 0.3 && test -f %s\"\n{more}\n"
    )
}

#[test]
fn steps_beside_each_other_keep_what_the_other_one_writes_into_a_file() {
    let plan = phase("one", "node.line", "line = \"one\"")
        + &phase("two", "node.line", "line = \"two\"")
        + &phase("three", "node.block", "marker = \"# {mark}\"\nblock = \"three\"");
    let project = Project::new(&plan);
    fs::write(project.path("file"), "zero\n").unwrap();
    let (code, outcomes) = project.run();
    assert_eq!((code, outcomes.values().all(|outcome| *outcome == "changed")), (0, true), "{outcomes:?}");
    let text = fs::read_to_string(project.path("file")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["# BEGIN", "# END", "one", "three", "two", "zero"]);
    assert!(project.run().1.values().all(|outcome| *outcome == "same"));
}
