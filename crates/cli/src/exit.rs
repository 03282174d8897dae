//! Exit codes and complaints: scripts tell apart what went wrong by the code, people by one line.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and good.
    Success = 0,
    /// Done, and the answer is no: views differ, a proof failed.
    Differs = 1,
    /// The command line, a configuration or an environment variable is wrong. clap uses the same number.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The other side refused: credentials, or a request that it does not take.
    Refused = 4,
    /// The other side cannot be reached.
    Unreachable = 5,
    /// Anything else: a disk, a port, a fault of ours.
    Failed = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error with the exit code that it leads to.
#[derive(Debug)]
pub(crate) struct Coded {
    exit: Exit,
    message: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// An error of the command line, a configuration or the environment.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    coded(Exit::Usage, message)
}

/// An error with its exit code.
pub(crate) fn coded(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Coded { exit, message: message.into() }.into()
}

impl Exit {
    /// The exit code of an error.
    pub(crate) fn of(error: &anyhow::Error) -> Exit {
        error.chain().find_map(|cause| cause.downcast_ref::<Coded>()).map_or(Exit::Failed, |coded| coded.exit)
    }
}

/// Prints an error with its causes on one line.
pub(crate) fn complain(error: &anyhow::Error) {
    // Standard error may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "hookit: {error:#}");
}
