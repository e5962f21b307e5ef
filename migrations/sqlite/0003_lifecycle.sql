-- Until when a retiring key is good, and a staged one waits to be used; 0 for a key that lasts.
ALTER TABLE party_key ADD COLUMN ends_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX party_key_by_end ON party_key (ends_at) WHERE ends_at > 0;
-- A key made before this moment is to be replaced by its party; 0 when none is.
ALTER TABLE party ADD COLUMN rotate_after INTEGER NOT NULL DEFAULT 0;

-- The highest epoch that keys at rest have been turned to: a clock that is far ahead of it is not believed.
ALTER TABLE zone ADD COLUMN ratchet_epoch INTEGER NOT NULL DEFAULT 0;

-- When things were last done that are no changes, such as a backup.
CREATE TABLE moment (
    name TEXT    NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The oldest schema that a release must know to work with this one: what lets the release before go on while this one
-- takes over.
CREATE TABLE schema_needs (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    oldest   INTEGER NOT NULL
) STRICT;
INSERT INTO schema_needs (only_row, oldest) VALUES (1, 3);
