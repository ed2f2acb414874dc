//! `rollout completions SHELL`: prints a completion script.

use clap_complete::Shell;

use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete for
    shell: Shell,
}

pub fn run(args: &Args, command: &mut clap::Command, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "rollout", &mut script);
    terminal.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
