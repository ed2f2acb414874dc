//! The answer of `probe.sh`.

/// The contents of the folder and of the remote repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RepositoryState<'a> {
    /// The kind of entry that occupies the folder when it holds no repository.
    pub taken: Option<&'a str>,
    /// The commit that is checked out; empty in a repository without one, `None` where there is no repository.
    pub head: Option<&'a str>,
    pub origin: &'a str,
    /// The commit that the parameter `version` stands for when it is an object's hash; empty when the repository lacks it.
    pub version_commit: &'a str,
    /// Whether tracked files have local changes.
    pub changed: bool,
    /// References of the remote repository and their commits.
    remote: Vec<(&'a str, &'a str)>,
}

impl<'a> RepositoryState<'a> {
    /// Parses the output of `probe.sh`; `None` when a line is not understood.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut state = Self::default();
        let mut lines = text.lines();
        for line in lines.by_ref().take_while(|line| *line != "remote") {
            match line.split_once(' ')? {
                ("head", commit) => state.head = Some(commit),
                ("origin", url) => state.origin = url,
                ("means", commit) => state.version_commit = commit,
                ("changed", _) => state.changed = true,
                ("taken", by) => state.taken = Some(by),
                _ => return None,
            }
        }
        let commit = |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for line in lines {
            let (hash, name) = line.split_once('\t')?;
            state.remote.push(commit(hash).then_some((name, hash))?);
        }
        Some(state)
    }

    pub fn commit_of(&self, reference: &str) -> Option<&'a str> {
        self.remote.iter().find(|(name, _)| *name == reference).map(|(_, commit)| *commit)
    }
}
