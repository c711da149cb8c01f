-- inactive_session_timeout 0.2.0: the install script.
--
-- Everything is in the schema session_timeout, which is made here: a schema of that name that is there already is
-- refused, not adopted. Names are qualified throughout. Nothing is granted to PUBLIC beyond what reveals nothing; what
-- the extension's owner and the database's owner get is at the end.

\echo Use "CREATE EXTENSION inactive_session_timeout" to load this file. \quit

CREATE SCHEMA session_timeout;
COMMENT ON SCHEMA session_timeout IS 'inactive_session_timeout: logs out sessions that have been idle too long';

------------------------------------------------------------------------------------------------------------------------
-- Parameters
------------------------------------------------------------------------------------------------------------------------

CREATE TABLE session_timeout.config_parameter (
    id          integer     NOT NULL PRIMARY KEY,
    key         text        COLLATE "C" NOT NULL,
    value       text        NOT NULL,
    create_uid  integer,
    create_date timestamptz,
    write_uid   integer,
    write_date  timestamptz,
    CONSTRAINT config_parameter_key_key UNIQUE (key)
);
COMMENT ON TABLE session_timeout.config_parameter IS
    'Parameters, in the form of Odoo''s ir.config_parameter. A change takes effect at its commit, at the next check of '
    'every session. A deleted row means its default. A value that does not parse, and an unknown key with the prefix '
    'inactive_session_time_out_, are refused (22023); other keys are stored as they are, with a warning where one is '
    'almost that of a parameter.';
COMMENT ON COLUMN session_timeout.config_parameter.id IS 'Number of the row; means nothing';
COMMENT ON COLUMN session_timeout.config_parameter.key IS 'Name of the parameter';
COMMENT ON COLUMN session_timeout.config_parameter.value IS
    'Its value; a time is a number of seconds or an interval such as "15 minutes" (a month is 30 days)';
COMMENT ON COLUMN session_timeout.config_parameter.create_uid IS 'For the application: the user who created the row';
COMMENT ON COLUMN session_timeout.config_parameter.create_date IS 'When the row was created';
COMMENT ON COLUMN session_timeout.config_parameter.write_uid IS 'For the application: the user who last wrote the row';
COMMENT ON COLUMN session_timeout.config_parameter.write_date IS
    'When the row was last written; NULL while it is as the install script made it';

CREATE SEQUENCE session_timeout.config_parameter_id_seq AS integer OWNED BY session_timeout.config_parameter.id;
COMMENT ON SEQUENCE session_timeout.config_parameter_id_seq IS 'Numbers of config_parameter rows';
ALTER TABLE session_timeout.config_parameter
    ALTER COLUMN id SET DEFAULT pg_catalog.nextval('session_timeout.config_parameter_id_seq');

INSERT INTO session_timeout.config_parameter (key, value, create_date) VALUES
    ('inactive_session_time_out_delay', '7200', pg_catalog.now()),
    ('inactive_session_time_out_ignored_url',
     '/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket', pg_catalog.now()),
    ('inactive_session_time_out_ignored_url_mode', 'skip_check', pg_catalog.now()),
    ('inactive_session_time_out_absolute_delay', '0', pg_catalog.now()),
    ('inactive_session_time_out_warning', '300', pg_catalog.now()),
    ('inactive_session_time_out_flush_interval', '60', pg_catalog.now()),
    ('inactive_session_time_out_notices', 'on', pg_catalog.now()),
    ('inactive_session_time_out_purge_interval', '60', pg_catalog.now()),
    ('inactive_session_time_out_event_retention', '30 days', pg_catalog.now());

-- A dump carries the rows that somebody has written; a restore puts them over those made here (see the trigger).
SELECT pg_catalog.pg_extension_config_dump('session_timeout.config_parameter', 'WHERE write_date IS NOT NULL');

------------------------------------------------------------------------------------------------------------------------
-- Sessions
------------------------------------------------------------------------------------------------------------------------

-- No index on activity, and room on the pages: writing activity down stays a HOT update.
CREATE TABLE session_timeout.session (
    digest         bytea       NOT NULL PRIMARY KEY,
    user_name      text        COLLATE "C",
    opened_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_activity  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    idle_delay     interval,
    absolute_delay interval,
    version        bigint      NOT NULL,
    CONSTRAINT session_digest_is_sha256 CHECK (pg_catalog.octet_length(digest) OPERATOR(pg_catalog.=) 32),
    CONSTRAINT session_user_name_length CHECK (pg_catalog.octet_length(user_name) OPERATOR(pg_catalog.<=) 1024),
    CONSTRAINT session_opened_at_finite CHECK (pg_catalog.isfinite(opened_at)),
    CONSTRAINT session_idle_delay_positive CHECK (idle_delay OPERATOR(pg_catalog.>) interval '0'),
    CONSTRAINT session_absolute_delay_positive CHECK (absolute_delay OPERATOR(pg_catalog.>) interval '0')
) WITH (fillfactor = 80);
COMMENT ON TABLE session_timeout.session IS
    'Sessions that are open, or past a limit and not yet purged. A row inserted, changed or deleted by hand counts as '
    'what the functions do: at commit, for the next check. With the library preloaded, newer activity may be in memory: '
    'see active_session.';
COMMENT ON COLUMN session_timeout.session.digest IS 'SHA-256 of the session id''s bytes, as session_digest() makes it';
COMMENT ON COLUMN session_timeout.session.user_name IS 'Whose session it is, as the application said at login';
COMMENT ON COLUMN session_timeout.session.opened_at IS 'When it was opened, or last re-authenticated';
COMMENT ON COLUMN session_timeout.session.last_activity IS
    'When it was last used by a request that counted, as far as it is written down; may be set by hand, backwards too';
COMMENT ON COLUMN session_timeout.session.idle_delay IS 'Its own idle limit, positive; can only shorten the parameter''s';
COMMENT ON COLUMN session_timeout.session.absolute_delay IS
    'Its own absolute limit, positive; can only shorten the parameter''s';
COMMENT ON COLUMN session_timeout.session.version IS
    'Tells one opening of a session from the next; set by the extension, whatever is written';

CREATE INDEX session_user_name_idx ON session_timeout.session (user_name) WHERE user_name IS NOT NULL;
COMMENT ON INDEX session_timeout.session_user_name_idx IS 'For close_user_sessions()';

-- Of no column, so that TRUNCATE with RESTART IDENTITY does not begin it anew: a version never comes again.
CREATE SEQUENCE session_timeout.session_version_seq;
COMMENT ON SEQUENCE session_timeout.session_version_seq IS 'Versions of sessions';

CREATE TABLE session_timeout.session_event (
    id            bigint      NOT NULL PRIMARY KEY,
    at            timestamptz NOT NULL,
    digest        bytea       NOT NULL,
    user_name     text        COLLATE "C",
    kind          text        COLLATE "C" NOT NULL,
    last_activity timestamptz NOT NULL,
    CONSTRAINT session_event_kind CHECK (
        kind OPERATOR(pg_catalog.=) ANY (ARRAY['idle_expired', 'absolute_expired', 'closed', 'revoked']))
);
COMMENT ON TABLE session_timeout.session_event IS
    'One row for each session that ended, kept for the time of inactive_session_time_out_event_retention';
COMMENT ON COLUMN session_timeout.session_event.id IS 'Number of the event; gaps are normal';
COMMENT ON COLUMN session_timeout.session_event.at IS 'When the end was found or done, by the wall clock';
COMMENT ON COLUMN session_timeout.session_event.digest IS 'SHA-256 of the session id';
COMMENT ON COLUMN session_timeout.session_event.user_name IS 'Whose session it was';
COMMENT ON COLUMN session_timeout.session_event.kind IS
    'idle_expired, absolute_expired, closed (close_session, or a row deleted by hand), revoked (close_user_sessions)';
COMMENT ON COLUMN session_timeout.session_event.last_activity IS 'Its last activity';

CREATE SEQUENCE session_timeout.session_event_id_seq OWNED BY session_timeout.session_event.id;
COMMENT ON SEQUENCE session_timeout.session_event_id_seq IS 'Numbers of session_event rows';
ALTER TABLE session_timeout.session_event
    ALTER COLUMN id SET DEFAULT pg_catalog.nextval('session_timeout.session_event_id_seq');

------------------------------------------------------------------------------------------------------------------------
-- Triggers, for what is written by hand. The functions below write without firing them, and do the same themselves.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.parameter_before_write() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_parameter_before_write';
COMMENT ON FUNCTION session_timeout.parameter_before_write() IS
    'Refuses values that do not parse and unknown keys of ours (22023, with a hint that names what is allowed); keeps '
    'create_date and write_date; lets an inserted row take the place of one that the install script made and nobody has '
    'written since';
CREATE TRIGGER parameter_before_write BEFORE INSERT OR UPDATE ON session_timeout.config_parameter
    FOR EACH ROW EXECUTE FUNCTION session_timeout.parameter_before_write();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_before_write;

CREATE FUNCTION session_timeout.parameter_after_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_parameter_after_change';
COMMENT ON FUNCTION session_timeout.parameter_after_change() IS 'Makes every backend read the parameters anew at commit';
-- For each row, as rows that replication brings fire nothing else.
CREATE TRIGGER parameter_after_change AFTER INSERT OR UPDATE OR DELETE ON session_timeout.config_parameter
    FOR EACH ROW EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_change;
CREATE TRIGGER parameter_after_truncate AFTER TRUNCATE ON session_timeout.config_parameter
    FOR EACH STATEMENT EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_truncate;

CREATE FUNCTION session_timeout.session_before_write() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_before_write';
COMMENT ON FUNCTION session_timeout.session_before_write() IS
    'Gives a new version to a new row and to every change of clocks, limits or digest; waits for a revocation of the '
    'user that is in flight';
CREATE TRIGGER session_before_write BEFORE INSERT OR UPDATE ON session_timeout.session
    FOR EACH ROW EXECUTE FUNCTION session_timeout.session_before_write();
ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_write;

CREATE FUNCTION session_timeout.session_after_delete() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_after_delete';
COMMENT ON FUNCTION session_timeout.session_after_delete() IS
    'Writes the event and the notice of a row deleted by hand; of one that replication deletes, which has been told of '
    'where it happened, nothing';
CREATE TRIGGER session_after_delete AFTER DELETE ON session_timeout.session
    FOR EACH ROW EXECUTE FUNCTION session_timeout.session_after_delete();
ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_after_delete;

CREATE FUNCTION session_timeout.session_before_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_before_truncate';
COMMENT ON FUNCTION session_timeout.session_before_truncate() IS
    'Writes the events and notices of all rows before a TRUNCATE';
CREATE TRIGGER session_before_truncate BEFORE TRUNCATE ON session_timeout.session
    FOR EACH STATEMENT EXECUTE FUNCTION session_timeout.session_before_truncate();
ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_truncate;

------------------------------------------------------------------------------------------------------------------------
-- Checks
------------------------------------------------------------------------------------------------------------------------

CREATE TYPE session_timeout.verdict AS (
    valid         boolean,
    status        text,
    user_name     text,
    opened_at     timestamptz,
    last_activity timestamptz,
    expires_at    timestamptz,
    expires_in    interval,
    warn          boolean
);
COMMENT ON TYPE session_timeout.verdict IS
    'What a check found. status: active, ignored (valid, on an ignored URL), idle_expired, absolute_expired, closed '
    '(while that is still known), unknown. expires_at and expires_in are NULL with no limit in force; expires_in is '
    'negative once past; warn is true from inactive_session_time_out_warning before the end on. All but valid, status '
    'and warn are NULL where there is no such session.';
COMMENT ON COLUMN session_timeout.verdict.valid IS 'Whether the request may go on';
COMMENT ON COLUMN session_timeout.verdict.status IS
    'active, ignored (valid, on an ignored URL), idle_expired, absolute_expired, closed (while that is still known), unknown';
COMMENT ON COLUMN session_timeout.verdict.user_name IS 'Whose session it is';
COMMENT ON COLUMN session_timeout.verdict.opened_at IS 'When it was opened, or opened again';
COMMENT ON COLUMN session_timeout.verdict.last_activity IS 'Its last activity, this request included where it counts';
COMMENT ON COLUMN session_timeout.verdict.expires_at IS
    'When it ends if no further request counts, by the earlier of its limits; NULL with no limit in force';
COMMENT ON COLUMN session_timeout.verdict.expires_in IS 'How long that is from now; negative once past';
COMMENT ON COLUMN session_timeout.verdict.warn IS 'True from inactive_session_time_out_warning before the end on';

CREATE FUNCTION session_timeout.check_session(sid text, url text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_check_session';
COMMENT ON FUNCTION session_timeout.check_session(text, text) IS
    'Whether the session is valid for a request to this URL; the request counts as activity unless the URL is ignored. '
    'NULL or empty sid: false. NULL url: a request that counts. 22023: a sid of more than 1024 bytes. Sees the newest '
    'commit in every isolation level, and never waits for a row. With the library preloaded it writes no table, whether '
    'the transaction commits or not, takes no heavyweight lock where the session is in memory, and costs a hash and a '
    'look into shared memory; else one index look-up, during which it may wait for DDL on the table. Without, it costs '
    'that look-up, a row update where activity is older than a hundredth of the delay (60 s at most) and a deletion '
    'where it finds the session expired, as part of the caller''s transaction; in a read-only one nothing is written.';

CREATE FUNCTION session_timeout.session_verdict(sid text, url text DEFAULT NULL) RETURNS session_timeout.verdict
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_session_verdict';
COMMENT ON FUNCTION session_timeout.session_verdict(text, text) IS
    'The same check as check_session(), with its reason. NULL or empty sid: status unknown. 22023: a sid of more than '
    '1024 bytes. After a touch the fields show the new activity.';

CREATE FUNCTION session_timeout.peek_session(sid text) RETURNS session_timeout.verdict
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_peek_session';
COMMENT ON FUNCTION session_timeout.peek_session(text) IS
    'Looks at a session: touches nothing, expires nothing. Says idle_expired or absolute_expired of a session past its '
    'limit that nobody has expired yet. NULL or empty sid: status unknown. 22023: a sid of more than 1024 bytes.';

CREATE FUNCTION session_timeout.session_digest(sid text) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ist_session_digest';
COMMENT ON FUNCTION session_timeout.session_digest(text) IS
    'SHA-256 of the session id''s bytes in the database''s encoding, 32 bytes, for joins with session and session_event. '
    'NULL: NULL. 22023: a sid of more than 1024 bytes.';

------------------------------------------------------------------------------------------------------------------------
-- The life of a session
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.open_session(
    sid text, user_name text DEFAULT NULL, idle_delay interval DEFAULT NULL, absolute_delay interval DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_open_session';
COMMENT ON FUNCTION session_timeout.open_session(text, text, interval, interval) IS
    'At login. Opening an open sid again is a re-authentication: both clocks restart, user and limits are replaced. Its '
    'own limits can only shorten what the parameters allow, and count where those are off. 22023: a NULL, empty or '
    'over-long sid (1024 bytes), an over-long user name (1024 bytes), a limit that is not positive. 25006: a read-only '
    'transaction. Part of the caller''s transaction. Locks the session''s row; waits for another open, close or rotation '
    'of the same sid and for a close_user_sessions() of the same user that are in flight.';

CREATE FUNCTION session_timeout.close_session(sid text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_close_session';
COMMENT ON FUNCTION session_timeout.close_session(text) IS
    'At logout: true where the session was open, also past its deadline. NULL or empty sid: false. 22023: a sid of more '
    'than 1024 bytes. 25006: a read-only transaction. Part of the caller''s transaction. Locks the session''s row, '
    'waiting for others.';

CREATE FUNCTION session_timeout.close_user_sessions(user_name text, except_sid text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_close_user_sessions';
COMMENT ON FUNCTION session_timeout.close_user_sessions(text, text) IS
    'Closes all sessions of a user, but for one where except_sid says which: how many. Logins of that user in flight are '
    'waited for, later ones wait for the end of this transaction. NULL user: 0. 22023: an over-long name or sid (1024 '
    'bytes). 25006: a read-only transaction. Part of the caller''s transaction. Locks the rows, waiting for others.';

CREATE FUNCTION session_timeout.rotate_session(old_sid text, new_sid text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_rotate_session';
COMMENT ON FUNCTION session_timeout.rotate_session(text, text) IS
    'Moves a session to a new sid, keeping both clocks, user and limits: true, or false where old_sid is not valid. NULL '
    'or empty sid: false. 23505: a session is open under new_sid. 22023: a sid of more than 1024 bytes. 25006: a '
    'read-only transaction. Part of the caller''s transaction. Locks the row, waiting for others.';

------------------------------------------------------------------------------------------------------------------------
-- Maintenance
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.purge_sessions() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_purge_sessions';
COMMENT ON FUNCTION session_timeout.purge_sessions() IS
    'Deletes every session that is past a limit, with its event and notice, and the events older than the retention: how '
    'many sessions. Rows that others have locked are left for next time. Where no worker comes, it also sets clocks of '
    'sessions to now that lie in the future. 25006: a read-only transaction. Reads the whole table. Part of the caller''s '
    'transaction.';

CREATE FUNCTION session_timeout.flush_sessions() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_flush_sessions';
COMMENT ON FUNCTION session_timeout.flush_sessions() IS
    'Writes activity that is only in memory to the rows: how many. Without the library preloaded there is none: 0.';

------------------------------------------------------------------------------------------------------------------------
-- Parameters, as Odoo's methods of the same names
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.get_param(key text, default_value text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_get_param';
COMMENT ON FUNCTION session_timeout.get_param(text, text) IS
    'The value of the parameter''s row as last committed, else default_value. NULL key: default_value.';

CREATE FUNCTION session_timeout.set_param(key text, value text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_set_param';
COMMENT ON FUNCTION session_timeout.set_param(text, text) IS
    'Writes a parameter''s row and returns its old value, NULL where it had none. NULL value: deletes the row. 22023: a '
    'NULL key, an unknown key of ours, a value that does not parse. 25006: a read-only transaction. Part of the caller''s '
    'transaction. Locks the row, waiting for others.';

------------------------------------------------------------------------------------------------------------------------
-- Views
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.session_outlook(
    digest bytea, version bigint, opened_at timestamptz, row_activity timestamptz,
    idle_delay interval, absolute_delay interval,
    OUT status text, OUT last_activity timestamptz, OUT expires_at timestamptz, OUT expires_in interval,
    OUT warn boolean
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_session_outlook';
COMMENT ON FUNCTION session_timeout.session_outlook(bytea, bigint, timestamptz, timestamptz, interval, interval) IS
    'How the session of a row stands now, with the activity and the mark that are only in memory. For the view '
    'active_session. NULL digest or version: NULL. Cost: one look into shared memory.';

CREATE VIEW session_timeout.active_session AS
    SELECT s.digest, s.user_name, s.opened_at, o.last_activity, o.expires_at, o.expires_in, o.warn
    FROM session_timeout.session AS s
    CROSS JOIN LATERAL session_timeout.session_outlook(
        s.digest, s.version, s.opened_at, s.last_activity, s.idle_delay, s.absolute_delay) AS o
    WHERE o.status OPERATOR(pg_catalog.=) 'active';
COMMENT ON VIEW session_timeout.active_session IS 'The sessions that are valid now, with when each ends';
COMMENT ON COLUMN session_timeout.active_session.digest IS 'SHA-256 of the session id';
COMMENT ON COLUMN session_timeout.active_session.user_name IS 'Whose session it is';
COMMENT ON COLUMN session_timeout.active_session.opened_at IS 'When it was opened, or last re-authenticated';
COMMENT ON COLUMN session_timeout.active_session.last_activity IS 'When it was last used by a request that counted';
COMMENT ON COLUMN session_timeout.active_session.expires_at IS 'When it ends if nothing more happens; NULL: never';
COMMENT ON COLUMN session_timeout.active_session.expires_in IS 'How long that is from now; NULL: it does not end';
COMMENT ON COLUMN session_timeout.active_session.warn IS
    'Whether it ends within the time of inactive_session_time_out_warning';

CREATE FUNCTION session_timeout.counters(
    OUT preloaded boolean, OUT entries bigint, OUT capacity bigint,
    OUT checks bigint, OUT hits bigint, OUT loads bigint, OUT touches bigint, OUT ignored bigint,
    OUT idle_expired bigint, OUT absolute_expired bigint, OUT closed bigint, OUT unknown bigint,
    OUT in_flux bigint, OUT registry_full bigint, OUT lost_touches bigint
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_counters';
COMMENT ON FUNCTION session_timeout.counters() IS 'For the view stat_session_timeout';

CREATE VIEW session_timeout.stat_session_timeout AS
    SELECT c.*, c.in_flux AS invalidating FROM session_timeout.counters() AS c;
COMMENT ON VIEW session_timeout.stat_session_timeout IS
    'What the checks of all databases did since the server started, and how full the registry is. One row. Without the '
    'library preloaded nothing is counted: all is NULL but preloaded.';
COMMENT ON COLUMN session_timeout.stat_session_timeout.preloaded IS 'Whether the library is preloaded';
COMMENT ON COLUMN session_timeout.stat_session_timeout.entries IS 'Sessions in the registry';
COMMENT ON COLUMN session_timeout.stat_session_timeout.capacity IS 'Sessions that it has room for';
COMMENT ON COLUMN session_timeout.stat_session_timeout.checks IS 'Checks, peeks not counted';
COMMENT ON COLUMN session_timeout.stat_session_timeout.hits IS 'Checks that the registry answered at once';
COMMENT ON COLUMN session_timeout.stat_session_timeout.loads IS 'Rows loaded into the registry';
COMMENT ON COLUMN session_timeout.stat_session_timeout.touches IS 'Checks that answered active';
COMMENT ON COLUMN session_timeout.stat_session_timeout.ignored IS 'Checks that answered ignored';
COMMENT ON COLUMN session_timeout.stat_session_timeout.idle_expired IS 'Checks that answered idle_expired';
COMMENT ON COLUMN session_timeout.stat_session_timeout.absolute_expired IS 'Checks that answered absolute_expired';
COMMENT ON COLUMN session_timeout.stat_session_timeout.closed IS 'Checks that answered closed';
COMMENT ON COLUMN session_timeout.stat_session_timeout.unknown IS 'Checks that answered unknown';
COMMENT ON COLUMN session_timeout.stat_session_timeout.in_flux IS 'The old name of invalidating; goes with 0.3.0';
COMMENT ON COLUMN session_timeout.stat_session_timeout.registry_full IS
    'Checks that the row answered, as the registry was full';
COMMENT ON COLUMN session_timeout.stat_session_timeout.lost_touches IS
    'Requests whose activity was not recorded, as no entry was there to take it';
COMMENT ON COLUMN session_timeout.stat_session_timeout.invalidating IS
    'Checks that the row answered, because the session was being changed at that moment';

CREATE FUNCTION session_timeout.worker_state(
    database oid,
    OUT pid integer, OUT last_pass timestamptz, OUT next_flush timestamptz, OUT next_purge timestamptz,
    OUT flushed bigint, OUT expired bigint, OUT purged bigint, OUT failures bigint, OUT last_error text,
    OUT workers_refused bigint
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_worker_state';
COMMENT ON FUNCTION session_timeout.worker_state(oid) IS 'For the view stat_worker';

CREATE VIEW session_timeout.stat_worker AS
    SELECT d.oid AS datid, d.datname, w.*
    FROM pg_catalog.pg_database AS d
    CROSS JOIN LATERAL session_timeout.worker_state(d.oid) AS w
    WHERE w.flushed IS NOT NULL;
COMMENT ON VIEW session_timeout.stat_worker IS
    'What the maintenance workers did, a row for each database that may have the extension. Empty without the library '
    'preloaded.';
COMMENT ON COLUMN session_timeout.stat_worker.datid IS 'OID of the database';
COMMENT ON COLUMN session_timeout.stat_worker.datname IS 'Name of the database';
COMMENT ON COLUMN session_timeout.stat_worker.pid IS 'The worker that is at it now, or on its way';
COMMENT ON COLUMN session_timeout.stat_worker.last_pass IS 'When the last pass ended';
COMMENT ON COLUMN session_timeout.stat_worker.next_flush IS 'From when on unwritten activity is written down';
COMMENT ON COLUMN session_timeout.stat_worker.next_purge IS 'When expired rows are looked for next';
COMMENT ON COLUMN session_timeout.stat_worker.flushed IS 'Activity written to rows, since the server started';
COMMENT ON COLUMN session_timeout.stat_worker.expired IS 'Sessions ended that a check had found expired, likewise';
COMMENT ON COLUMN session_timeout.stat_worker.purged IS 'Sessions ended that the purge found expired, likewise';
COMMENT ON COLUMN session_timeout.stat_worker.failures IS 'Passes that failed since the last that did not';
COMMENT ON COLUMN session_timeout.stat_worker.last_error IS
    'SQLSTATE of the last failure; 55P03, too, where a worker waited for a lock in vain, which is none';
COMMENT ON COLUMN session_timeout.stat_worker.workers_refused IS
    'How often in a row no worker could start, in any database, as max_worker_processes was exhausted';

------------------------------------------------------------------------------------------------------------------------
-- Privileges. An application's role needs USAGE on the schema and EXECUTE on the functions it calls, and no right on
-- the tables.
------------------------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA session_timeout FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_timeout.session_digest(text) TO PUBLIC;

GRANT USAGE ON SCHEMA session_timeout TO @extowner@, pg_database_owner WITH GRANT OPTION;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_timeout TO @extowner@, pg_database_owner WITH GRANT OPTION;
-- But for the trigger functions, which nobody needs to call: firing a trigger takes no right.
REVOKE ALL ON FUNCTION
    session_timeout.parameter_before_write(), session_timeout.parameter_after_change(),
    session_timeout.session_before_write(), session_timeout.session_after_delete(),
    session_timeout.session_before_truncate()
    FROM @extowner@, pg_database_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA session_timeout TO @extowner@, pg_database_owner WITH GRANT OPTION;
GRANT INSERT, UPDATE, DELETE, TRUNCATE ON session_timeout.config_parameter, session_timeout.session
    TO @extowner@, pg_database_owner;
GRANT SELECT, USAGE ON SEQUENCE session_timeout.config_parameter_id_seq TO @extowner@, pg_database_owner;

GRANT USAGE ON SCHEMA session_timeout TO pg_monitor;
GRANT EXECUTE ON FUNCTION session_timeout.counters(), session_timeout.worker_state(oid) TO pg_monitor;
GRANT SELECT ON session_timeout.stat_session_timeout, session_timeout.stat_worker TO pg_monitor;

------------------------------------------------------------------------------------------------------------------------
-- Tell the launcher, or warn what is missing without the library preloaded
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.announce_installation() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ist_announce_installation';
SELECT session_timeout.announce_installation();
DROP FUNCTION session_timeout.announce_installation();
