//! What a host says of an account.

use super::super::scripts::unexpected_answer;
use crate::event::Problem;

/// The answer of `look.sh`.
pub enum Seen {
    /// There is no such user; `namesake`: but a group of that name.
    Nobody {
        /// Whether there is.
        namesake: bool,
    },
    /// There is.
    Somebody(Account),
}

/// A user that is there.
#[derive(Debug, Default)]
pub struct Account {
    /// Number.
    pub uid: u32,
    /// Primary group.
    pub group: String,
    /// Its number.
    pub gid: u32,
    /// All groups, as far as they were asked for.
    pub groups: Vec<Member>,
    /// Groups that were asked about, and their numbers.
    pub known: Vec<(String, u32)>,
    /// Full name or purpose.
    pub comment: String,
    /// Home.
    pub home: String,
    /// Whether that is there.
    pub has_home: bool,
    /// Login shell.
    pub shell: String,
    /// Whether the password is the wanted one; `None`: that cannot be seen, or was not asked.
    pub has_password: Option<bool>,
}

/// A group that a user is in.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Number.
    pub gid: u32,
    /// Name; the number where there is none.
    pub name: String,
    /// Whether /etc/group has it, and not a directory service, where no program of the host changes it.
    pub here: bool,
}

impl Account {
    /// The number of a group that was asked about; `None` when there is none.
    pub fn gid_of(&self, group: &str) -> Option<u32> {
        self.known.iter().find(|(name, _)| name == group).map(|(_, gid)| *gid)
    }
}

impl Seen {
    /// Reads the answer.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let what = "look for the user";
        let mut account = Account::default();
        let (mut found, mut namesake) = (false, false);
        for line in text.lines() {
            let number = |text: &str| text.parse().map_err(|_| unexpected_answer(what, line));
            let (key, value) = line.split_once('\t').unwrap_or((line, ""));
            match (key, value) {
                ("namesake", "") => namesake = true,
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
                    account.groups.push(Member { gid: number(gid)?, name: name.to_owned(), here: from == "here" });
                }
                ("home", state) => account.has_home = state == "there",
                ("password", "hidden") => account.has_password = None,
                ("password", state) => account.has_password = Some(state == "same"),
                _ => return Err(unexpected_answer(what, line)),
            }
        }
        // What else was told belongs to an account.
        let alone =
            account.home.is_empty() && !account.has_home && account.group.is_empty() && account.groups.is_empty();
        match found {
            true => Ok(Self::Somebody(account)),
            false if alone => Ok(Self::Nobody { namesake }),
            false => Err(unexpected_answer(what, text)),
        }
    }
}
