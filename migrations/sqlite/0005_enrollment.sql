-- How a party came aboard by itself, as JSON; empty for one that an administrator made.
ALTER TABLE party ADD COLUMN enrollment TEXT NOT NULL DEFAULT '';
-- What proves that Keycell wrote it, with the party's name, standing and author key, and the version of the master key that
-- it is under: nothing else does once all keys of the party are erased.
ALTER TABLE party ADD COLUMN enrollment_seal BLOB NOT NULL DEFAULT X'';
ALTER TABLE party ADD COLUMN enrollment_master INTEGER NOT NULL DEFAULT 0;
-- By which process, in hexadecimal, from where, and with a request of when the party was last seen: two in turn are two
-- copies of its key.
ALTER TABLE party_seen ADD COLUMN process TEXT NOT NULL DEFAULT '';
ALTER TABLE party_seen ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE party_seen ADD COLUMN process_at INTEGER NOT NULL DEFAULT 0;
