//! What a host says of an account.

use super::super::scripts::odd;
use crate::event::Problem;

/// The answer of `look.sh`.
pub enum Seen {
    /// There is no such user; `namesake`: but a group of that name.
    Nobody { namesake: bool },
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
    /// All groups.
    pub groups: Vec<String>,
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

impl Seen {
    /// Reads the answer.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let what = "look for the user";
        if text.is_empty() || text == "namesake" {
            return Ok(Self::Nobody { namesake: !text.is_empty() });
        }
        let mut account = Account::default();
        let mut found = false;
        for line in text.lines() {
            let (key, value) = line.split_once('\t').ok_or_else(|| odd(what, line))?;
            match (key, value) {
                ("entry", entry) => {
                    let [_, _, uid, _, comment, home, shell] = entry.split(':').collect::<Vec<_>>()[..] else {
                        return Err(odd(what, line));
                    };
                    account.uid = uid.parse().map_err(|_| odd(what, line))?;
                    account.comment = comment.to_owned();
                    account.home = home.to_owned();
                    account.shell = shell.to_owned();
                    found = true;
                }
                ("group", name) => account.group = name.to_owned(),
                ("groups", names) => account.groups = names.split_whitespace().map(str::to_owned).collect(),
                ("home", state) => account.has_home = state == "there",
                ("password", "hidden") => account.has_password = None,
                ("password", state) => account.has_password = Some(state == "same"),
                _ => return Err(odd(what, line)),
            }
        }
        if found { Ok(Self::Somebody(account)) } else { Err(odd(what, text)) }
    }
}
