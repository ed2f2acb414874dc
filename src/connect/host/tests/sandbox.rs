//! This machine as a host, with a temporary folder.

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

    pub async fn probe(&self, probe: &Probe) -> Fact {
        let mut facts = self.backend.probe(&Target::default(), std::slice::from_ref(probe), &call()).await.unwrap();
        facts.pop().unwrap()
    }

    /// Sends a pipeline; returns the results, why it ended early, and the answers to `on_success` and `on_failure`.
    pub async fn pipeline(
        &self,
        effects: &[Effect],
        on_success: &[Probe],
        on_failure: &[Probe],
    ) -> (Vec<CommandOutput>, Option<ConnectError>, [Option<Vec<Fact>>; 2]) {
        let seen = Mutex::new(Vec::new());
        let done = |done| seen.lock().unwrap().push(done);
        let timeouts = vec![Duration::from_secs(20); effects.len()];
        let (on_success, on_failure) = (on_success.to_vec(), on_failure.to_vec());
        let pipeline =
            Pipeline { effects: effects.to_vec(), timeouts: &timeouts, on_success, on_failure, on_result: &done };
        let (error, facts) = self.backend.perform_pipeline(&Target::default(), pipeline, &call()).await;
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
