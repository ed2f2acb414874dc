//! Parses arguments and maps the error to an exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollout::cli::main()
}
