-- Trust between zones is documents, secrets, and parties named `#ZONE#…`: no table changes. A database with one of these needs
-- releases that know what it is (oldest_release): others would take a zone for a party.
SELECT 1;
