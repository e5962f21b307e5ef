-- How a party came aboard by itself, as JSON; empty for one that an administrator made. Nothing seals it: the party's name
-- holds the fingerprint of the key in it.
ALTER TABLE party ADD COLUMN enrollment TEXT NOT NULL DEFAULT '';
-- By which process, in hexadecimal, from where, and with a request of when the party was last seen: two in turn are two
-- copies of its key.
ALTER TABLE party_seen ADD COLUMN process TEXT NOT NULL DEFAULT '';
ALTER TABLE party_seen ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE party_seen ADD COLUMN process_at INTEGER NOT NULL DEFAULT 0;
