//! Why a subcommand ended early, and how that is shown.

use std::io;

use super::exit::Exit;
use super::terminal::Terminal;
use crate::connect::secrets::UnreadableSecrets;
use crate::event::Problem;
use crate::finding::Findings;
use crate::journal::JournalError;

/// Why a subcommand ended early.
#[derive(Debug)]
pub enum Failure {
    /// The plan or the inventory is wrong.
    Findings(Findings),
    /// Secrets cannot be read.
    Secrets(UnreadableSecrets),
    /// Anything else, and the exit code for it.
    Problem(Problem, Exit),
    /// Output could not be written; a reader that went away is none of our business.
    Output(io::Error),
}

impl Failure {
    /// Bad usage, for example a name that does not exist.
    pub fn usage(problem: Problem) -> Self {
        Self::Problem(problem, Exit::Usage)
    }

    /// Shows it, and says how the program ends.
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
            _ => "`--fresh` starts anew: the world is the state, so only the memory of that run is lost".to_owned(),
        };
        Self::Problem(Problem::new(error.to_string()).hint(hint), Exit::Failed)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
