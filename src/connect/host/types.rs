//! Probes, facts and effects of hosts.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::output::Output;
use super::payload::{Bytes, Content};

/// Files up to this size are read whole, bytes; of larger ones only size and hash.
pub const CONTENT_LIMIT: usize = 256 * 1024;

/// A read-only question to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The file at a path; symbolic links are not followed.
    File {
        /// Absolute path.
        path: String,
        /// How much of the file to read.
        read: Read,
    },
    /// The output of a read-only command.
    Run(Run),
    /// The live value of a kernel parameter.
    Sysctl {
        /// Dotted name: `net.ipv4.ip_forward`.
        key: String,
    },
    /// The state of a kernel module.
    Module {
        /// For example `br_netfilter`.
        name: String,
    },
    /// Operating system, hardware and user of the host.
    System,
    /// The state of the guard that the user has on the host.
    Guard,
}

/// How much of a file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Kind, mode, owner and size only.
    Stat,
    /// Also the SHA-256 of a regular file.
    Hash,
    /// Also the content of a regular file, up to [`CONTENT_LIMIT`].
    Content,
    /// Like [`Self::Content`], but without the content if the file's SHA-256 is this one: the caller knows the content
    /// then.
    ContentUnless([u8; 32]),
}

impl Read {
    /// Reads the content only if it differs from `content`.
    pub fn unless(content: &str) -> Self {
        Self::ContentUnless(Sha256::digest(content.as_bytes()).into())
    }

    /// Whether the content may be part of the answer.
    pub fn wants_content(self) -> bool {
        matches!(self, Self::Content | Self::ContentUnless(_))
    }
}

/// The answer to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The file at the path; `None` when there is none.
    File(Option<File>),
    /// Exit status and output of the command.
    Run(CommandOutput),
    /// The value, with each run of white space replaced by one space; `None` when the kernel has no such parameter.
    Sysctl(Option<String>),
    Module(Module),
    System(Box<super::System>),
    /// The guard; `None` when there is none.
    Guard(Option<GuardState>),
}

/// A file of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub kind: FileKind,
    /// Permission bits including setuid, setgid and sticky: `0o644`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Owner's name; `UNKNOWN` when the uid has none.
    pub owner: String,
    /// Group's name; `UNKNOWN` when the gid has none.
    pub group: String,
    /// Further names of the owner's uid in /etc/passwd.
    pub owner_aliases: Vec<String>,
    /// Further names of the gid in /etc/group.
    pub group_aliases: Vec<String>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of a regular file, lower-case hex, if requested.
    pub sha256: Option<String>,
    /// Content of a regular file, if requested and not larger than [`CONTENT_LIMIT`].
    pub content: Option<Vec<u8>>,
}

/// The type of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    Regular,
    Directory,
    /// A symbolic link and its target.
    Link(String),
    /// A device, a socket, a pipe.
    Other,
}

impl FileKind {
    /// The type's name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "directory",
            Self::Link(_) => "link",
            Self::Other => "special file",
        }
    }
}

/// The state of a kernel module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    Loaded,
    BuiltIn,
    /// Not loaded, but can be loaded.
    Available,
    Absent,
}

/// A command to run on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    /// Working directory; default: the login's.
    pub cwd: Option<String>,
    /// Standard input; default: empty. Never shown by `Debug`.
    pub stdin: Bytes,
    /// Whether to discard the output; only the exit status matters.
    pub quiet: bool,
}

impl Run {
    /// A script for `sh` with an empty standard input.
    pub fn shell(line: impl Into<String>) -> Self {
        Self { command: Command::Shell(line.into()), cwd: None, stdin: Bytes::default(), quiet: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Shell(String),
    /// A program and its arguments, taken literally.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Runs a command; the action judges its exit status.
    Run(Run),
    /// Writes a file atomically.
    WriteFile(WriteFile),
    /// Creates a directory and its missing parents, and sets the given attributes.
    Directory {
        /// Absolute path.
        path: String,
        /// Attributes of the directory itself.
        attributes: Attributes,
    },
    /// Sets attributes of an existing file or directory.
    Attributes {
        /// Absolute path.
        path: String,
        /// The attributes to set.
        attributes: Attributes,
    },
    /// Creates a symbolic link atomically; replaces a file or link, never a directory.
    Link {
        /// Absolute path of the link.
        path: String,
        /// The link's target.
        target: String,
    },
    /// Removes a file, link or directory tree.
    Remove {
        /// Absolute path.
        path: String,
    },
    LoadModule {
        name: String,
    },
    SetSysctl {
        /// Dotted names and values.
        settings: Vec<(String, String)>,
    },
    /// Guards a change that may cut the connection.
    Guard(GuardCommand),
    /// Changes nothing. In a pipeline, ends it before the next effect if the pipeline has been running for seconds, or
    /// if a probe has another answer now. All facts must be [comparable](super::is_comparable).
    Expect(Vec<(Probe, Fact)>),
}

/// An operation on a guard. A host has at most one guard for each user; the token tells it from earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardCommand {
    /// Sets up a guard; fails when there is one already.
    Arm {
        /// Random; not a secret.
        token: String,
        /// How long the host waits before it restores; at least one second.
        time: Duration,
        /// The step that the guard belongs to, for messages.
        unit: String,
        /// A script for `sh` that activates what was restored.
        restore: Option<String>,
    },
    /// Saves what an effect will alter, then carries the effect out; fails unless the guard is armed.
    Within { token: String, effect: Box<Effect> },
    /// Runs a script for `sh` that goes on even if it cuts the connection. Its exit status appears in
    /// [`GuardState::applied`].
    Apply { token: String, command: String },
    /// Removes the guard and everything it keeps: the change stays. Fails when the host has begun to restore.
    Disarm { token: String },
    /// Makes the host restore at once.
    Restore { token: String },
    /// Removes the record of a guard that has restored.
    Forget { token: String },
}

/// The state of a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardState {
    pub phase: GuardPhase,
    pub token: String,
    /// Time until the host restores; zero when it is restoring, has restored, or the time is unknown.
    pub remaining: Duration,
    /// Whether the restoring process is running; a reboot ends it.
    pub alive: bool,
    /// Exit status of the script of [`GuardCommand::Apply`]; `None` while it has not ended.
    pub applied: Option<i32>,
    /// The step that the guard belongs to, for messages.
    pub unit: String,
    /// The log of restoring, or the last lines of the script of [`GuardCommand::Apply`].
    pub output: String,
}

/// The phase of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardPhase {
    /// The guard waits to be disarmed.
    Armed,
    /// The host is restoring.
    Restoring,
    /// Everything was restored and activated.
    Restored,
    /// The host tried to restore, and some of it failed.
    RestoredInPart,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub mode: Option<u32>,
    pub owner: Option<String>,
    pub group: Option<String>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    /// Absolute path; its directory must exist.
    pub path: String,
    /// The whole content.
    pub content: Content,
    /// Mode (default 0600), owner and group.
    pub attributes: Attributes,
    /// Whether to keep a copy of the current file beside it, with the time in its name.
    pub backup: bool,
    /// A command that must succeed before the new file is renamed into place; `%s` stands for its temporary path.
    pub validate: Option<String>,
}

/// Exit status and output of a command or effect on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    pub exit: i32,
    pub stdout: Output,
    pub stderr: Output,
}

impl CommandOutput {
    /// A result for tests and fakes.
    pub fn new(exit: i32, stdout: &str, stderr: &str) -> Self {
        Self { exit, stdout: Output::whole(stdout.as_bytes()), stderr: Output::whole(stderr.as_bytes()) }
    }
}
