//! Why a subcommand ended early: shown to the user, and mapped to an exit code.

use std::io;

use super::exit::Exit;
use super::terminal::Terminal;
use crate::connect::secrets::UnreadableSecrets;
use crate::event::Problem;
use crate::finding::Findings;
use crate::journal::JournalError;

#[derive(Debug)]
pub enum Failure {
    /// The plan or the inventory is wrong.
    Findings(Findings),
    Secrets(UnreadableSecrets),
    /// Any other problem, with its exit code.
    Problem(Problem, Exit),
    /// Output could not be written. A closed pipe is no failure.
    Output(io::Error),
}

impl Failure {
    /// Bad usage, such as a name that does not exist.
    pub fn usage(problem: Problem) -> Self {
        Self::Problem(problem, Exit::Usage)
    }

    /// Shows the failure and returns the exit code.
    pub fn report(self, terminal: &Terminal) -> Exit {
        match self {
            Self::Findings(findings) => {
                terminal.findings(&findings);
                Exit::Usage
            }
            Self::Secrets(UnreadableSecrets { findings, unreachable }) => {
                terminal.findings(&findings);
                if unreachable { Exit::Unreachable } else { Exit::Usage }
            }
            Self::Problem(problem, exit) => {
                terminal.problem(&problem);
                exit
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Output(error) => {
                terminal.problem(&Problem::new(format!("failed to write output: {error}")));
                Exit::Failed
            }
        }
    }
}

impl From<Findings> for Failure {
    fn from(findings: Findings) -> Self {
        Self::Findings(findings)
    }
}

impl From<UnreadableSecrets> for Failure {
    fn from(unread: UnreadableSecrets) -> Self {
        Self::Secrets(unread)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let hint = match &error {
            JournalError::Open { hint, .. } => hint.clone(),
            JournalError::Io { .. } => "ROLLOUT_STATE_DIR names another folder for journals".to_owned(),
            _ => "`--fresh` starts anew; only the record of that run is lost, since every run asks the hosts for their state".to_owned(),
        };
        Self::Problem(Problem::new(error.to_string()).hint(hint), Exit::Failed)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
