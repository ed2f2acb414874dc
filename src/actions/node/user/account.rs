//! The answer of `probe.sh`: a user's account and groups.

use super::super::probes::unexpected_answer;
use crate::event::Problem;

pub enum Lookup {
    /// There is no such user.
    Missing {
        /// Whether there is a group of that name.
        group_exists: bool,
    },
    Found(Account),
}

/// An existing user.
#[derive(Debug, Default)]
pub struct Account {
    pub uid: u32,
    /// Name of the primary group.
    pub group: String,
    /// Number of the primary group.
    pub gid: u32,
    /// All groups of the user; empty when the probe did not ask for them.
    pub groups: Vec<Membership>,
    /// Groups that the probe asked about, with their numbers.
    pub known: Vec<(String, u32)>,
    /// Full name or purpose.
    pub comment: String,
    pub home: String,
    /// Whether the home directory exists.
    pub has_home: bool,
    pub shell: String,
    /// Whether the password hash is the wanted one; `None` when the step cannot read it, or did not ask.
    pub has_password: Option<bool>,
}

/// A group that a user is in.
#[derive(Debug, PartialEq, Eq)]
pub struct Membership {
    pub gid: u32,
    /// Name of the group; its number when it has no name.
    pub name: String,
    /// Whether the group is in /etc/group, not in a directory service, which no program of the host can change.
    pub is_local: bool,
}

impl Account {
    /// The number of a group that the probe asked about; `None` when the group does not exist.
    pub fn gid_of(&self, group: &str) -> Option<u32> {
        self.known.iter().find(|(name, _)| name == group).map(|(_, gid)| *gid)
    }
}

impl Lookup {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let what = "look up the user";
        let mut account = Account::default();
        let (mut found, mut group_exists) = (false, false);
        for line in text.lines() {
            let number = |text: &str| text.parse().map_err(|_| unexpected_answer(what, line));
            let (key, value) = line.split_once('\t').unwrap_or((line, ""));
            match (key, value) {
                ("namesake", "") => group_exists = true,
                ("known", group) => {
                    let (name, gid) = group.split_once('\t').ok_or_else(|| unexpected_answer(what, line))?;
                    account.known.push((name.to_owned(), number(gid)?));
                }
                ("entry", entry) => {
                    let [_, _, uid, gid, comment, home, shell] = entry.split(':').collect::<Vec<_>>()[..] else {
                        return Err(unexpected_answer(what, line));
                    };
                    (account.uid, account.gid) = (number(uid)?, number(gid)?);
                    account.comment = comment.to_owned();
                    account.home = home.to_owned();
                    account.shell = shell.to_owned();
                    found = true;
                }
                ("group", name) => account.group = name.to_owned(),
                ("member", group) => {
                    let [gid, name, from] = group.split('\t').collect::<Vec<_>>()[..] else {
                        return Err(unexpected_answer(what, line));
                    };
                    account.groups.push(Membership {
                        gid: number(gid)?,
                        name: name.to_owned(),
                        is_local: from == "here",
                    });
                }
                ("home", state) => account.has_home = state == "there",
                ("password", "hidden") => account.has_password = None,
                ("password", state) => account.has_password = Some(state == "same"),
                _ => return Err(unexpected_answer(what, line)),
            }
        }
        // All other lines need a line with the account's entry.
        let alone =
            account.home.is_empty() && !account.has_home && account.group.is_empty() && account.groups.is_empty();
        match found {
            true => Ok(Self::Found(account)),
            false if alone => Ok(Self::Missing { group_exists }),
            false => Err(unexpected_answer(what, text)),
        }
    }
}
