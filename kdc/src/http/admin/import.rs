//! `POST /v1/admin/parties/import`: parties in bulk, one streaming call. Lines go in, lines come out; those that belong
//! together are one transaction.

mod lines;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream;
use http_body_util::BodyExt as _;
use keycell_protocol::{Name, ProblemType};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use self::lines::{Format, Line, Lines};
use super::body;
use super::parties::secret;
use crate::administration::{Caller, ImportEntry, ImportResult, NewEntry};
use crate::api::{ImportLine, ImportOutcome, ImportRow, ImportSummary, Imported};
use crate::http::layers::pass_over;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

/// Whether it is only a question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ImportQuery {
    #[serde(default)]
    dry_run: bool,
}

pub(in crate::http) async fn import(
    State(kdc): State<Arc<Kdc>>,
    operator: Result<Operator, Failure>,
    query: Result<Query<ImportQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let Begun { caller, dry_run, format, place } = match begin(&kdc, operator, query, &headers) {
        Ok(begun) => begun,
        Err(failure) => {
            let time = kdc.config().limits.request_timeout_seconds;
            pass_over(body, Duration::from_secs(time.into())).await;
            return Err(failure);
        }
    };
    let (answers, received) = mpsc::channel(ANSWERS);
    let import = Import { kdc, caller, dry_run, answers, summary: Summary::default(), batch: Vec::new() };
    // What was begun is seen through to the end of its transaction, also when the client has gone.
    tokio::spawn(
        async move {
            let _place = place;
            import.run(Lines::new(format), body).await;
        }
        .in_current_span(),
    );
    let body = Body::from_stream(stream::unfold(received, |mut received| async move {
        Some((received.recv().await?, received))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// An import that may go on.
struct Begun {
    caller: Caller,
    dry_run: bool,
    format: Format,
    place: OwnedSemaphorePermit,
}

/// All that can be said of an import before its body is read.
fn begin(
    kdc: &Kdc,
    operator: Result<Operator, Failure>,
    query: Result<Query<ImportQuery>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Begun, Failure> {
    let caller = operator?.may(Role::Operator)?;
    let ImportQuery { dry_run } = body::query(query)?;
    let format = Format::of(body::media_type(headers)).ok_or_else(|| {
        Failure::new(ProblemType::UnsupportedMediaType)
            .detail("send Content-Type: application/x-ndjson or text/csv")
            .field("Content-Type")
    })?;
    // One at a time: a second would only wait for the first one's transactions.
    let place = kdc.imports().try_acquire_owned().map_err(|_| {
        Failure::overloaded()
            .detail("another import is running; one at a time")
            .retry_after(Duration::from_secs(5))
    })?;
    Ok(Begun { caller, dry_run, format, place })
}

struct Import {
    kdc: Arc<Kdc>,
    caller: Caller,
    dry_run: bool,
    answers: mpsc::Sender<Result<Bytes, std::io::Error>>,
    summary: Summary,
    batch: Vec<ImportEntry>,
}

#[derive(Debug, Default)]
struct Summary {
    lines: u64,
    outcomes: [u64; 5],
}

impl Import {
    async fn run(mut self, mut lines: Lines, mut body: Body) {
        let ended = self.read(&mut lines, &mut body).await;
        // Also when the client is gone: what was read is done, and recorded. Not when its token was taken back.
        let written = self.write().await;
        let summary = self.summarized();
        if !self.dry_run
            && let Err(error) = self.kdc.parties().record_import(&self.caller, &summary).await
        {
            tracing::error!(error = %crate::http::chain(&error), "the summary of an import is not recorded");
        }
        tracing::info!(administrator = %self.caller.actor, ?summary, dry_run = self.dry_run, "parties imported");
        match ended.and(written) {
            Ok(()) => drop(self.send(&[ImportLine::Summary { summary }]).await),
            // Without a summary, the client sees that it was cut off.
            Err(Gone(reason)) => {
                tracing::warn!(reason, "an import was cut off");
                let _ = self.answers.send(Err(std::io::Error::other(reason))).await;
            }
        }
    }

    async fn read(&mut self, lines: &mut Lines, body: &mut Body) -> Result<(), Gone> {
        let mut due = Instant::now() + PATIENCE;
        loop {
            let frame = match timeout_at(due, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(Gone("the body did not arrive whole")),
                Err(_) => return Err(Gone("no line came for a while")),
            };
            let Ok(data) = frame.into_data() else { continue };
            let whole = lines.feed(&data);
            let came = !whole.is_empty();
            for line in whole {
                self.take(line).await?;
            }
            // A line, not a piece of one: it would keep the place with a byte at a time.
            if came {
                due = Instant::now() + PATIENCE;
            }
        }
        if let Some(line) = lines.finish() {
            self.take(line).await?;
        }
        Ok(())
    }

    async fn take(&mut self, line: Line) -> Result<(), Gone> {
        self.admitted()?;
        self.summary.lines += 1;
        let number = line.number;
        match self.entry(line) {
            Ok(entry) => self.batch.push(entry),
            Err((name, error)) => {
                // In the order of the lines: what is before it goes first.
                self.write().await?;
                let outcome = ImportOutcome::Invalid;
                self.summary.count(outcome);
                let line = Imported {
                    line: number,
                    name,
                    outcome,
                    generation: None,
                    epoch: None,
                    key: None,
                    error: Some(error),
                };
                self.send(&[ImportLine::Row(line)]).await?;
            }
        }
        if self.batch.len() >= BATCH { self.write().await } else { Ok(()) }
    }

    /// A token that was taken back makes nothing any more, whatever was begun with it.
    fn admitted(&self) -> Result<(), Gone> {
        if self.kdc.access().still_holds(&self.caller, self.kdc.now()) {
            Ok(())
        } else {
            Err(Gone("the token does not hold any more"))
        }
    }

    /// Makes a line a party that can be made; or the name as far as it could be read, and what is wrong.
    fn entry(&self, line: Line) -> Result<ImportEntry, (String, String)> {
        let ImportRow { name: text, key, note, log_tickets } =
            line.row.map_err(|error| (String::new(), error))?;
        let name =
            Name::in_zone(&text, self.kdc.zone()).map_err(|error| (text.clone(), error.to_string()))?;
        let Ok(secret) = key.as_ref().map(|key| secret(key)).transpose() else {
            return Err((text, "key: 32 bytes in base64url without padding".to_owned()));
        };
        Ok(ImportEntry { line: line.number, entry: NewEntry { name, secret, note, log_tickets } })
    }

    /// Writes the batch, and answers for each of its lines.
    async fn write(&mut self) -> Result<(), Gone> {
        self.admitted()?;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let chosen: Vec<bool> = batch.iter().map(|entry| entry.entry.secret.is_some()).collect();
        let results = self.kdc.parties().import(&self.caller, &batch, self.dry_run).await;
        let dry_run = self.dry_run;
        let mut lines = Vec::with_capacity(results.len());
        for (result, chosen) in results.into_iter().zip(chosen) {
            self.summary.count(result.outcome);
            lines.push(ImportLine::Row(imported(result, chosen, dry_run)));
        }
        self.send(&lines).await
    }

    async fn send(&self, lines: &[ImportLine]) -> Result<(), Gone> {
        let mut text = Vec::with_capacity(lines.len() * LINE);
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(|_| Gone("an answer cannot be written"))?;
            text.push(b'\n');
        }
        match timeout(PATIENCE, self.answers.send(Ok(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone("the client does not read the answers")),
        }
    }

    fn summarized(&self) -> ImportSummary {
        let [created, unchanged, exists, invalid, failed] = self.summary.outcomes;
        ImportSummary {
            lines: self.summary.lines,
            created,
            unchanged,
            exists,
            invalid,
            failed,
            ratchet_period: self.kdc.zone_record().ratchet_period,
            urls: self.kdc.config().urls.clone(),
            signers: self.kdc.signers(),
        }
    }
}

impl Summary {
    const fn count(&mut self, outcome: ImportOutcome) {
        let [created, unchanged, exists, invalid, failed] = &mut self.outcomes;
        *match outcome {
            ImportOutcome::Created => created,
            ImportOutcome::Unchanged => unchanged,
            ImportOutcome::Exists => exists,
            ImportOutcome::Invalid => invalid,
            ImportOutcome::Failed => failed,
        } += 1;
    }
}

fn imported(result: ImportResult, chosen: bool, dry_run: bool) -> Imported {
    let key = result.key;
    let shown = key.as_ref().filter(|_| !chosen && !dry_run && result.outcome == ImportOutcome::Created);
    Imported {
        line: result.line,
        name: result.name.to_string(),
        outcome: result.outcome,
        generation: key.as_ref().map(keycell_protocol::LongTermKey::generation),
        epoch: key.as_ref().map(keycell_protocol::LongTermKey::epoch),
        key: shown.map(|key| Zeroizing::new(URL_SAFE_NO_PAD.encode(key.expose_secret()))),
        error: result.error,
    }
}

/// The call cannot go on.
struct Gone(&'static str);

/// How many lines are one transaction: enough that the disk's flush is shared, few enough that others are not kept waiting.
const BATCH: usize = 1000;
/// How many batches of answers may wait for the client to read them.
const ANSWERS: usize = 4;
/// The usual length of a line of the answer.
const LINE: usize = 128;
/// For how long a client may send no line, and read nothing.
const PATIENCE: Duration = Duration::from_secs(30);
