-- The ledger in PostgreSQL. Amounts are microcents, times microseconds since the epoch.
--
-- Every table but `meta` and `rate_card` has the bucket first in its primary key and in every unique index, and there is no sequence and no foreign
-- key: a user is in one bucket, so the tables can be distributed by it. bucket = crc32(user_id as UTF-8) mod 1024.
-- Wide columns come first, so that nothing is lost to alignment.

-- What this schema is. Read at the start only.
CREATE TABLE meta (
  one            smallint PRIMARY KEY CHECK (one = 1),
  schema_version integer NOT NULL,
  distributed    boolean NOT NULL DEFAULT false -- every transaction keeps to one bucket (meterd db init --distribute)
);

-- A user's money after the entry `version`. The row is what daemons lock: who holds it is alone with the user's entries.
CREATE TABLE account (
  version           bigint NOT NULL,
  funded_microcents bigint NOT NULL,
  spent_microcents  bigint NOT NULL,
  record_time_us    bigint NOT NULL,
  residue_picocents integer NOT NULL, -- used but not charged, 0 to 999,999
  bucket            smallint NOT NULL,
  user_id           text COLLATE "C" NOT NULL,
  PRIMARY KEY (bucket, user_id)
) WITH (fillfactor = 70); -- room for the next version on the same page: an update then touches no index

CREATE TABLE entry (
  version            bigint NOT NULL,
  amount_microcents  bigint NOT NULL,
  balance_microcents bigint NOT NULL,
  fingerprint        bigint NOT NULL,
  record_time_us     bigint NOT NULL,
  occur_time_us      bigint,          -- NULL: the caller did not say
  residue_picocents  integer NOT NULL, -- the account's after the entry
  bucket             smallint NOT NULL,
  kind               smallint NOT NULL,
  user_id            text COLLATE "C" NOT NULL,
  request_id         bytea NOT NULL,  -- a UUID in canonical form as its 16 bytes; anything else as text, never 16 bytes long
  service            text,            -- NULL: none
  labels             text,            -- a JSON object; NULL: none
  usage              text,            -- JSON: [service, model, {meter: units}, the card's model, the card's version]; NULL: none
  PRIMARY KEY (bucket, user_id, version)
);

-- The idempotency key, for ever.
CREATE UNIQUE INDEX entry_request ON entry (bucket, user_id, request_id);

-- Never changed, never deleted: entries name their card for ever. Few, read at the start and now and then: not distributed.
CREATE TABLE rate_card (
  version integer NOT NULL,
  service text COLLATE "C" NOT NULL,
  model   text COLLATE "C" NOT NULL, -- or a pattern; '' for the whole service
  card    text NOT NULL,             -- JSON
  PRIMARY KEY (service, model, version)
);
