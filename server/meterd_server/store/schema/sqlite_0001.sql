-- The ledger in one SQLite file. Amounts are microcents, times microseconds since the epoch.
--
-- Entries are a log that only grows at its end: a commit writes the last pages of `entry` and `entry_request`, wherever its users
-- are. Everything else can be derived from it and is written less often.

-- A user's id as text stands here once; everything else says account_id.
CREATE TABLE user (
  account_id INTEGER PRIMARY KEY,
  user_id    TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE entry (
  entry_id           INTEGER PRIMARY KEY, -- order of commit, over all users
  account_id         INTEGER NOT NULL,
  version            INTEGER NOT NULL,
  previous_entry_id  INTEGER NOT NULL,    -- this user's entry before, 0 for the first: lists without an index
  kind               INTEGER NOT NULL,
  amount_microcents  INTEGER NOT NULL,
  balance_microcents INTEGER NOT NULL,
  request_id         ANY NOT NULL,        -- a UUID in canonical form as its 16 bytes, anything else as text
  fingerprint        INTEGER NOT NULL,
  service            TEXT,                -- NULL: none
  labels             TEXT,                -- a JSON object; NULL: none
  occur_time_us      INTEGER,             -- NULL: the caller did not say
  record_time_us     INTEGER NOT NULL
) STRICT;

-- The idempotency key. The request id comes first: time-ordered ids then go to the end of the index, wherever the user is.
CREATE UNIQUE INDEX entry_request ON entry (request_id, account_id);

-- Every 64th entry of a user: where a listing that begins in the middle enters the chain.
CREATE TABLE entry_mark (
  account_id INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  entry_id   INTEGER NOT NULL,
  PRIMARY KEY (account_id, version)
) STRICT, WITHOUT ROWID;

-- Accounts as they were at some entry; a row may be behind by entries after `recovery.replay_after_entry_id`, which are applied
-- to it when the file is opened. An entry of a version that the row has already is skipped.
CREATE TABLE account (
  account_id        INTEGER PRIMARY KEY,
  version           INTEGER NOT NULL,
  last_entry_id     INTEGER NOT NULL,
  funded_microcents INTEGER NOT NULL,
  spent_microcents  INTEGER NOT NULL,
  record_time_us    INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery (
  one                   INTEGER PRIMARY KEY CHECK (one = 1),
  replay_after_entry_id INTEGER NOT NULL
) STRICT;

INSERT INTO recovery VALUES (1, 0);
