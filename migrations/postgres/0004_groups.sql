-- The Ed25519 public key that a party signs with as an author: 32 bytes, or none. Its keys are bound to it.
ALTER TABLE party ADD COLUMN author_key BYTEA NOT NULL DEFAULT '';
