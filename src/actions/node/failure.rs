//! Error messages from the output of commands that failed.

use std::fmt::Display;

use crate::connect::host::{CommandOutput, Output};
use crate::event::Problem;

/// Lines of output that an error message shows.
const MAX_OUTPUT_LINES: usize = 20;

/// Parts of messages by which programs say that they need other rights.
const DENIED: [&str; 5] =
    ["Permission denied", "permission denied", "Operation not permitted", "are you root", "must be root"];

/// The error of a command that failed, with the end of its output; `what` completes "cannot …".
pub fn failed(what: impl Display, done: &CommandOutput) -> Problem {
    let output = last_output(done);
    let problem = if output.is_empty() {
        Problem::new(format!("cannot {what}: {}, and nothing was printed", exit_status(done.exit)))
    } else {
        Problem::new(format!("cannot {what}:\n{output}"))
    };
    if DENIED.iter().any(|text| output.contains(text)) {
        problem.hint("set `become = true` on the step, unless the host itself forbids it (a container)")
    } else if done.exit == 127 {
        problem.hint("is the program installed there?")
    } else {
        problem
    }
}

/// The last lines of what the command printed.
pub fn last_output(done: &CommandOutput) -> String {
    error_output(done).last_lines(MAX_OUTPUT_LINES)
}

/// The exit status and the last line of output, in one line.
pub fn status_line(done: &CommandOutput) -> String {
    format!("{} {}", exit_status(done.exit), error_output(done).last_lines(1)).trim().to_owned()
}

/// For example "exit status 1" or "exit status 137 (signal 9)".
pub fn exit_status(exit: i32) -> String {
    if exit > 128 { format!("exit status {exit} (signal {})", exit - 128) } else { format!("exit status {exit}") }
}

/// Standard error, or standard output when nothing was written there.
fn error_output(done: &CommandOutput) -> &Output {
    if done.stderr.length > 0 { &done.stderr } else { &done.stdout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_command_is_told_to_become_another_user() {
        let denied = failed("write", &CommandOutput::new(1, "", "x: Permission denied"));
        assert_eq!(denied.message, "cannot write:\nx: Permission denied");
        assert!(denied.hint.unwrap().contains("become"));
        let silent = failed("write", &CommandOutput::new(137, "", ""));
        assert_eq!(silent.message, "cannot write: exit status 137 (signal 9), and nothing was printed");
    }

    #[test]
    fn a_summary_is_one_line() {
        assert_eq!(status_line(&CommandOutput::new(1, "", "a\nb\n")), "exit status 1 b");
        assert_eq!(status_line(&CommandOutput::new(1, "", "")), "exit status 1");
    }
}
