-- inactive_session_timeout 0.2.0: the install script.
--
-- All objects are in the schema session_timeout, which this script creates. CREATE EXTENSION fails if a schema of that
-- name exists, so that no schema of another owner is adopted. All names are qualified. PUBLIC may only execute
-- session_digest(); the privileges of the installing role and of the database's owner are at the end.

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
    'Parameters, with the columns of Odoo''s ir.config_parameter. A change takes effect at commit, for the next check '
    'of every session. A parameter without a row has its default. An invalid value, and an unknown key with the prefix '
    'inactive_session_time_out_, are refused (22023). Other keys are stored, with a warning if the key is almost that '
    'of a parameter.';
COMMENT ON COLUMN session_timeout.config_parameter.id IS 'Surrogate key';
COMMENT ON COLUMN session_timeout.config_parameter.key IS 'Name of the parameter';
COMMENT ON COLUMN session_timeout.config_parameter.value IS
    'Value of the parameter; a time is a number of seconds or an interval such as "15 minutes" (a month is 30 days)';
COMMENT ON COLUMN session_timeout.config_parameter.create_uid IS 'User who created the row; for the application';
COMMENT ON COLUMN session_timeout.config_parameter.create_date IS 'When the row was created';
COMMENT ON COLUMN session_timeout.config_parameter.write_uid IS 'User who last wrote the row; for the application';
COMMENT ON COLUMN session_timeout.config_parameter.write_date IS
    'When the row was last written; NULL if it is unchanged since installation';

CREATE SEQUENCE session_timeout.config_parameter_id_seq AS integer OWNED BY session_timeout.config_parameter.id;
COMMENT ON SEQUENCE session_timeout.config_parameter_id_seq IS 'Values of config_parameter.id';
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

-- A dump contains the rows written since installation. On restore they replace the rows inserted above; see
-- parameter_before_write().
SELECT pg_catalog.pg_extension_config_dump('session_timeout.config_parameter', 'WHERE write_date IS NOT NULL');

------------------------------------------------------------------------------------------------------------------------
-- Sessions
------------------------------------------------------------------------------------------------------------------------

-- No index on last_activity, and free space on each page, so that a flush does HOT updates.
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
    'Open sessions, and sessions that are past a limit and not yet purged. INSERT, UPDATE and DELETE by hand have the '
    'same effect as the functions: at commit, for the next check. If the library is preloaded, shared memory may hold '
    'newer activity: see active_session.';
COMMENT ON COLUMN session_timeout.session.digest IS
    'SHA-256 of the session id''s bytes, as returned by session_digest()';
COMMENT ON COLUMN session_timeout.session.user_name IS 'User of the session, as passed to open_session()';
COMMENT ON COLUMN session_timeout.session.opened_at IS 'Time of the login or of the last re-authentication';
COMMENT ON COLUMN session_timeout.session.last_activity IS
    'Time of the last request that counted, as far as it is written to the row; may be set by hand, also backwards';
COMMENT ON COLUMN session_timeout.session.idle_delay IS
    'Idle limit of this session, greater than 0; can only shorten the parameter''s';
COMMENT ON COLUMN session_timeout.session.absolute_delay IS
    'Absolute limit of this session, greater than 0; can only shorten the parameter''s';
COMMENT ON COLUMN session_timeout.session.version IS
    'Number assigned at login and at each change of clocks, limits or digest, except by a flush; a value written by '
    'hand is ignored';

CREATE INDEX session_user_name_idx ON session_timeout.session (user_name) WHERE user_name IS NOT NULL;
COMMENT ON INDEX session_timeout.session_user_name_idx IS 'Finds the sessions of a user for close_user_sessions()';

-- Not OWNED BY a column, so that TRUNCATE ... RESTART IDENTITY does not restart it: no version is used twice.
CREATE SEQUENCE session_timeout.session_version_seq;
COMMENT ON SEQUENCE session_timeout.session_version_seq IS 'Values of session.version';

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
    'One row for each session that ended, kept for inactive_session_time_out_event_retention';
COMMENT ON COLUMN session_timeout.session_event.id IS 'Number of the event; gaps are normal';
COMMENT ON COLUMN session_timeout.session_event.at IS 'Wall-clock time at which the session was ended or found expired';
COMMENT ON COLUMN session_timeout.session_event.digest IS 'SHA-256 of the session id';
COMMENT ON COLUMN session_timeout.session_event.user_name IS 'User of the session';
COMMENT ON COLUMN session_timeout.session_event.kind IS
    'idle_expired, absolute_expired, closed (close_session(), or a row deleted by hand) or revoked '
    '(close_user_sessions())';
COMMENT ON COLUMN session_timeout.session_event.last_activity IS 'Time of the last request that counted';

CREATE SEQUENCE session_timeout.session_event_id_seq OWNED BY session_timeout.session_event.id;
COMMENT ON SEQUENCE session_timeout.session_event_id_seq IS 'Values of session_event.id';
ALTER TABLE session_timeout.session_event
    ALTER COLUMN id SET DEFAULT pg_catalog.nextval('session_timeout.session_event_id_seq');

------------------------------------------------------------------------------------------------------------------------
-- Triggers, for changes by hand. The functions below write without firing them, and do the same work themselves.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.parameter_before_write() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_parameter_before_write';
COMMENT ON FUNCTION session_timeout.parameter_before_write() IS
    'Trigger function of config_parameter. Refuses invalid values, and unknown keys with the prefix of the parameters '
    '(22023, with a hint that names what is allowed). Sets create_date and write_date. Lets an inserted row replace a '
    'row of the install script that was not written since.';
CREATE TRIGGER parameter_before_write BEFORE INSERT OR UPDATE ON session_timeout.config_parameter
    FOR EACH ROW EXECUTE FUNCTION session_timeout.parameter_before_write();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_before_write;

CREATE FUNCTION session_timeout.parameter_after_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_parameter_after_change';
COMMENT ON FUNCTION session_timeout.parameter_after_change() IS
    'Trigger function of config_parameter. Makes every backend reload the parameters at commit.';
-- FOR EACH ROW, because logical replication fires no statement triggers for INSERT, UPDATE and DELETE.
CREATE TRIGGER parameter_after_change AFTER INSERT OR UPDATE OR DELETE ON session_timeout.config_parameter
    FOR EACH ROW EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_change;
CREATE TRIGGER parameter_after_truncate AFTER TRUNCATE ON session_timeout.config_parameter
    FOR EACH STATEMENT EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_truncate;

CREATE FUNCTION session_timeout.session_before_write() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_before_write';
COMMENT ON FUNCTION session_timeout.session_before_write() IS
    'Trigger function of session. Assigns a new version to a new row and at each change of clocks, limits or digest. '
    'Waits for a concurrent close_user_sessions() of the same user.';
CREATE TRIGGER session_before_write BEFORE INSERT OR UPDATE ON session_timeout.session
    FOR EACH ROW EXECUTE FUNCTION session_timeout.session_before_write();
ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_write;

CREATE FUNCTION session_timeout.session_after_delete() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_after_delete';
COMMENT ON FUNCTION session_timeout.session_after_delete() IS
    'Trigger function of session. Writes the event and sends the notice of a row deleted by hand, but not of a row '
    'deleted by logical replication: the publisher has done so.';
CREATE TRIGGER session_after_delete AFTER DELETE ON session_timeout.session
    FOR EACH ROW EXECUTE FUNCTION session_timeout.session_after_delete();
ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_after_delete;

CREATE FUNCTION session_timeout.session_before_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'ist_session_before_truncate';
COMMENT ON FUNCTION session_timeout.session_before_truncate() IS
    'Trigger function of session. Writes the events and sends the notices of all rows before a TRUNCATE.';
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
    'Result of a check: whether the session is valid, why, and when it ends. If there is no such session, all fields '
    'except valid, status and warn are NULL.';
COMMENT ON COLUMN session_timeout.verdict.valid IS 'Whether the request may proceed';
COMMENT ON COLUMN session_timeout.verdict.status IS
    'active, ignored (valid, on an ignored URL), idle_expired, absolute_expired, closed (while that is still known) or '
    'unknown';
COMMENT ON COLUMN session_timeout.verdict.user_name IS 'User of the session';
COMMENT ON COLUMN session_timeout.verdict.opened_at IS 'Time of the login or of the last re-authentication';
COMMENT ON COLUMN session_timeout.verdict.last_activity IS
    'Time of the last request that counted, including this one if it counts';
COMMENT ON COLUMN session_timeout.verdict.expires_at IS
    'When the session ends if no further request counts, by the earlier of its limits; NULL if no limit is in force';
COMMENT ON COLUMN session_timeout.verdict.expires_in IS
    'Time from now until expires_at; negative if that is past; NULL if no limit is in force';
COMMENT ON COLUMN session_timeout.verdict.warn IS 'True from inactive_session_time_out_warning before expires_at on';

CREATE FUNCTION session_timeout.check_session(sid text, url text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_check_session';
COMMENT ON FUNCTION session_timeout.check_session(text, text) IS
    'Returns whether the session is valid for a request to this URL. The request counts as activity unless the URL is '
    'ignored. NULL or empty sid: false. NULL url: the request counts. Errors: 22023 if sid has more than 1024 bytes. '
    'Sees the newest commit in every isolation level, and never waits for a row lock. If the library is preloaded, the '
    'check writes no table, whether or not the transaction commits. If the session is in memory, it takes no '
    'heavyweight lock and costs a hash and a look-up in shared memory; otherwise it costs an index look-up, which may '
    'wait for DDL on the table. If the library is not preloaded, it costs that index look-up, an UPDATE of the row if '
    'its activity is older than a hundredth of the delay (at most 60 s), and a DELETE if the session is found expired, '
    'all as part of the caller''s transaction; a read-only transaction writes nothing.';

CREATE FUNCTION session_timeout.session_verdict(sid text, url text DEFAULT NULL) RETURNS session_timeout.verdict
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_session_verdict';
COMMENT ON FUNCTION session_timeout.session_verdict(text, text) IS
    'Performs the same check as check_session(), and returns the verdict with its reason. If the request counts, the '
    'fields show the new activity. NULL or empty sid: status unknown. Errors: 22023 if sid has more than 1024 bytes.';

CREATE FUNCTION session_timeout.peek_session(sid text) RETURNS session_timeout.verdict
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_peek_session';
COMMENT ON FUNCTION session_timeout.peek_session(text) IS
    'Returns the verdict on a session without touching or expiring it. The status of a session past a limit is '
    'idle_expired or absolute_expired even if no check has expired it yet. NULL or empty sid: status unknown. Errors: '
    '22023 if sid has more than 1024 bytes.';

CREATE FUNCTION session_timeout.session_digest(sid text) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ist_session_digest';
COMMENT ON FUNCTION session_timeout.session_digest(text) IS
    'Returns the SHA-256 of the session id''s bytes in the database encoding: 32 bytes, for joins with session and '
    'session_event. NULL sid: NULL. Errors: 22023 if sid has more than 1024 bytes.';

------------------------------------------------------------------------------------------------------------------------
-- Session lifecycle
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.open_session(
    sid text, user_name text DEFAULT NULL, idle_delay interval DEFAULT NULL, absolute_delay interval DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_open_session';
COMMENT ON FUNCTION session_timeout.open_session(text, text, interval, interval) IS
    'Opens a session at login. If sid is already open, this is a re-authentication: both clocks restart, and user and '
    'limits are replaced. idle_delay and absolute_delay can only shorten what the parameters allow, and apply even if '
    'the parameter''s limit is off. Errors: 22023 if sid is NULL or empty, if sid or user_name has more than 1024 '
    'bytes, or if a limit is not greater than 0; 25006 if the transaction is read-only. Part of the caller''s '
    'transaction. Locks the session''s row. Waits for concurrent calls that open, close or rotate the same sid, and '
    'for a close_user_sessions() of the same user.';

CREATE FUNCTION session_timeout.close_session(sid text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_close_session';
COMMENT ON FUNCTION session_timeout.close_session(text) IS
    'Closes a session at logout. Returns true if it was open, even if past its deadline. NULL or empty sid: false. '
    'Errors: 22023 if sid has more than 1024 bytes; 25006 if the transaction is read-only. Part of the caller''s '
    'transaction. Locks the session''s row, and waits for other transactions that have locked it.';

CREATE FUNCTION session_timeout.close_user_sessions(user_name text, except_sid text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_close_user_sessions';
COMMENT ON FUNCTION session_timeout.close_user_sessions(text, text) IS
    'Closes all sessions of a user, except that of except_sid. Returns how many were closed. Waits for logins of that '
    'user in other transactions; later logins wait for the end of this transaction. NULL user_name: 0. NULL '
    'except_sid: no exception. Errors: 22023 if user_name or except_sid has more than 1024 bytes; 25006 if the '
    'transaction is read-only. Part of the caller''s transaction. Locks the rows, and waits for other transactions '
    'that have locked them.';

CREATE FUNCTION session_timeout.rotate_session(old_sid text, new_sid text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_rotate_session';
COMMENT ON FUNCTION session_timeout.rotate_session(text, text) IS
    'Moves a session to a new session id, keeping both clocks, user and limits. Returns true, or false if old_sid is '
    'not valid. NULL or empty old_sid or new_sid: false. Errors: 23505 if a session is open under new_sid; 22023 if a '
    'sid has more than 1024 bytes; 25006 if the transaction is read-only. Part of the caller''s transaction. Locks the '
    'session''s row, and waits for other transactions that have locked it.';

------------------------------------------------------------------------------------------------------------------------
-- Maintenance
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.purge_sessions() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_purge_sessions';
COMMENT ON FUNCTION session_timeout.purge_sessions() IS
    'Deletes every session that is past a limit, writes its event and sends its notice, and deletes events older than '
    'the retention. Returns the number of deleted sessions. Skips rows that other transactions have locked. If no '
    'worker serves this database, also sets clocks of sessions that are in the future to now. Errors: 25006 if the '
    'transaction is read-only. Part of the caller''s transaction. Cost: reads the whole table.';

CREATE FUNCTION session_timeout.flush_sessions() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_flush_sessions';
COMMENT ON FUNCTION session_timeout.flush_sessions() IS
    'Writes activity that is only in memory to the rows. Returns the number of rows written; 0 if the library is not '
    'preloaded. Skips rows that other transactions have locked. Errors: 25006 if the library is preloaded and the '
    'transaction is read-only. Part of the caller''s transaction.';

------------------------------------------------------------------------------------------------------------------------
-- Access to parameters, like the Odoo methods of the same names
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.get_param(key text, default_value text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_get_param';
COMMENT ON FUNCTION session_timeout.get_param(text, text) IS
    'Returns the last committed value of a parameter''s row, or default_value if there is no row. NULL key: '
    'default_value.';

CREATE FUNCTION session_timeout.set_param(key text, value text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ist_set_param';
COMMENT ON FUNCTION session_timeout.set_param(text, text) IS
    'Writes a parameter''s row. Returns its old value, or NULL if there was no row. NULL value: deletes the row. '
    'Errors: 22023 if key is NULL, if key is unknown and has the prefix inactive_session_time_out_, or if value is '
    'invalid; 25006 if the transaction is read-only. Part of the caller''s transaction. Locks the row, and waits for '
    'other transactions that have locked it.';

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
    'For the view active_session: returns the current state of a row''s session, including activity and expiry that '
    'are only in memory. NULL digest or version: NULL. Cost: a look-up in shared memory.';

CREATE VIEW session_timeout.active_session AS
    SELECT s.digest, s.user_name, s.opened_at, o.last_activity, o.expires_at, o.expires_in, o.warn
    FROM session_timeout.session AS s
    CROSS JOIN LATERAL session_timeout.session_outlook(
        s.digest, s.version, s.opened_at, s.last_activity, s.idle_delay, s.absolute_delay) AS o
    WHERE o.status OPERATOR(pg_catalog.=) 'active';
COMMENT ON VIEW session_timeout.active_session IS 'Sessions that are valid now, with the time at which each ends';
COMMENT ON COLUMN session_timeout.active_session.digest IS 'SHA-256 of the session id';
COMMENT ON COLUMN session_timeout.active_session.user_name IS 'User of the session';
COMMENT ON COLUMN session_timeout.active_session.opened_at IS 'Time of the login or of the last re-authentication';
COMMENT ON COLUMN session_timeout.active_session.last_activity IS 'Time of the last request that counted';
COMMENT ON COLUMN session_timeout.active_session.expires_at IS
    'When the session ends if no further request counts; NULL if no limit is in force';
COMMENT ON COLUMN session_timeout.active_session.expires_in IS
    'Time from now until expires_at; NULL if no limit is in force';
COMMENT ON COLUMN session_timeout.active_session.warn IS
    'Whether the session ends within inactive_session_time_out_warning';

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
    'Statistics about the checks in all databases since server start, and about the use of the registry. One row. If '
    'the library is not preloaded, all columns except preloaded are NULL.';
COMMENT ON COLUMN session_timeout.stat_session_timeout.preloaded IS 'Whether the library is preloaded';
COMMENT ON COLUMN session_timeout.stat_session_timeout.entries IS 'Number of sessions in the registry';
COMMENT ON COLUMN session_timeout.stat_session_timeout.capacity IS 'Maximum number of sessions in the registry';
COMMENT ON COLUMN session_timeout.stat_session_timeout.checks IS 'Number of checks, not counting peek_session()';
COMMENT ON COLUMN session_timeout.stat_session_timeout.hits IS
    'Number of checks that the registry answered at the first attempt';
COMMENT ON COLUMN session_timeout.stat_session_timeout.loads IS 'Number of rows loaded into the registry';
COMMENT ON COLUMN session_timeout.stat_session_timeout.touches IS 'Number of checks with status active';
COMMENT ON COLUMN session_timeout.stat_session_timeout.ignored IS 'Number of checks with status ignored';
COMMENT ON COLUMN session_timeout.stat_session_timeout.idle_expired IS 'Number of checks with status idle_expired';
COMMENT ON COLUMN session_timeout.stat_session_timeout.absolute_expired IS
    'Number of checks with status absolute_expired';
COMMENT ON COLUMN session_timeout.stat_session_timeout.closed IS 'Number of checks with status closed';
COMMENT ON COLUMN session_timeout.stat_session_timeout.unknown IS 'Number of checks with status unknown';
COMMENT ON COLUMN session_timeout.stat_session_timeout.in_flux IS 'Old name of invalidating, to be removed in 0.3.0';
COMMENT ON COLUMN session_timeout.stat_session_timeout.registry_full IS
    'Number of checks answered from the row because the registry was full';
COMMENT ON COLUMN session_timeout.stat_session_timeout.lost_touches IS
    'Number of requests whose activity was not recorded because the registry had no entry for it';
COMMENT ON COLUMN session_timeout.stat_session_timeout.invalidating IS
    'Number of checks answered from the row because the session was being changed';

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
    'Statistics about the maintenance workers, one row for each database that may have the extension. Empty if the '
    'library is not preloaded.';
COMMENT ON COLUMN session_timeout.stat_worker.datid IS 'OID of the database';
COMMENT ON COLUMN session_timeout.stat_worker.datname IS 'Name of the database';
COMMENT ON COLUMN session_timeout.stat_worker.pid IS
    'Process ID of the worker that is running or starting; NULL if there is none';
COMMENT ON COLUMN session_timeout.stat_worker.last_pass IS 'When the last pass ended';
COMMENT ON COLUMN session_timeout.stat_worker.next_flush IS 'Earliest time of the next flush';
COMMENT ON COLUMN session_timeout.stat_worker.next_purge IS
    'Time of the next purge, unless sessions or parameters change before';
COMMENT ON COLUMN session_timeout.stat_worker.flushed IS
    'Number of rows to which activity was written, since server start';
COMMENT ON COLUMN session_timeout.stat_worker.expired IS
    'Number of sessions ended because a check had found them expired, since server start';
COMMENT ON COLUMN session_timeout.stat_worker.purged IS
    'Number of sessions ended because the purge found them expired, since server start';
COMMENT ON COLUMN session_timeout.stat_worker.failures IS 'Number of failed passes since the last successful one';
COMMENT ON COLUMN session_timeout.stat_worker.last_error IS
    'SQLSTATE of the last failure; also 55P03 if a worker gave up waiting for a lock, which is not counted as a '
    'failure';
COMMENT ON COLUMN session_timeout.stat_worker.workers_refused IS
    'Number of consecutive times that no worker could be started, in any database, because max_worker_processes was '
    'exhausted';

------------------------------------------------------------------------------------------------------------------------
-- Privileges. An application's role needs USAGE on the schema and EXECUTE on the functions that it calls, and no
-- privilege on the tables.
------------------------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA session_timeout FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_timeout.session_digest(text) TO PUBLIC;

GRANT USAGE ON SCHEMA session_timeout TO @extowner@, pg_database_owner WITH GRANT OPTION;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA session_timeout TO @extowner@, pg_database_owner WITH GRANT OPTION;
-- Except the trigger functions, which nobody needs to call: firing a trigger requires no privilege on its function.
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
-- Wake the launcher, or warn if the library is not preloaded
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION session_timeout.announce_installation() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ist_announce_installation';
SELECT session_timeout.announce_installation();
DROP FUNCTION session_timeout.announce_installation();
