//! The SQL that both databases understand alike: SQLite takes `$1` too. What is written for many rows at once is with
//! each database.

// Parties, as `PartyRow` has them.
macro_rules! parties {
    ($rest:literal) => {
        concat!(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note, rotate_after, author_key, enrollment, change, enrollment_seal, enrollment_master FROM party ",
            $rest
        )
    };
}

// Keys, as `KeyRow` has them, of `party_key k`.
macro_rules! keys {
    ($rest:literal) => {
        concat!(
            "SELECT k.party, k.generation, k.state, k.epoch, k.created_at, k.ends_at, k.master_version, k.wrapped FROM party_key k ",
            $rest
        )
    };
}

// Documents, as `DocumentRow` has them.
macro_rules! documents {
    ($rest:literal) => {
        concat!("SELECT kind, id, revision, body, master_version, sealed FROM document ", $rest)
    };
}

// Seals, as `SealRow` has them.
macro_rules! seals {
    ($rest:literal) => {
        concat!("SELECT kind, seq, hash, at, summary, signature FROM audit_seal ", $rest)
    };
}

pub(super) use {keys, parties};

pub(super) const ZONE: &str = "SELECT name, ratchet_period, created_at FROM zone";
pub(super) const ZONE_NAME: &str = "SELECT name FROM zone";
pub(super) const CREATE_ZONE: &str =
    "INSERT INTO zone (only_row, name, ratchet_period, created_at) VALUES (1, $1, $2, $3)";

pub(super) const SECRET: &str = "SELECT name, version, master_version, wrapped FROM secret WHERE name = $1";
pub(super) const ADD_SECRET: &str = "INSERT INTO secret (name, version, master_version, wrapped)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

pub(super) const DELETE_SECRET: &str = "DELETE FROM secret WHERE name = $1 AND version = $2";

pub(super) const LAST_CHANGE: &str = "SELECT last FROM change_counter";
/// Comes first in every write, also in one that makes no change: the lock on the counter's row is held until the commit,
/// so that writers follow one another and each sees what the one before it wrote, the end of the audit log included.
pub(super) const TAKE_CHANGES: &str = "UPDATE change_counter SET last = last + $1 RETURNING last";

pub(super) const PARTIES: &str = parties!("ORDER BY name");
pub(super) const KEYS: &str = keys!("ORDER BY k.party, k.generation");
pub(super) const PARTIES_SINCE: &str = parties!("WHERE change > $1 ORDER BY change");
pub(super) const KEYS_SINCE: &str =
    keys!("JOIN party p ON k.party = p.name WHERE p.change > $1 ORDER BY p.change, k.generation");
pub(super) const TOMBSTONES_SINCE: &str =
    "SELECT name, change FROM tombstone WHERE change > $1 ORDER BY change";
pub(super) const PARTY_REVISION: &str = "SELECT revision FROM party WHERE name = $1";
pub(super) const DELETE_PARTY: &str = "DELETE FROM party WHERE name = $1";
pub(super) const BURY: &str =
    "INSERT INTO tombstone (name, revision, last_generation, change) VALUES ($1, $2, $3, $4)";

pub(super) const BURIED: &str = "SELECT name, revision, last_generation FROM tombstone ORDER BY name";

pub(super) const SEEN: &str = "SELECT name, at, process, address, process_at FROM party_seen
    WHERE at >= $1 OR at < 0 ORDER BY name";
pub(super) const FORGET_SEEN: &str = "DELETE FROM party_seen WHERE name = $1";

pub(super) const DOCUMENTS: &str = documents!("WHERE kind = $1 ORDER BY id");
pub(super) const DOCUMENTS_AFTER: &str = documents!("WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3");
pub(super) const COUNT_DOCUMENTS: &str = "SELECT count(*) FROM document WHERE kind = $1";
pub(super) const DOCUMENT: &str = documents!("WHERE kind = $1 AND id = $2");
pub(super) const DOCUMENT_REVISION: &str = "SELECT revision FROM document WHERE kind = $1 AND id = $2";
pub(super) const PUT_DOCUMENT: &str =
    "INSERT INTO document (kind, id, revision, body, master_version, sealed)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, body = excluded.body,
        master_version = excluded.master_version, sealed = excluded.sealed";
pub(super) const DELETE_DOCUMENT: &str = "DELETE FROM document WHERE kind = $1 AND id = $2";
pub(super) const DOCUMENT_CHANGE: &str = "SELECT change FROM document_change WHERE kind = $1";
pub(super) const DOCUMENT_CHANGES_SINCE: &str =
    "SELECT kind FROM document_change WHERE change > $1 ORDER BY kind";
pub(super) const SET_DOCUMENT_CHANGE: &str = "INSERT INTO document_change (kind, change) VALUES ($1, $2)
    ON CONFLICT (kind) DO UPDATE SET change = excluded.change";

pub(super) const ANSWER: &str = "SELECT fingerprint, status, master_version, wrapped, expires_at FROM answer WHERE actor = $1 AND idempotency = $2";
pub(super) const KEEP_ANSWER: &str =
    "INSERT INTO answer (actor, idempotency, fingerprint, status, master_version, wrapped, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
pub(super) const FORGET_ALL_ANSWERS: &str = "DELETE FROM answer";
pub(super) const FORGET_ANSWERS: &str = "DELETE FROM answer WHERE expires_at <= $1";

/// Conditions follow.
pub(super) const AUDIT: &str =
    "SELECT seq, at, actor, action, target, outcome, request, address, detail, hash FROM audit WHERE TRUE";
pub(super) const LAST_RECORD: &str = "SELECT seq FROM audit ORDER BY seq DESC LIMIT 1";
pub(super) const RECORD_HASH: &str = "SELECT hash FROM audit WHERE seq = $1";
pub(super) const TRIM_RECORDS: &str = "DELETE FROM audit WHERE seq <= $1";
pub(super) const TRIM_CHECKPOINTS: &str = "DELETE FROM audit_seal WHERE kind = 'checkpoint' AND seq <= $1";
pub(super) const SEALS: &str = seals!("WHERE kind = $1 ORDER BY seq");
pub(super) const SEAL_COUNT: &str = "SELECT count(*) FROM audit_seal";
pub(super) const REMOVE_HEAD: &str = "DELETE FROM audit_seal WHERE kind = 'head'";
/// One that is there stays: it tells of a chain that somebody cut off.
pub(super) const ADD_SEAL: &str = "INSERT INTO audit_seal (kind, seq, hash, at, summary, signature)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

pub(super) const SEAL_ANEW: &str = "UPDATE audit_seal SET signature = $1 WHERE kind = $2 AND seq = $3";

pub(super) const MOMENT: &str = "SELECT at FROM moment WHERE name = $1";
pub(super) const NOTE_MOMENT: &str = "INSERT INTO moment (name, at) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET at = excluded.at";

pub(super) const SCHEMA: &str = "SELECT max(version) FROM _sqlx_migrations";
pub(super) const MIGRATIONS: &str =
    "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
pub(super) const SCHEMA_NEEDS: &str = "SELECT oldest FROM schema_needs";
pub(super) const NEED_SCHEMA: &str = "UPDATE schema_needs SET oldest = $1 WHERE oldest < $1";

pub(super) const SECRETS: &str = "SELECT name, version, master_version, wrapped FROM secret ORDER BY name";
/// As `BoundKeyRow` has them: `$1` master version, `$2` epoch, `$3` and `$4` where to go on, `$5` how many.
pub(super) const STALE_KEYS: &str =
    "SELECT k.party, k.generation, k.state, k.epoch, k.created_at, k.ends_at, k.master_version, k.wrapped,
         p.enabled, p.revocation_epoch, p.author_key, p.revision
     FROM party_key k JOIN party p ON p.name = k.party
     WHERE k.state <> 'dead' AND (k.master_version < $1 OR k.epoch < $2) AND (k.party, k.generation) > ($3, $4)
     ORDER BY k.party, k.generation LIMIT $5";
pub(super) const STALE_ANSWERS: &str =
    "SELECT actor, idempotency, fingerprint, status, master_version, wrapped, expires_at FROM answer
     WHERE master_version < $1 AND (actor, idempotency) > ($2, $3) ORDER BY actor, idempotency LIMIT $4";
/// As `BoundEnrollmentRow` has them: `$1` master version, `$2` where to go on, `$3` how many.
pub(super) const STALE_ENROLLMENTS: &str =
    "SELECT name, enabled, revocation_epoch, author_key, enrollment, enrollment_seal, enrollment_master, revision FROM party
     WHERE enrollment_master > 0 AND enrollment_master < $1 AND name > $2 ORDER BY name LIMIT $3";
pub(super) const REWRAP_KEY: &str = "UPDATE party_key SET epoch = $1, master_version = $2, wrapped = $3
     WHERE party = $4 AND generation = $5 AND state = $6 AND epoch = $7 AND master_version = $8
       AND EXISTS (SELECT 1 FROM party WHERE name = $4 AND revision = $9)";
pub(super) const REWRAP_ENROLLMENT: &str = "UPDATE party SET enrollment_master = $1, enrollment_seal = $2
     WHERE name = $3 AND revision = $4 AND enrollment_master = $5";
pub(super) const REWRAP_DOCUMENT: &str = "UPDATE document SET master_version = $1, sealed = $2
     WHERE kind = $3 AND id = $4 AND revision = $5 AND master_version = $6";
pub(super) const REWRAP_SECRET: &str = "UPDATE secret SET master_version = $1, wrapped = $2
     WHERE name = $3 AND version = $4 AND master_version = $5 AND wrapped = $6";
pub(super) const REWRAP_ANSWER: &str = "UPDATE answer SET master_version = $1, wrapped = $2
     WHERE actor = $3 AND idempotency = $4 AND expires_at = $5 AND master_version = $6";
/// The sum of `bigint` is no `bigint` in PostgreSQL.
pub(super) const WRAPPED: &str = "SELECT master_version, CAST(sum(n) AS BIGINT) FROM (
         SELECT master_version, count(*) AS n FROM party_key WHERE state <> 'dead' GROUP BY master_version
         UNION ALL SELECT enrollment_master, count(*) FROM party WHERE enrollment_master > 0 GROUP BY enrollment_master
         UNION ALL SELECT master_version, count(*) FROM document GROUP BY master_version
         UNION ALL SELECT master_version, count(*) FROM answer GROUP BY master_version
         UNION ALL SELECT master_version, count(*) FROM secret
             WHERE name <> 'key check' AND name NOT LIKE 'key check %' GROUP BY master_version
     ) AS rows_of GROUP BY master_version ORDER BY master_version";
pub(super) const STALE: &str = "SELECT
         (SELECT count(*) FROM party_key WHERE state <> 'dead' AND (master_version < $1 OR epoch < $2))
       + (SELECT count(*) FROM party WHERE enrollment_master > 0 AND enrollment_master < $1)
       + (SELECT count(*) FROM document WHERE master_version < $1)
       + (SELECT count(*) FROM answer WHERE master_version < $1)
       + (SELECT count(*) FROM secret
             WHERE master_version < $1 AND name <> 'key check' AND name NOT LIKE 'key check %')";
pub(super) const RATCHET_EPOCH: &str = "SELECT ratchet_epoch FROM zone";
pub(super) const NOTE_RATCHET_EPOCH: &str = "UPDATE zone SET ratchet_epoch = $1 WHERE ratchet_epoch < $1";
