-- Keys of keyward, version 1 of the schema: PostgreSQL 13 or later, run once.
--
-- Functions look names up in the server's own catalogue alone: whoever may create functions
-- elsewhere in the database can't put his in their place (CVE-2018-1058).

-- The text at a place of a JSON document, and nothing where there is none: a document
-- may be damaged or of a newer release, and a row must be readable all the same.
CREATE FUNCTION "{schema}"."{prefix}text_at"(document text, place text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found jsonb;
BEGIN
  found := document::jsonb #> place;
  RETURN CASE WHEN jsonb_typeof(found) = 'string' THEN found #>> '{}' END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN NULL;
END $$;

-- The same, of a document that is its row's own, in the layout that this release knows.
CREATE FUNCTION "{schema}"."{prefix}known_text_at"(
  id text, version bigint, document text, place text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  whole jsonb;
BEGIN
  whole := document::jsonb;
  IF whole -> 'encoding' IS DISTINCT FROM '1'::jsonb OR jsonb_typeof(whole #> place) <> 'string'
    OR whole -> 'id' IS DISTINCT FROM to_jsonb(id)
    OR whole -> 'version' IS DISTINCT FROM to_jsonb(version)
  THEN
    RETURN NULL;
  END IF;
  RETURN whole #>> place;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN NULL;
END $$;

-- Microseconds since 1970 of an instant as RFC 3339 spells it. It names its offset, so
-- the answer doesn't hang on a setting.
CREATE FUNCTION "{schema}"."{prefix}micros"(instant text)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  at timestamptz;
BEGIN
  IF instant !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$' THEN
    RETURN NULL;
  END IF;
  at := regexp_replace(instant, '(\.\d{6})\d+', '\1')::timestamptz;
  RETURN date_part('epoch', date_trunc('second', at))::bigint * 1000000
    + date_part('microseconds', at)::bigint % 1000000;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;

-- Columns below `document` are made from it, for lists and for people. Nobody can edit
-- one apart from it, and nothing but id, version and document is believed.
CREATE TABLE "{schema}"."{prefix}keys" (
  id text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  document text NOT NULL,
  owner text COLLATE "C" NOT NULL GENERATED ALWAYS AS
    (coalesce("{schema}"."{prefix}text_at"(document, '{owner}'), '')) STORED,
  name text GENERATED ALWAYS AS
    ("{schema}"."{prefix}text_at"(document, '{name}')) STORED,
  environment text COLLATE "C" GENERATED ALWAYS AS
    ("{schema}"."{prefix}text_at"(document, '{environment}')) STORED,
  state text COLLATE "C" GENERATED ALWAYS AS
    ("{schema}"."{prefix}known_text_at"(id, version, document, '{state,is}')) STORED,
  created_by text COLLATE "C" NOT NULL GENERATED ALWAYS AS
    (coalesce("{schema}"."{prefix}known_text_at"(
      id, version, document, '{created_by}'), '')) STORED,
  created_at bigint NOT NULL GENERATED ALWAYS AS (coalesce("{schema}"."{prefix}micros"(
    "{schema}"."{prefix}text_at"(document, '{created_at}')), 0)) STORED,
  expires_at bigint GENERATED ALWAYS AS ("{schema}"."{prefix}micros"(
    "{schema}"."{prefix}known_text_at"(id, version, document, '{expires_at}'))) STORED
) WITH (fillfactor = 85);

CREATE INDEX "{prefix}keys_newest" ON "{schema}"."{prefix}keys" (created_at DESC, id DESC);
CREATE INDEX "{prefix}keys_owned" ON "{schema}"."{prefix}keys" (owner, created_at DESC, id DESC);

-- What was done to which key: positions grow in the order in which commits become visible.
CREATE TABLE "{schema}"."{prefix}log" (
  position bigint PRIMARY KEY,
  event text NOT NULL,
  key text COLLATE "C" NOT NULL GENERATED ALWAYS AS
    (coalesce("{schema}"."{prefix}text_at"(event, '{key}'), '')) STORED
);

CREATE INDEX "{prefix}log_of_key" ON "{schema}"."{prefix}log" (key, position);

-- One row. Every commit locks it, and so takes its turn.
CREATE TABLE "{schema}"."{prefix}settings" (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  position bigint NOT NULL DEFAULT 0,
  -- How long a change may go unseen by a node, in microseconds; the release's default if NULL.
  max_staleness bigint,
  -- How often heartbeats were switched on or off: odd while they are on.
  heartbeats bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

INSERT INTO "{schema}"."{prefix}settings" DEFAULT VALUES;

-- Nodes that may use what they keep, and how far each has heard, while heartbeats are on.
CREATE TABLE "{schema}"."{prefix}nodes" (
  node text COLLATE "C" PRIMARY KEY,
  beats bigint NOT NULL,
  position bigint NOT NULL,
  lapses_after bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE "{schema}"."{prefix}usage" (
  key text COLLATE "C" PRIMARY KEY,
  uses_0 bigint NOT NULL,
  last_used_at_0 bigint,
  uses_1 bigint NOT NULL,
  last_used_at_1 bigint,
  last_address text
) WITH (fillfactor = 70);

CREATE TABLE "{schema}"."{prefix}usage_hours" (
  key text COLLATE "C",
  hour bigint,
  uses bigint NOT NULL,
  PRIMARY KEY (key, hour)
) WITH (fillfactor = 90);

-- Counters of shared limits: refilled if the server crashes or a replica takes its place,
-- for what is written here is not written twice.
CREATE UNLOGGED TABLE "{schema}"."{prefix}limits" (
  subject text COLLATE "C",
  kind text COLLATE "C",
  name text COLLATE "C",
  -- Of a rate: when the bucket is full again, in ticks, and the rule it was counted by.
  full_at numeric NOT NULL DEFAULT 0,
  scale numeric,
  step numeric,
  capacity numeric,
  -- Of a quota: its calendar window, and the units taken in it.
  refill text,
  period bigint NOT NULL DEFAULT 0,
  used bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (subject, kind, name)
) WITH (fillfactor = 50);

-- For people.
CREATE VIEW "{schema}"."{prefix}overview" AS
SELECT id, owner, name, environment, state, version,
  timestamptz 'epoch' + created_at * interval '1 microsecond' AS created_at,
  timestamptz 'epoch' + expires_at * interval '1 microsecond' AS expires_at
FROM "{schema}"."{prefix}keys";

-- Makes each change of a list, or says why not: `done`, `exists`, `conflict` or `full`.
--
-- The lock comes first. Each statement of a function sees what was committed when it
-- began, so those after the lock see every commit before this one.
CREATE FUNCTION "{schema}"."{prefix}commit"(changes text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list jsonb := changes::jsonb;
  change jsonb;
  start bigint;
  head bigint;
  outcomes text[] := '{}';
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  SELECT position INTO STRICT start FROM "{schema}"."{prefix}settings" WHERE one FOR UPDATE;
  head := start;
  FOR place IN 0 .. jsonb_array_length(list) - 1 LOOP
    change := list -> place;
    IF change ? 'expect' THEN
      UPDATE "{schema}"."{prefix}keys"
      SET version = (change ->> 'version')::bigint, document = change ->> 'document'
      WHERE id = change ->> 'id' AND version = (change ->> 'expect')::bigint;
      IF NOT FOUND THEN
        outcomes := outcomes || 'conflict'::text;
        CONTINUE;
      END IF;
    ELSE
      PERFORM FROM "{schema}"."{prefix}keys" WHERE id = change ->> 'id';
      IF FOUND THEN
        outcomes := outcomes || 'exists'::text;
        CONTINUE;
      END IF;
      IF change ? 'cap' AND (change ->> 'cap')::bigint <= (
        SELECT count(*) FROM (
          SELECT FROM "{schema}"."{prefix}keys"
          WHERE owner = change ->> 'owner' AND state IS DISTINCT FROM 'revoked'
            AND (expires_at IS NULL OR expires_at > (change ->> 'now')::bigint)
          LIMIT (change ->> 'cap')::bigint
        ) AS live
      ) THEN
        outcomes := outcomes || 'full'::text;
        CONTINUE;
      END IF;
      INSERT INTO "{schema}"."{prefix}keys" (id, version, document)
      VALUES (change ->> 'id', (change ->> 'version')::bigint, change ->> 'document');
    END IF;
    IF change ? 'event' THEN
      head := head + 1;
      INSERT INTO "{schema}"."{prefix}log" (position, event) VALUES (head, change ->> 'event');
    END IF;
    outcomes := outcomes || 'done'::text;
  END LOOP;
  IF head > start THEN
    UPDATE "{schema}"."{prefix}settings" SET position = head WHERE one;
    PERFORM pg_notify('{channel}', '');
  END IF;
  RETURN array_to_string(outcomes, ',');
END $$;

-- Calls the roll of nodes: removes the rows that are as they were, notes a beat, and gives
-- the epoch, the row that beat, and every row.
--
-- The epoch is another after each switch of heartbeats, a promotion, a restart, and when
-- the tables were made anew: whatever loses rows that were acknowledged is one of these.
CREATE FUNCTION "{schema}"."{prefix}roll_call"(beat text, gone text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asked jsonb := beat::jsonb;
  own "{schema}"."{prefix}nodes";
  switched bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'a replica calls no roll' USING ERRCODE = 'read_only_sql_transaction';
  END IF;
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  DELETE FROM "{schema}"."{prefix}nodes" AS old
  USING jsonb_to_recordset(gone::jsonb) AS lapsed (node text, beats bigint)
  WHERE old.node = lapsed.node AND old.beats = lapsed.beats;
  IF asked ? 'node' THEN
    UPDATE "{schema}"."{prefix}nodes" AS kept
    SET beats = kept.beats + 1, position = (asked ->> 'position')::bigint,
      lapses_after = (asked ->> 'lapses_after')::bigint
    WHERE kept.node = asked ->> 'node' AND kept.beats = (asked ->> 'beats')::bigint
    RETURNING * INTO own;
  ELSIF asked ? 'lapses_after' THEN
    INSERT INTO "{schema}"."{prefix}nodes"
    VALUES (gen_random_uuid()::text, 0, 0, (asked ->> 'lapses_after')::bigint)
    RETURNING * INTO own;
  END IF;
  SELECT heartbeats INTO STRICT switched FROM "{schema}"."{prefix}settings" WHERE one;
  RETURN jsonb_build_object(
    'epoch', CASE WHEN switched % 2 = 1 THEN concat_ws('/', switched,
      left(pg_walfile_name(pg_current_wal_lsn()), 8),
      extract(epoch FROM pg_postmaster_start_time()),
      '"{schema}"."{prefix}nodes"'::regclass::oid) END,
    'own', CASE WHEN own.node IS NOT NULL THEN to_jsonb(own) END,
    'nodes', (SELECT coalesce(jsonb_agg(to_jsonb(here)), '[]')
      FROM "{schema}"."{prefix}nodes" AS here));
END $$;

-- Adds uses, by key and by key and hour, each once in a list. A use may be lost in a crash.
CREATE FUNCTION "{schema}"."{prefix}add_usage"(keys text, hours text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  -- In one order everywhere, so that no two flushes wait for each other.
  INSERT INTO "{schema}"."{prefix}usage" AS kept
  SELECT * FROM jsonb_to_recordset(keys::jsonb) AS new (
    key text, uses_0 bigint, last_used_at_0 bigint, uses_1 bigint, last_used_at_1 bigint,
    last_address text
  ) ORDER BY key COLLATE "C"
  ON CONFLICT (key) DO UPDATE SET
    uses_0 = least(kept.uses_0::numeric + excluded.uses_0, 9223372036854775807),
    uses_1 = least(kept.uses_1::numeric + excluded.uses_1, 9223372036854775807),
    last_used_at_0 = greatest(kept.last_used_at_0, excluded.last_used_at_0),
    last_used_at_1 = greatest(kept.last_used_at_1, excluded.last_used_at_1),
    last_address = CASE WHEN coalesce(
        greatest(excluded.last_used_at_0, excluded.last_used_at_1)
          > greatest(kept.last_used_at_0, kept.last_used_at_1),
        greatest(excluded.last_used_at_0, excluded.last_used_at_1) IS NOT NULL)
      THEN excluded.last_address ELSE kept.last_address END;
  INSERT INTO "{schema}"."{prefix}usage_hours" AS kept
  SELECT * FROM jsonb_to_recordset(hours::jsonb) AS new (key text, hour bigint, uses bigint)
  ORDER BY key COLLATE "C", hour
  ON CONFLICT (key, hour) DO UPDATE SET
    uses = least(kept.uses::numeric + excluded.uses, 9223372036854775807);
  -- Only the 31 days before the newest hour are shown.
  DELETE FROM "{schema}"."{prefix}usage_hours" AS old USING (
    SELECT key, max(hour) - 2678400000000 AS since
    FROM jsonb_to_recordset(hours::jsonb) AS new (key text, hour bigint) GROUP BY key
  ) AS new
  WHERE old.key = new.key AND old.hour <= new.since;
END $$;

-- The number of the calendar window, from that of 1970-01-01, in which an instant lies.
CREATE FUNCTION "{schema}"."{prefix}window_at"(refill text, micros bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT least(16777215, CASE refill
    WHEN 'hour' THEN micros / 3600000000
    WHEN 'day' THEN micros / 86400000000
    WHEN 'week' THEN (micros / 86400000000 + 3) / 7
    WHEN 'month' THEN
      date_part('year', date '1970-01-01' + (micros / 86400000000)::int)::bigint * 12 - 23640
      + date_part('month', date '1970-01-01' + (micros / 86400000000)::int)::bigint - 1
    ELSE date_part('year', date '1970-01-01' + (micros / 86400000000)::int)::bigint - 1970
  END)
$$;

-- When the window after this one starts.
CREATE FUNCTION "{schema}"."{prefix}window_end"(refill text, period bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE refill
    WHEN 'hour' THEN (period + 1) * 3600000000
    WHEN 'day' THEN (period + 1) * 86400000000
    WHEN 'week' THEN ((period + 1) * 7 - 3) * 86400000000
    WHEN 'month' THEN 86400000000 * (make_date(
      (1970 + (period + 1) / 12)::int, ((period + 1) % 12 + 1)::int, 1)
      - date '1970-01-01')::bigint
    ELSE 86400000000 * (make_date((1971 + period)::int, 1, 1) - date '1970-01-01')::bigint
  END
$$;

-- Takes each charge of a list or none, by the server's clock, and says `taken`, or
-- `denied`, the place of the charge without room, the microseconds until it has room if
-- it ever has, and when a quota starts anew.
--
-- Counters of edited limits go on by the new rule even if nothing is taken: else the wait
-- for them would begin anew with each attempt.
CREATE FUNCTION "{schema}"."{prefix}take"(charges text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list jsonb := charges::jsonb;
  charge jsonb;
  counter "{schema}"."{prefix}limits";
  counters "{schema}"."{prefix}limits"[] := '{}';
  carried "{schema}"."{prefix}limits"[] := '{}';
  slots jsonb := '{}';
  slot int;
  touched int[] := '{}';
  answer text := 'taken';
  cost numeric;
  now_micros bigint;
  now_ticks numeric;
  starts numeric;
  latest numeric;
  ends bigint;
BEGIN
  -- What is missing first, then the locks, each in one order everywhere: so no two calls
  -- wait for each other.
  INSERT INTO "{schema}"."{prefix}limits" (subject, kind, name)
  SELECT DISTINCT subject COLLATE "C", kind COLLATE "C", name COLLATE "C"
  FROM jsonb_to_recordset(list) AS new (subject text, kind text, name text)
  ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING;
  FOR counter IN
    SELECT kept.* FROM "{schema}"."{prefix}limits" AS kept
    WHERE (kept.subject, kept.kind, kept.name) IN (
      SELECT subject, kind, name
      FROM jsonb_to_recordset(list) AS new (subject text, kind text, name text)
    ) ORDER BY kept.subject, kept.kind, kept.name FOR UPDATE OF kept
  LOOP
    counters := counters || counter;
    slots := slots || jsonb_build_object(
      jsonb_build_array(counter.subject, counter.kind, counter.name)::text,
      cardinality(counters));
  END LOOP;
  now_micros := greatest(floor(extract(epoch FROM clock_timestamp())::numeric * 1000000), 0);
  FOR place IN 0 .. jsonb_array_length(list) - 1 LOOP
    charge := list -> place;
    cost := charge ->> 'cost';
    slot := slots ->> jsonb_build_array(
      charge -> 'subject', charge -> 'kind', charge -> 'name')::text;
    IF slot IS NULL THEN
      RAISE EXCEPTION 'a counter was dropped meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    counter := counters[slot];
    IF counter.kind = 'rate' THEN
      now_ticks := now_micros * (charge ->> 'scale')::numeric;
      IF (counter.scale, counter.step, counter.capacity) IS DISTINCT FROM (
        (charge ->> 'scale')::numeric, (charge ->> 'step')::numeric,
        (charge ->> 'capacity')::numeric)
      THEN
        IF counter.scale IS NOT NULL THEN
          -- An edited limit has as long a wait as before, at most an empty bucket.
          counter.full_at := least(
            ceil(counter.full_at * (charge ->> 'scale')::numeric / counter.scale),
            now_ticks + (charge ->> 'capacity')::numeric);
        END IF;
        counter.scale := charge ->> 'scale';
        counter.step := charge ->> 'step';
        counter.capacity := charge ->> 'capacity';
        IF slot <> ALL (touched) THEN
          carried := carried || counter;
        END IF;
      END IF;
      IF cost > 0 THEN
        IF cost * counter.step > counter.capacity THEN
          answer := concat_ws(',', 'denied', place);
          EXIT;
        END IF;
        latest := now_ticks + counter.capacity - cost * counter.step;
        starts := greatest(counter.full_at, now_ticks);
        IF starts > latest THEN
          answer := concat_ws(',', 'denied', place, ceil((starts - latest) / counter.scale));
          EXIT;
        END IF;
        counter.full_at := starts + cost * counter.step;
      END IF;
    ELSE
      IF "{schema}"."{prefix}window_at"(coalesce(counter.refill, charge ->> 'refill'), now_micros)
        > counter.period
      THEN
        counter.period := "{schema}"."{prefix}window_at"(
          coalesce(counter.refill, charge ->> 'refill'), now_micros);
        counter.used := 0;
      END IF;
      IF counter.refill IS DISTINCT FROM charge ->> 'refill' THEN
        IF counter.refill IS NOT NULL THEN
          -- An edited quota keeps what was used, in the window that holds the later of
          -- now and the start of the old one.
          ends := "{schema}"."{prefix}window_end"(counter.refill, counter.period - 1);
          counter.period := "{schema}"."{prefix}window_at"(
            charge ->> 'refill', greatest(now_micros, ends));
        END IF;
        counter.refill := charge ->> 'refill';
        IF slot <> ALL (touched) THEN
          carried := carried || counter;
        END IF;
      END IF;
      IF cost > 0 THEN
        ends := "{schema}"."{prefix}window_end"(counter.refill, counter.period);
        IF cost > (charge ->> 'limit')::numeric THEN
          answer := concat_ws(',', 'denied', place, '', ends);
          EXIT;
        ELSIF counter.used + cost > (charge ->> 'limit')::numeric THEN
          answer := concat_ws(',', 'denied', place, greatest(ends - now_micros, 0), ends);
          EXIT;
        END IF;
        counter.used := counter.used + cost;
      END IF;
    END IF;
    counters[slot] := counter;
    touched := touched || slot;
  END LOOP;
  IF answer <> 'taken' THEN
    counters := carried;
  END IF;
  FOREACH counter IN ARRAY counters LOOP
    UPDATE "{schema}"."{prefix}limits" AS kept
    SET full_at = counter.full_at, scale = counter.scale, step = counter.step,
      capacity = counter.capacity, refill = counter.refill, period = counter.period,
      used = counter.used
    WHERE kept.subject = counter.subject AND kept.kind = counter.kind
      AND kept.name = counter.name;
  END LOOP;
  RETURN answer;
END $$;

CREATE TABLE "{schema}"."{prefix}migrations" (
  version int PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO "{schema}"."{prefix}migrations" (version) VALUES (1);
