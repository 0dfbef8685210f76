-- Reservations, grants, policies and reversals.

-- JSON: what most entries and accounts do not have; NULL for nothing.
ALTER TABLE entry ADD COLUMN more TEXT;
ALTER TABLE account ADD COLUMN more TEXT;

-- What follows from entries and is looked up by something else than their ids. Written in the entries' own transaction.

-- Every reservation there ever was, as its last entry left it.
CREATE TABLE reservation (
  reservation_id       ANY NOT NULL,     -- the request id of its first entry, as in `entry`
  account_id           INTEGER NOT NULL,
  version              INTEGER NOT NULL, -- of its first entry
  state                INTEGER NOT NULL, -- 1 open, 2 captured, 3 released, 4 expired, 5 settled
  amount_microcents    INTEGER NOT NULL,
  held_microcents      INTEGER NOT NULL,
  captured_microcents  INTEGER NOT NULL,
  floor_microcents     INTEGER NOT NULL,
  captures_floor       INTEGER NOT NULL,
  expire_time_us       INTEGER NOT NULL,
  unsettled_microcents INTEGER NOT NULL,
  service              TEXT NOT NULL,
  PRIMARY KEY (reservation_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservation_due ON reservation (expire_time_us) WHERE state = 1;

-- How much of an entry is reversed; entries of which nothing is are not here.
CREATE TABLE reversal (
  account_id          INTEGER NOT NULL,
  version             INTEGER NOT NULL,
  reversed_microcents INTEGER NOT NULL,
  PRIMARY KEY (account_id, version)
) STRICT, WITHOUT ROWID;

-- Grants that have not lapsed.
CREATE TABLE grant_due (
  account_id     INTEGER NOT NULL,
  version        INTEGER NOT NULL, -- of the funding
  expire_time_us INTEGER NOT NULL,
  PRIMARY KEY (account_id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX grant_due_time ON grant_due (expire_time_us);
