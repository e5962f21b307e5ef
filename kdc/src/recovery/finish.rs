//! What a recovery does beside the database, once that is done. Done again, it does what is missing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::UnixMillis;
use zeroize::Zeroizing;

use crate::api::NewToken;
use crate::cell::{Cell, CellError, TOKEN_FILE};
use crate::config::Config;
use crate::enrollment::JoinTokenRecord;
use crate::files;
use crate::groups::GroupRecord;
use crate::store::{Kind, StoreError};
use crate::token::Role;
use crate::watermark::WatermarkError;

/// What was done beside the database.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finished {
    /// The file with an administrator's token.
    pub token_file: PathBuf,
    /// Until when the token is good; none if it was there from an earlier try.
    pub token_expires_at: Option<UnixMillis>,
}

/// Writes the file of revocations under the new primary, and a token for an administrator beside `config_path`. `cell` was
/// opened after the recovery.
///
/// # Errors
/// The database's, or the files': the cell has recovered all the same, and this can be done again.
pub async fn finish(
    cell: &Cell,
    config: &Config,
    config_path: &Path,
    now: UnixMillis,
) -> Result<Finished, FinishError> {
    // Where the disk still has what the rows held.
    cell.store.forget_overwritten().await?;
    let watermark = Arc::new(cell.remembered(&config.revocations).await?);
    watermark.take_in(&*cell.store).await?;
    for document in cell.store.documents(Kind::Group).await?.documents {
        if let Ok(mut record) = serde_json::from_str::<GroupRecord>(&document.body) {
            record.revision = document.revision;
            watermark.saw_group(&record);
        }
    }
    for document in cell.store.documents(Kind::JoinToken).await?.documents {
        if let (Ok(id), Ok(token)) =
            (document.id.parse(), serde_json::from_str::<JoinTokenRecord>(&document.body))
        {
            watermark.saw_join_token(id, &token);
        }
    }
    watermark.write(&*cell.store).await?;

    let token_file = config_path.with_file_name(TOKEN_FILE);
    let failed = |source| FinishError::Token { path: token_file.clone(), source };
    if holds(cell, &token_file, now).await? {
        return Ok(Finished { token_file, token_expires_at: None });
    }
    // Before the token is made: it could not be kept.
    files::can_make(&token_file).map_err(failed)?;
    let new = NewToken { subject: "admin".to_owned(), role: Role::Admin, ttl_seconds: Some(TOKEN) };
    let created = cell.create_token(&new, now).await?;
    let text = Zeroizing::new(format!("{}\n", *created.token));
    files::replace(&token_file, text.as_bytes(), 0o600).map_err(failed)?;
    Ok(Finished { token_file, token_expires_at: Some(created.info.expires_at) })
}

/// Whether there is a token in that file that is good.
async fn holds(cell: &Cell, file: &Path, now: UnixMillis) -> Result<bool, StoreError> {
    let Ok(text) = std::fs::read_to_string(file).map(Zeroizing::new) else { return Ok(false) };
    let Ok(claims) = cell.tokens.check(text.trim(), now) else { return Ok(false) };
    Ok(cell.store.document(Kind::Token, &claims.jti).await?.is_some())
}

/// What is left to do after a recovery.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The database, or the cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of revocations.
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
    /// The token's file.
    #[error("cannot write {}: {source}", path.display())]
    Token {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// For a day, in seconds, as the first token of a cell.
const TOKEN: u64 = 86_400;
