//! Where a Vault token comes from. The token is read at its first use, so that static checks work without one.

use std::fmt;
use std::path::{Path, PathBuf};

use super::paths::home;
use crate::document::read_text;
use crate::secret::{Secret, environment};

/// The environment variable that the `vault` command reads first.
const DEFAULT_VARIABLE: &str = "VAULT_TOKEN";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// As the `vault` command does: `$VAULT_TOKEN`, then `~/.vault-token`.
    #[default]
    Standard,
    /// `token_file`: a file that contains only the token.
    File(PathBuf),
    /// `token_env`: an environment variable of `rollout`.
    Env(String),
}

impl Token {
    /// The environment variable that contains, or may contain, the token.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Standard => Some(DEFAULT_VARIABLE),
            Self::Env(name) => Some(name),
            Self::File(_) => None,
        }
    }

    /// Reads the token. Not cached, since another program may renew the token.
    ///
    /// # Errors
    /// Why there is no token, as part of a sentence.
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

/// Maximum size of a token file, in bytes.
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
    fn a_token_is_read_at_each_use_without_its_line_break() {
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
