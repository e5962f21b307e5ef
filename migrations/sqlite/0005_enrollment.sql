-- How a party came aboard by itself, as JSON; empty for one that an administrator made. Nothing seals it: the party's name
-- holds the fingerprint of the key in it.
ALTER TABLE party ADD COLUMN enrollment TEXT NOT NULL DEFAULT '';
-- By which process, and from where, the party was seen then: two in turn are two copies of its key.
ALTER TABLE party_seen ADD COLUMN instance BLOB NOT NULL DEFAULT X'';
ALTER TABLE party_seen ADD COLUMN address TEXT NOT NULL DEFAULT '';
