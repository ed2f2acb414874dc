//! What a host says of a user's keys.

use super::super::scripts::unexpected_answer;
use crate::event::Problem;

/// The answer of `look.sh`.
#[derive(Debug, Default)]
pub struct Seen {
    /// The user's number.
    pub uid: u32,
    /// That of who asks.
    pub own_uid: u32,
    /// The home, without links.
    pub home: String,
    /// The file of keys, without links.
    pub place: String,
    /// Its folder, when it is there.
    pub folder: Option<State>,
    /// The file, when it is there.
    pub file: Option<State>,
    /// All of it.
    pub content: Option<String>,
}

/// Owner and mode.
#[derive(Debug)]
pub struct State {
    /// Number.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Seen {
    /// Reads the answer.
    pub fn read(text: &str, user: &str) -> Result<Self, Problem> {
        let what = "look for the keys";
        let mut seen = Self::default();
        let (head, content) = match text.split_once("\ncontent\n") {
            Some((head, content)) => (head, Some(content)),
            None => (text, None),
        };
        for line in head.lines() {
            let unexpected = || unexpected_answer(what, line);
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["nobody"] => {
                    return Err(Problem::new(format!("there is no user {user}"))
                        .hint("make it by a `node.user` step before this one"));
                }
                ["homeless", home] => {
                    return Err(Problem::new(format!("{user} has no home: {home} is not there"))
                        .hint("make it by `node.user` with `create_home = true`, or give a `path`"));
                }
                ["outside", place] => {
                    return Err(Problem::new(format!("the keys of {user} lie outside of the home, at {place}"))
                        .hint("remove the link, or give that `path` if it is meant"));
                }
                ["link", place] => {
                    return Err(Problem::new(format!("{place} is a link")).hint("give the `path` that it points to"));
                }
                ["odd", place] => {
                    return Err(Problem::new(format!("{place} is no regular file")).hint("remove it first"));
                }
                ["user", uid, own] => {
                    seen.uid = uid.parse().map_err(|_| unexpected())?;
                    seen.own_uid = own.parse().map_err(|_| unexpected())?;
                }
                ["place", home, place] => (seen.home, seen.place) = (home.to_owned(), place.to_owned()),
                ["folder", state] => seen.folder = Some(State::read(state).ok_or_else(unexpected)?),
                ["file", state] => seen.file = Some(State::read(state).ok_or_else(unexpected)?),
                _ => return Err(unexpected()),
            }
        }
        if seen.place.is_empty() {
            return Err(unexpected_answer(what, head));
        }
        seen.content = content.map(str::to_owned);
        Ok(seen)
    }
}

impl State {
    fn read(text: &str) -> Option<Self> {
        let (owner, mode) = text.split_once(' ')?;
        Some(Self { owner: owner.parse().ok()?, mode: u32::from_str_radix(mode, 8).ok()? })
    }
}
