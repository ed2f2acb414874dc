//! Entry point; all work is in [`rollout::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rollout::cli::main()
}
