-- Usage and rate cards.

-- JSON: [service, model, {meter: units}, the card's model, the card's version]; NULL for what was not recorded as usage.
ALTER TABLE entry ADD COLUMN usage TEXT;

-- The account's after the entry: used but not charged, 0 to 999,999 picocents. An account is its entries, and nothing else.
ALTER TABLE entry ADD COLUMN residue_picocents INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN residue_picocents INTEGER NOT NULL DEFAULT 0;

-- Never changed, never deleted: entries name their card for ever.
CREATE TABLE rate_card (
  service TEXT NOT NULL,
  model   TEXT NOT NULL, -- or a pattern; '' for the whole service
  version INTEGER NOT NULL,
  card    TEXT NOT NULL, -- JSON
  PRIMARY KEY (service, model, version)
) STRICT, WITHOUT ROWID;
