//! This machine, with a folder to work in.

use std::path::{Path, PathBuf};

use super::*;

pub struct Sandbox {
    pub folder: tempfile::TempDir,
    pub backend: Backend,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), backend: Backend::new(&Inventory::default()) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn perform(&self, effect: Effect) -> Result<CommandOutput, ConnectError> {
        self.backend.perform(&Target::default(), &effect, &call()).await
    }

    pub async fn look(&self, probe: &Probe) -> Fact {
        let mut facts = self.backend.probe(&Target::default(), std::slice::from_ref(probe), &call()).await.unwrap();
        facts.pop().unwrap()
    }

    /// Sends a row: what was done, what ended it early, and the answers to `behind` and `otherwise`.
    pub async fn row(
        &self,
        effects: &[Effect],
        behind: &[Probe],
        otherwise: &[Probe],
    ) -> (Vec<CommandOutput>, Option<ConnectError>, [Option<Vec<Fact>>; 2]) {
        let seen = Mutex::new(Vec::new());
        let done = |done| seen.lock().unwrap().push(done);
        let within = vec![Duration::from_secs(20); effects.len()];
        let (behind, otherwise) = (behind.to_vec(), otherwise.to_vec());
        let row = Pipeline {
            effects: effects.to_vec(),
            timeouts: &within,
            on_success: behind,
            on_failure: otherwise,
            on_result: &done,
        };
        let (error, facts) = self.backend.perform_pipeline(&Target::default(), row, &call()).await;
        (seen.into_inner().unwrap(), error, facts)
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn file(path: &Path, content: impl Into<Content>) -> WriteFile {
    WriteFile {
        path: text(path),
        content: content.into(),
        attributes: Attributes::default(),
        backup: false,
        validate: None,
    }
}
