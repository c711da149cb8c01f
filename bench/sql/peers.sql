-- What people use instead, each as well as its users do it. Sessions are keyed by their id, as all of them do; the table
-- has room on its pages and no index on the time, so that updates are HOT. :first and :count are the sessions.

CREATE TABLE limits (delay interval NOT NULL, ignored text[] NOT NULL);
INSERT INTO limits VALUES ('2 hours', '{/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket}');

-- UPDATE in plpgsql. One statement reads the parameters, one touches the row.
CREATE TABLE update_session (
    sid text PRIMARY KEY, user_name text NOT NULL, opened_at timestamptz NOT NULL, last_activity timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE FUNCTION update_check(sid text, url text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    l limits;
BEGIN
    SELECT * INTO STRICT l FROM limits;
    IF url = ANY (l.ignored) THEN
        RETURN EXISTS (SELECT FROM update_session s WHERE s.sid = update_check.sid);
    END IF;
    UPDATE update_session s SET last_activity = clock_timestamp()
        WHERE s.sid = update_check.sid AND s.last_activity >= clock_timestamp() - l.delay;
    RETURN FOUND;
END
$$;

-- The same, touching only when the last touch is older than 60 s.
CREATE TABLE minute_session (LIKE update_session INCLUDING INDEXES) WITH (fillfactor = 80);
CREATE FUNCTION minute_check(sid text, url text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    l limits;
    last timestamptz;
BEGIN
    SELECT * INTO STRICT l FROM limits;
    SELECT s.last_activity INTO last FROM minute_session s WHERE s.sid = minute_check.sid;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF url = ANY (l.ignored) THEN
        RETURN true;
    END IF;
    IF last < clock_timestamp() - l.delay THEN
        RETURN false;
    END IF;
    IF last < clock_timestamp() - interval '60 s' THEN
        UPDATE minute_session s SET last_activity = clock_timestamp() WHERE s.sid = minute_check.sid;
    END IF;
    RETURN true;
END
$$;

-- UPDATE in plpgsql on a table that a crash empties.
CREATE UNLOGGED TABLE unlogged_session (LIKE update_session INCLUDING INDEXES) WITH (fillfactor = 80);
CREATE FUNCTION unlogged_check(sid text, url text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    l limits;
BEGIN
    SELECT * INTO STRICT l FROM limits;
    IF url = ANY (l.ignored) THEN
        RETURN EXISTS (SELECT FROM unlogged_session s WHERE s.sid = unlogged_check.sid);
    END IF;
    UPDATE unlogged_session s SET last_activity = clock_timestamp()
        WHERE s.sid = unlogged_check.sid AND s.last_activity >= clock_timestamp() - l.delay;
    RETURN FOUND;
END
$$;

-- The whole session in the database, read and written on each request, as OCA's session_db does.
CREATE TABLE http_sessions (
    sid varchar PRIMARY KEY, write_date timestamp without time zone NOT NULL, payload text NOT NULL
);
