//! `rollout completions SHELL`

use clap_complete::Shell;

use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script for a command line.
pub fn run(args: &Args, command: &mut clap::Command, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "rollout", &mut script);
    terminal.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
