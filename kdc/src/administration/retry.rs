//! `Idempotency-Key`: a retry gets the answer of the first try, secrets included.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{AdminError, Caller, Ledger};
use crate::fields::fields;
use crate::store::{Answer, Write};

/// A request that may be sent again.
#[derive(Debug, Clone)]
pub struct Retry {
    actor: String,
    key: String,
    fingerprint: [u8; 32],
}

/// An answer that was given before.
#[derive(Debug)]
pub struct Kept {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Retry {
    /// A request of `caller` under the key that came with it.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a key that is not 1 to 255 visible ASCII characters.
    pub fn new(caller: &Caller, key: &str, operation: &str, body: &[u8]) -> Result<Self, AdminError> {
        if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminError::invalid("Idempotency-Key", "1 to 255 visible ASCII characters"));
        }
        let mut fingerprint = [0; 32];
        let asked = fields(&[b"keycell idempotency 1", operation.as_bytes(), body]);
        fingerprint.copy_from_slice(digest(&SHA256, &asked).as_ref());
        Ok(Self { actor: caller.actor.to_string(), key: key.to_owned(), fingerprint })
    }

    /// The answer of an earlier try.
    ///
    /// # Errors
    /// [`AdminError::Mismatch`] when the key came with another request.
    pub async fn kept(&self, ledger: &Ledger) -> Result<Option<Kept>, AdminError> {
        let answer = ledger.store().answer(&self.actor, &self.key).await?;
        let Some(answer) = answer else { return Ok(None) };
        if answer.expires_at <= ledger.now() {
            // It would stand in the way of the new one.
            ledger.store().forget_answers(ledger.now()).await?;
            return Ok(None);
        }
        if answer.fingerprint != self.fingerprint {
            return Err(AdminError::Mismatch);
        }
        Ok(Some(Kept { status: answer.status, body: ledger.keyring().open_answer(&answer)? }))
    }

    /// The write that keeps `body` as the answer, to be part of the act that it answers.
    ///
    /// # Errors
    /// [`AdminError::Json`].
    pub fn keep(&self, ledger: &Ledger, status: u16, body: &impl Serialize) -> Result<Write, AdminError> {
        // Never grown while a key is in it.
        let mut json = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *json, body)?;
        let answer = Answer {
            actor: self.actor.clone(),
            idempotency: self.key.clone(),
            fingerprint: self.fingerprint,
            status,
            master_version: 0,
            wrapped: Vec::new(),
            expires_at: ledger.now().plus(KEPT_MS),
        };
        Ok(Write::KeepAnswer(ledger.keyring().seal_answer(answer, &json, &mut crate::random::system())))
    }
}

/// For how long a retry gets the same answer: an hour. Longer would keep keys that it holds for longer.
const KEPT_MS: u64 = 3_600_000;
/// More than any answer with a key in it.
const ROOM: usize = 64 * 1024;
