ALTER TABLE party ADD COLUMN log_tickets INTEGER NOT NULL DEFAULT 0 CHECK (log_tickets IN (0, 1));
ALTER TABLE party ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE party_key ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
-- A party made again goes on counting its revisions too: what was read of the one before it never matches.
ALTER TABLE tombstone ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- When a party last asked for tickets, to the minute. Not a change: followers need not hear of it.
CREATE TABLE party_seen (
    name TEXT    NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What administrators keep besides parties: rules of the policy, settings, tokens. `sealed` binds kind, id, revision
-- and body under the master key: a row that Keycell did not write does not count.
CREATE TABLE document (
    kind           TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    body           TEXT    NOT NULL, -- JSON
    master_version INTEGER NOT NULL,
    sealed         BLOB    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- The number of the last change to any document of a kind, deletions included: followers read the kind anew.
CREATE TABLE document_change (
    kind   TEXT    NOT NULL PRIMARY KEY,
    change INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit log: a chain of hashes (docs/administration.md, Audit).
CREATE TABLE audit (
    seq     INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    request TEXT    NOT NULL, -- the x-request-id, or empty
    address TEXT    NOT NULL, -- where it came from, or empty
    detail  TEXT    NOT NULL, -- JSON
    hash    BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_target ON audit (target, seq);

-- Signatures over the chain: `head` (one row, the last record), `checkpoint` (every so many records), `trim` (what was
-- removed by retention, with its summary).
CREATE TABLE audit_seal (
    kind      TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    summary   TEXT    NOT NULL, -- JSON, or empty
    signature BLOB    NOT NULL,
    PRIMARY KEY (kind, seq)
) STRICT, WITHOUT ROWID;

-- Answers kept for a while, so that a retry under the same Idempotency-Key gets the same one.
CREATE TABLE answer (
    actor          TEXT    NOT NULL,
    idempotency    TEXT    NOT NULL, -- the key that the client chose
    fingerprint    BLOB    NOT NULL, -- of the request
    status         INTEGER NOT NULL,
    master_version INTEGER NOT NULL,
    wrapped        BLOB    NOT NULL, -- the body: it may hold a secret
    expires_at     INTEGER NOT NULL,
    PRIMARY KEY (actor, idempotency)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_by_end ON answer (expires_at);
