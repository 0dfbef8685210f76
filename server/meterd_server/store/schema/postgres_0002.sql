-- Reservations, grants, policies and reversals.

-- JSON: what most entries and accounts do not have; NULL for nothing.
ALTER TABLE entry ADD COLUMN more text;
ALTER TABLE account ADD COLUMN more text;

-- What follows from entries and is looked up by something else than their ids. Written in the entries' own transaction; whoever
-- does holds the row of the user's account. Nothing is ever deleted.

-- Every reservation there ever was, as its last entry left it.
CREATE TABLE reservation (
  version              bigint NOT NULL,   -- of its first entry
  amount_microcents    bigint NOT NULL,
  held_microcents      bigint NOT NULL,
  captured_microcents  bigint NOT NULL,
  floor_microcents     bigint NOT NULL,
  expire_time_us       bigint NOT NULL,
  unsettled_microcents bigint NOT NULL,
  bucket               smallint NOT NULL,
  state                smallint NOT NULL, -- 1 open, 2 captured, 3 released, 4 expired, 5 settled
  captures_floor       boolean NOT NULL,
  user_id              text COLLATE "C" NOT NULL,
  reservation_id       bytea NOT NULL,    -- the request id of its first entry, as in `entry`
  service              text NOT NULL,
  PRIMARY KEY (bucket, user_id, reservation_id)
);

CREATE INDEX reservation_due ON reservation (expire_time_us) WHERE state = 1;

-- How much of an entry is reversed; entries of which nothing is are not here.
CREATE TABLE reversal (
  version             bigint NOT NULL,
  reversed_microcents bigint NOT NULL,
  bucket              smallint NOT NULL,
  user_id             text COLLATE "C" NOT NULL,
  PRIMARY KEY (bucket, user_id, version)
);

CREATE TABLE grant_due (
  version        bigint NOT NULL, -- of the funding
  expire_time_us bigint NOT NULL,
  bucket         smallint NOT NULL,
  lapsed         boolean NOT NULL,
  user_id        text COLLATE "C" NOT NULL,
  PRIMARY KEY (bucket, user_id, version)
);

CREATE INDEX grant_due_time ON grant_due (expire_time_us) WHERE NOT lapsed;

-- Which daemon ends what is due, by this server's clock. It spares the others work; nothing depends on it. Not distributed.
CREATE TABLE lease (
  one    smallint PRIMARY KEY CHECK (one = 1),
  holder text NOT NULL,
  until  timestamptz NOT NULL
);
