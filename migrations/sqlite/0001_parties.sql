-- The zone this database belongs to: one row.
CREATE TABLE zone (
    only_row       INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    name           TEXT    NOT NULL,
    ratchet_period INTEGER NOT NULL, -- seconds
    created_at     INTEGER NOT NULL  -- Unix milliseconds, as all times here
) STRICT;

-- Secrets of the KDC itself, wrapped under the master key.
CREATE TABLE secret (
    name           TEXT    NOT NULL PRIMARY KEY,
    version        INTEGER NOT NULL,
    master_version INTEGER NOT NULL,
    wrapped        BLOB    NOT NULL
) STRICT;

-- The number of the last change. Every write adds one in its own transaction, so the numbers have no gaps
-- and their order is the order of the commits.
CREATE TABLE change_counter (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last     INTEGER NOT NULL
) STRICT;
INSERT INTO change_counter (only_row, last) VALUES (1, 0);

CREATE TABLE party (
    name             TEXT    NOT NULL PRIMARY KEY,
    enabled          INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    revision         INTEGER NOT NULL,
    revocation_epoch INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    last_generation  INTEGER NOT NULL, -- the highest ever used by this name, whether its key is still here or not
    change           INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE party_key (
    party          TEXT    NOT NULL REFERENCES party (name) ON DELETE CASCADE,
    generation     INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    epoch          INTEGER NOT NULL,
    master_version INTEGER NOT NULL,
    wrapped        BLOB    NOT NULL,
    PRIMARY KEY (party, generation)
) STRICT, WITHOUT ROWID;

-- What is left of a deleted party: followers learn of the deletion, and a party made again under this name goes
-- on counting its generations.
CREATE TABLE tombstone (
    name            TEXT    NOT NULL PRIMARY KEY,
    last_generation INTEGER NOT NULL,
    change          INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
