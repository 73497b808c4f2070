//! The options of `state`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use plantd_client::ServiceName;

use crate::output::units::parse_timeout;

#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// The state service, such as one shard of several
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "org.plantd.State"
    )]
    pub(crate) service: ServiceName,

    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    #[command(flatten)]
    Asked(ServiceCommand),
    /// Put a backup where no database is, for a daemon to be started on
    Restore(RestoreArguments),
}

/// What the service is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Print what a key holds; exit 7 when there is none
    Get(GetArguments),
    /// Write what a key holds
    Set(SetArguments),
    /// Write what a key holds if it has a version; exit 8 when it has another one
    Cas(CasArguments),
    /// Delete a key
    Delete(DeleteArguments),
    /// Delete all keys that begin with a prefix
    DeletePrefix { scope: String, prefix: String },
    /// Give what a key holds another time to live
    Touch(TouchArguments),
    /// List the keys of a scope
    List(ListArguments),
    /// List what happened to a key, the newest first
    History(HistoryArguments),
    /// Print changes as they are made, until Ctrl-C
    Watch(WatchArguments),
    /// Do several operations at once, or none
    Batch(BatchArguments),
    /// List the scopes
    Scopes {
        /// Only those that begin with this
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Make a scope; exit 8 when it exists
    CreateScope { scope: String },
    /// Delete a scope with its keys and their history
    DeleteScope { scope: String },
    /// List the shards that the scopes are divided among
    Shards,
    /// Print what the service counts, of itself or of a scope
    Stats { scope: Option<String> },
    /// Write a backup into the folder of the daemon
    Backup,
    /// Check the store, or a backup, against its checksums
    Verify {
        /// The name of a backup in the folder of the daemon
        backup: Option<String>,
    },
    /// Write scopes to stdout, a line of JSON for each key
    Export(ExportArguments),
    /// Read what `export` wrote, and write it to the service
    Import(ImportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    /// What this change wrote, if the history still has it
    #[arg(long = "at", value_name = "VERSION")]
    pub(crate) version: Option<u64>,

    /// Write the value as it is, without a line end
    #[arg(short, long)]
    pub(crate) raw: bool,
}

/// A value from an argument, stdin or a file.
#[derive(Debug, Args)]
pub(crate) struct ValueArguments {
    /// The value, as JSON; `-` reads it from stdin
    #[arg(required_unless_present = "file")]
    pub(crate) value: Option<String>,

    /// Read the value from a file
    #[arg(short, long, value_name = "PATH", conflicts_with = "value")]
    pub(crate) file: Option<PathBuf>,

    /// The value is a text, to be kept as a JSON string
    #[arg(long, conflicts_with = "content_type")]
    pub(crate) text: bool,

    /// The value is bytes of this type, such as image/png
    #[arg(short, long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,

    /// Remove the value after this time, such as 30s or 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plant state set org.example.Plant pump/1 '{\"on\":true}'
  plant state set org.example.Plant motto --text 'keep it running'
  plant state set org.example.Plant picture --content-type image/png --file pump.png
  date +%s | plant state set org.example.Plant started -")]
pub(crate) struct SetArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    #[command(flatten)]
    pub(crate) value: ValueArguments,

    /// Only if the key has this version; 0: only if it holds nothing
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,

    /// Only if the key holds nothing
    #[arg(long, conflicts_with = "if_version")]
    pub(crate) create_only: bool,

    /// Only if the scope exists
    #[arg(long)]
    pub(crate) in_existing_scope: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CasArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    /// The version that the key has to have; 0: it holds nothing
    pub(crate) version: u64,

    #[command(flatten)]
    pub(crate) value: ValueArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    /// Only if the key has this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct TouchArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    /// From now on, such as 30s or 2h [default: for ever]
    #[arg(value_parser = parse_timeout)]
    pub(crate) ttl: Option<Duration>,

    /// Only if the key has this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    pub(crate) scope: String,

    /// Only keys that begin with this
    #[arg(default_value = "")]
    pub(crate) prefix: String,

    /// Only keys that come after this one
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<String>,

    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// With versions and what the keys hold
    #[arg(short, long)]
    pub(crate) values: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    pub(crate) scope: String,
    pub(crate) key: String,

    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A watch goes on by itself when the broker or the service was away. What it prints with --output
json has a sequence for --from, so that another one goes on where it stopped.")]
pub(crate) struct WatchArguments {
    pub(crate) scope: String,

    /// Only keys that begin with this
    #[arg(default_value = "")]
    pub(crate) prefix: String,

    /// Only this key
    #[arg(long, conflicts_with = "prefix")]
    pub(crate) key: Option<String>,

    /// Every change after this sequence, as far as the history goes back
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) from: Option<u64>,

    /// What there is, and then the changes
    #[arg(long, conflicts_with = "from")]
    pub(crate) snapshot: bool,

    /// Without what the keys hold
    #[arg(long)]
    pub(crate) no_values: bool,

    /// End after so many changes
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
An operation is an object of JSON, a line for each:
  {\"op\":\"set\",\"scope\":\"org.example.Plant\",\"key\":\"a\",\"value\":1,\"if-version\":7}
  {\"op\":\"set\",\"scope\":\"org.example.Plant\",\"key\":\"b\",\"content-type\":\"image/png\",\"base64\":\"…\",\"ttl\":60}
  {\"op\":\"delete\",\"scope\":\"org.example.Plant\",\"key\":\"c\"}
  {\"op\":\"touch\",\"scope\":\"org.example.Plant\",\"key\":\"d\",\"ttl\":60}
  {\"op\":\"check\",\"scope\":\"org.example.Plant\",\"key\":\"e\",\"if-version\":0}")]
pub(crate) struct BatchArguments {
    /// A file of operations [default: stdin]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Works on files and asks nobody: neither a broker nor a daemon has to run. The whole backup is verified
before anything is in its place; what fails, or is stopped, leaves nothing.

Examples:
  plant state restore plantd-state.db-backups --to new/plantd-state.db
  plant state restore plantd-state-20260115T103000.000Z.json --to plantd-state.db")]
pub(crate) struct RestoreArguments {
    /// The manifest of a backup, `….json`; or a folder of backups, of which the newest is taken
    pub(crate) backup: PathBuf,

    /// The database to make
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The scopes [default: all]
    pub(crate) scopes: Vec<String>,

    /// Only keys that begin with this
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Lines are written in batches. One that is stopped says how many lines are done: --skip passes them
over. To import a line twice does no harm, but for its version.")]
pub(crate) struct ImportArguments {
    /// A file that `export` wrote [default: stdin]
    pub(crate) file: Option<PathBuf>,

    /// Pass so many lines over
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    pub(crate) skip: u64,

    /// Fail at the first key that holds something
    #[arg(long)]
    pub(crate) create_only: bool,
}
