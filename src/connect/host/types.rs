//! What can be asked of a host and done to it, as data.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::output::Output;
use super::payload::{Bytes, Content};

/// Files up to this many bytes are read whole; of larger ones only size and hash are told.
pub const CONTENT_LIMIT: usize = 256 * 1024;

/// A question about a host; asking changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// What lies at a path; symbolic links are not followed.
    File {
        /// Absolute path.
        path: String,
        /// How much of it is wanted.
        read: Read,
    },
    /// What a command says that only looks.
    Run(Run),
    /// A kernel parameter's live value, by its dotted name.
    Sysctl {
        /// Such as `net.ipv4.ip_forward`.
        key: String,
    },
    /// Whether the kernel has a module.
    Module {
        /// Such as `br_netfilter`.
        name: String,
    },
    /// What kind of system it is.
    System,
    /// How the guard of a change stands that the user has on the host.
    Guard,
}

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Kind, mode, owner and size only.
    Stat,
    /// The SHA-256 of a regular file too.
    Hash,
    /// Its content too, up to [`CONTENT_LIMIT`].
    Content,
    /// The same, but only its hash when that is this one: the content is known then.
    ContentUnless([u8; 32]),
}

impl Read {
    /// For one who only wants the content if it is another one than this.
    pub fn unless(content: &str) -> Self {
        Self::ContentUnless(Sha256::digest(content.as_bytes()).into())
    }

    /// Whether the content may be read.
    pub fn wants_content(self) -> bool {
        matches!(self, Self::Content | Self::ContentUnless(_))
    }
}

/// The answer to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// What lies at the path; `None` when nothing does.
    File(Option<File>),
    /// How the command ended and what it printed.
    Run(CommandOutput),
    /// The value, runs of white space made one space; `None` when the kernel has no such parameter.
    Sysctl(Option<String>),
    /// The module's state.
    Module(Module),
    /// The system.
    System(Box<super::System>),
    /// The guard; `None` when there is none.
    Guard(Option<GuardState>),
}

/// Something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: `0o644`.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name; `UNKNOWN` when the number has none.
    pub owner: String,
    /// Group's name; `UNKNOWN` when the number has none.
    pub group: String,
    /// Further names of the owner's number in /etc/passwd.
    pub owner_aliases: Vec<String>,
    /// Further names of the group's number in /etc/group.
    pub group_aliases: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of a regular file, lower-case hex, when asked for.
    pub sha256: Option<String>,
    /// Content of a regular file, when asked for and not larger than [`CONTENT_LIMIT`].
    pub content: Option<Vec<u8>>,
}

/// What kind of thing lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, and where it points.
    Link(String),
    /// A device, a socket, a pipe.
    Other,
}

impl FileKind {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "directory",
            Self::Link(_) => "link",
            Self::Other => "special file",
        }
    }
}

/// Whether the kernel has a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Loaded.
    Loaded,
    /// Part of the kernel itself.
    BuiltIn,
    /// Not loaded, but there to be loaded.
    Available,
    /// Not there.
    Absent,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: Command,
    /// Folder to run it in; default the login's.
    pub cwd: Option<String>,
    /// What it reads on standard input; default nothing. Never shown by `Debug`.
    pub stdin: Bytes,
    /// Whether what it prints is of no interest, only how it ends.
    pub quiet: bool,
}

impl Run {
    /// A line for `sh`, nothing on standard input.
    pub fn shell(line: impl Into<String>) -> Self {
        Self { command: Command::Shell(line.into()), cwd: None, stdin: Bytes::default(), quiet: false }
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A script for `sh`.
    Shell(String),
    /// A program and its arguments, taken as they are.
    Argv(Vec<String>),
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line.trim_end()),
            Self::Argv(argv) => f.write_str(&argv.iter().map(|a| super::quote::word(a)).collect::<Vec<_>>().join(" ")),
        }
    }
}

/// A change to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Runs a command; its exit status is for the action to judge.
    Run(Run),
    /// Puts a file at a path, atomically: all of it or nothing.
    WriteFile(WriteFile),
    /// Makes a directory with its parents, where missing, and sets the attributes that are given.
    Directory {
        /// Absolute path.
        path: String,
        /// Attributes of the directory itself.
        attributes: Attributes,
    },
    /// Sets attributes of what is there.
    Attributes {
        /// Absolute path.
        path: String,
        /// Those to set.
        attributes: Attributes,
    },
    /// Makes a symbolic link, atomically; replaces a file or link, never a directory.
    Link {
        /// Absolute path of the link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// Removes what is at the path, directories with all that is in them.
    Remove {
        /// Absolute path.
        path: String,
    },
    /// Loads a kernel module.
    LoadModule {
        /// Its name.
        name: String,
    },
    /// Sets live kernel parameters.
    SetSysctl {
        /// Dotted name and value.
        settings: Vec<(String, String)>,
    },
    /// Guards a change that may cut the connection.
    Guard(GuardCommand),
    /// Changes nothing: in a row, ends it before what follows if it has been at work for long, or an answer is not what it
    /// was. Such answers are [comparable](super::is_comparable).
    Expect(Vec<(Probe, Fact)>),
}

/// What is done with a guard. A host has one for each user; its token tells it from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardCommand {
    /// Sets one up; fails when there is one.
    Arm {
        /// Random, no secret.
        token: String,
        /// How long the host waits before it restores; at least a second.
        time: Duration,
        /// Whose it is, for people.
        unit: String,
        /// A line for `sh` that puts into effect what was put back.
        restore: Option<String>,
    },
    /// Keeps what an effect will alter and carries it out; only while the guard stands.
    Within {
        /// The guard's.
        token: String,
        /// The effect.
        effect: Box<Effect>,
    },
    /// Runs a line for `sh` that goes on by itself should it cut the connection. Its end shows in [`Standing::applied`].
    Apply {
        /// The guard's.
        token: String,
        /// The line.
        command: String,
    },
    /// Takes the guard away with all that is kept: the change stays. Fails when the host has begun to restore.
    Disarm {
        /// The guard's.
        token: String,
    },
    /// Has the host restore now.
    Restore {
        /// The guard's.
        token: String,
    },
    /// Takes away what tells that the host has restored.
    Forget {
        /// The guard's.
        token: String,
    },
}

/// How a guard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardState {
    /// What became of it.
    pub phase: GuardPhase,
    /// Its token.
    pub token: String,
    /// Time before the host restores; zero when it does or did, or when that is not known.
    pub remaining: Duration,
    /// Whether the process that restores is there; a reboot ends it.
    pub alive: bool,
    /// How the command of [`Guard::Apply`] ended; `None` while it has not.
    pub applied: Option<i32>,
    /// Whose it is.
    pub unit: String,
    /// What was done to restore, or the last that the command said.
    pub output: String,
}

/// What became of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardPhase {
    /// It waits.
    Armed,
    /// The host is putting things back.
    Restoring,
    /// All that was kept is back, and in effect.
    Restored,
    /// The host has tried, and something of it did not work.
    RestoredInPart,
}

/// Owner and mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits: `0o644`.
    pub mode: Option<u32>,
    /// Name or number.
    pub owner: Option<String>,
    /// Name or number.
    pub group: Option<String>,
}

/// A file to be put at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    /// Absolute path; its directory must be there.
    pub path: String,
    /// All of the content.
    pub content: Content,
    /// Mode (default 0600), owner and group.
    pub attributes: Attributes,
    /// Whether a copy of the file that is there now is kept beside it, with the time in its name.
    pub backup: bool,
    /// A command that must end well before the new file is put in place; `%s` stands for its temporary path.
    pub validate: Option<String>,
}

/// How something ended on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit status; 128 + n after signal n.
    pub exit: i32,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

impl CommandOutput {
    /// A result as tests and fakes need it.
    pub fn new(exit: i32, stdout: &str, stderr: &str) -> Self {
        Self { exit, stdout: Output::whole(stdout.as_bytes()), stderr: Output::whole(stderr.as_bytes()) }
    }
}
