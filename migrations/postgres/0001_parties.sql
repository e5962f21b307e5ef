-- The zone this database belongs to: one row.
CREATE TABLE zone (
    only_row       BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    name           TEXT   NOT NULL,
    ratchet_period BIGINT NOT NULL, -- seconds
    created_at     BIGINT NOT NULL  -- Unix milliseconds, as all times here
);

-- Secrets of the KDC itself, wrapped under the master key.
CREATE TABLE secret (
    name           TEXT   NOT NULL PRIMARY KEY,
    version        BIGINT NOT NULL,
    master_version BIGINT NOT NULL,
    wrapped        BYTEA  NOT NULL
);

-- The number of the last change. Every write adds one in its own transaction and holds the row until it commits,
-- so the numbers have no gaps and their order is the order of the commits.
CREATE TABLE change_counter (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last     BIGINT NOT NULL
);
INSERT INTO change_counter (only_row, last) VALUES (1, 0);

-- Names are compared and sorted byte for byte (docs/protocol.md §3), whatever the locale of the cluster.
CREATE TABLE party (
    name             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    enabled          BOOLEAN NOT NULL,
    revision         BIGINT  NOT NULL,
    revocation_epoch BIGINT  NOT NULL,
    created_at       BIGINT  NOT NULL,
    updated_at       BIGINT  NOT NULL,
    last_generation  BIGINT  NOT NULL, -- the highest ever used by this name, whether its key is still here or not
    change           BIGINT  NOT NULL UNIQUE
);

CREATE TABLE party_key (
    party          TEXT COLLATE "C" NOT NULL REFERENCES party (name) ON DELETE CASCADE,
    generation     BIGINT NOT NULL,
    state          TEXT   NOT NULL,
    epoch          BIGINT NOT NULL,
    master_version BIGINT NOT NULL,
    wrapped        BYTEA  NOT NULL,
    PRIMARY KEY (party, generation)
);

-- What is left of a deleted party: followers learn of the deletion, and a party made again under this name goes
-- on counting its generations.
CREATE TABLE tombstone (
    name            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    last_generation BIGINT NOT NULL,
    change          BIGINT NOT NULL UNIQUE
);
