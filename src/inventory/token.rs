//! Where a Vault token comes from. It is read when it is first needed, so that static checks need none.

use std::fmt;
use std::path::{Path, PathBuf};

use super::paths::home;
use crate::document::read_text;
use crate::secret::{Secret, environment};

/// Where Vault's own command looks first.
const DEFAULT_VARIABLE: &str = "VAULT_TOKEN";

/// Where a token comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// Where Vault's own command looks: `$VAULT_TOKEN`, then `~/.vault-token`.
    #[default]
    Standard,
    /// `token_file`: a file that has nothing else in it.
    File(PathBuf),
    /// `token_env`: an environment variable of ours.
    Env(String),
}

impl Token {
    /// The environment variable that it is in, or may be.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Standard => Some(DEFAULT_VARIABLE),
            Self::Env(name) => Some(name),
            Self::File(_) => None,
        }
    }

    /// Reads it; anew each time, since others may renew it.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    pub fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::File(path) => from_file(path)?,
            Self::Env(name) => from_env(name)?,
            Self::Standard => match from_env(DEFAULT_VARIABLE) {
                Ok(text) => text,
                Err(why) => {
                    let home = home().ok_or_else(|| why.clone())?;
                    from_file(&home.join(".vault-token")).map_err(|other| format!("{why}, and {other}"))?
                }
            },
        };
        Ok(Secret::new(text))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("$VAULT_TOKEN or ~/.vault-token"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "${name}"),
        }
    }
}

/// The longest file with a token, bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

fn from_file(path: &Path) -> Result<String, String> {
    let text = read_text(path, MAX_FILE_BYTES).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let text = text.trim();
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text.to_owned()) }
}

fn from_env(name: &str) -> Result<String, String> {
    match environment::var(name) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(format!("${name} is empty")),
        Err(_) => Err(format!("${name} is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_its_line_break_each_time_anew() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::File(dir.path().join("token"));
        assert!(token.read().is_err_and(|why| why.contains("cannot read")));
        std::fs::write(dir.path().join("token"), "s.first\n").unwrap();
        assert_eq!(token.read().map(|t| t.expose().to_owned()), Ok("s.first".into()));
        std::fs::write(dir.path().join("token"), "\n").unwrap();
        assert!(token.read().is_err_and(|why| why.contains("is empty")));
        assert_eq!(
            Token::Env("ROLLOUT_NO_SUCH_TOKEN".into()).read().err().unwrap(),
            "$ROLLOUT_NO_SUCH_TOKEN is not set"
        );
    }
}
