//! The answer of `probe.sh`: a user's file of keys.

use super::super::probes::unexpected_answer;
use crate::event::Problem;

#[derive(Debug, Default)]
pub struct KeysFile {
    /// Number of the user.
    pub uid: u32,
    /// Number of the user that the step runs as.
    pub own_uid: u32,
    /// Home directory, without links.
    pub home: String,
    /// Path of the file of keys, without links.
    pub place: String,
    /// State of its folder, when it exists.
    pub folder: Option<OwnerAndMode>,
    /// State of the file, when it exists.
    pub file: Option<OwnerAndMode>,
    /// Content of the file.
    pub content: Option<String>,
}

#[derive(Debug)]
pub struct OwnerAndMode {
    /// Number of the owner.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}

impl KeysFile {
    pub fn parse(text: &str, user: &str) -> Result<Self, Problem> {
        let what = "look up the keys";
        let mut found = Self::default();
        let (head, content) = match text.split_once("\ncontent\n") {
            Some((head, content)) => (head, Some(content)),
            None => (text, None),
        };
        for line in head.lines() {
            let unexpected = || unexpected_answer(what, line);
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["nobody"] => {
                    return Err(Problem::new(format!("there is no user {user}"))
                        .hint("create the user in a `node.user` step before this one"));
                }
                ["homeless", home] => {
                    return Err(Problem::new(format!("{user} has no home directory: {home} does not exist"))
                        .hint("create it with `node.user` and `create_home = true`, or give a `path`"));
                }
                ["outside", place] => {
                    return Err(Problem::new(format!(
                        "the keys of {user} are outside of the home directory, at {place}"
                    ))
                    .hint("remove the link, or give that `path` if it is right"));
                }
                ["link", place] => {
                    return Err(
                        Problem::new(format!("{place} is a link")).hint("give the `path` that the link points to")
                    );
                }
                ["odd", place] => {
                    return Err(Problem::new(format!("{place} is not a regular file")).hint("remove it first"));
                }
                ["user", uid, own] => {
                    found.uid = uid.parse().map_err(|_| unexpected())?;
                    found.own_uid = own.parse().map_err(|_| unexpected())?;
                }
                ["place", home, place] => (found.home, found.place) = (home.to_owned(), place.to_owned()),
                ["folder", state] => found.folder = Some(OwnerAndMode::parse(state).ok_or_else(unexpected)?),
                ["file", state] => found.file = Some(OwnerAndMode::parse(state).ok_or_else(unexpected)?),
                _ => return Err(unexpected()),
            }
        }
        if found.place.is_empty() {
            return Err(unexpected_answer(what, head));
        }
        found.content = content.map(str::to_owned);
        Ok(found)
    }
}

impl OwnerAndMode {
    fn parse(text: &str) -> Option<Self> {
        let (owner, mode) = text.split_once(' ')?;
        Some(Self { owner: owner.parse().ok()?, mode: u32::from_str_radix(mode, 8).ok()? })
    }
}
