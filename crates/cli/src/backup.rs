//! `hookit inbox backup` and `restore`, and those of `hookit platform`.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use hookit_store::sqlite::{BackupError, backup_inbox, backup_platform, restore_inbox, restore_platform};

use crate::exit::Exit;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct BackupArgs {
    /// Where the copy goes; there must be nothing of that name. Only its owner may read it: guests' data is in it.
    file: PathBuf,
    /// The data folder. It may be in use.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct RestoreArgs {
    /// The copy.
    file: PathBuf,
    /// The data folder that it is to be started with. It must not have a store.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Shows how far a copy is, where somebody is looking.
fn progress() -> impl FnMut(u64, u64) {
    let is_watched = std::io::stderr().is_terminal();
    let mut shown = None;
    move |done, all| {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        if is_watched && shown != Some(percent) {
            shown = Some(percent);
            let end = if percent == 100 { "\n" } else { "" };
            // Standard error may be closed; then nobody looks.
            let _ = write!(std::io::stderr(), "\r{percent:3} % of {} MB{end}", all >> 20);
        }
    }
}

pub(crate) async fn of_inbox(args: BackupArgs) -> anyhow::Result<Exit> {
    let BackupArgs { file, data } = args;
    let to = file.clone();
    copied(&file, blocking(move || backup_inbox(&data, &to, progress())).await?);
    Ok(Exit::Success)
}

pub(crate) async fn of_platform(args: BackupArgs) -> anyhow::Result<Exit> {
    let BackupArgs { file, data } = args;
    let (to, key) = (file.clone(), data.join("platform.key"));
    copied(&file, blocking(move || backup_platform(&data, &to, progress())).await?);
    output::note(&format!("{} is not in it: keep a copy of that, elsewhere", key.display()));
    Ok(Exit::Success)
}

fn copied(file: &Path, bytes: u64) {
    output::note(&format!("{}: {bytes} bytes, looked through and whole", file.display()));
}

pub(crate) async fn to_inbox(args: RestoreArgs) -> anyhow::Result<Exit> {
    let RestoreArgs { file, data } = args;
    let to = data.clone();
    let bytes = blocking(move || restore_inbox(&file, &to, progress())).await?;
    output::note(&format!(
        "{}: {bytes} bytes. Start the inbox with this folder; with [partner_api] it catches up by itself",
        data.display()
    ));
    Ok(Exit::Success)
}

pub(crate) async fn to_platform(args: RestoreArgs) -> anyhow::Result<Exit> {
    let RestoreArgs { file, data } = args;
    let to = data.clone();
    let bytes = blocking(move || restore_platform(&file, &to, progress())).await?;
    output::note(&format!(
        "{}: {bytes} bytes. Put the platform.key that belongs to it into this folder, and start the platform with it; \
         what was not acknowledged when the copy was made is sent again, with the same ids",
        data.display()
    ));
    Ok(Exit::Success)
}

async fn blocking(copy: impl FnOnce() -> Result<u64, BackupError> + Send + 'static) -> anyhow::Result<u64> {
    Ok(tokio::task::spawn_blocking(copy).await??)
}
