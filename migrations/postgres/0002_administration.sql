ALTER TABLE party ADD COLUMN log_tickets BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE party ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE party_key ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
-- A party made again goes on counting its revisions too: what was read of the one before it never matches.
ALTER TABLE tombstone ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

-- When a party last asked for tickets, to the minute. Not a change: followers need not hear of it.
CREATE TABLE party_seen (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);

-- What administrators keep besides parties: rules of the policy, settings, tokens. `sealed` binds kind, id, revision
-- and body under the master key: a row that Keycell did not write does not count.
CREATE TABLE document (
    kind           TEXT    NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    revision       BIGINT NOT NULL,
    body           TEXT    NOT NULL, -- JSON
    master_version BIGINT NOT NULL,
    sealed         BYTEA   NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The number of the last change to any document of a kind, deletions included: followers read the kind anew.
CREATE TABLE document_change (
    kind   TEXT    NOT NULL PRIMARY KEY,
    change BIGINT NOT NULL
);

-- The audit log: a chain of hashes (docs/administration.md, Audit).
CREATE TABLE audit (
    seq     BIGINT NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    target  TEXT COLLATE "C" NOT NULL,
    outcome TEXT    NOT NULL,
    request TEXT    NOT NULL, -- the x-request-id, or empty
    address TEXT    NOT NULL, -- where it came from, or empty
    detail  TEXT    NOT NULL, -- JSON
    hash    BYTEA   NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_target ON audit (target, seq);

-- Signatures over the chain: `head` (one row, the last record), `checkpoint` (every so many records), `trim` (what was
-- removed by retention, with its summary).
CREATE TABLE audit_seal (
    kind      TEXT    NOT NULL,
    seq       BIGINT NOT NULL,
    hash      BYTEA   NOT NULL,
    at        BIGINT NOT NULL,
    summary   TEXT    NOT NULL, -- JSON, or empty
    signature BYTEA   NOT NULL,
    PRIMARY KEY (kind, seq)
);

-- Answers kept for a while, so that a retry under the same Idempotency-Key gets the same one.
CREATE TABLE answer (
    actor          TEXT    NOT NULL,
    idempotency    TEXT    NOT NULL, -- the key that the client chose
    fingerprint    BYTEA   NOT NULL, -- of the request
    status         BIGINT NOT NULL,
    master_version BIGINT NOT NULL,
    wrapped        BYTEA   NOT NULL, -- the body: it may hold a secret
    expires_at     BIGINT NOT NULL,
    PRIMARY KEY (actor, idempotency)
);
CREATE INDEX answer_by_end ON answer (expires_at);
