-- inactive_session_timeout: from 0.1.0 to 0.2.0.
--
-- Little changes in the database so far; the rest is in the library.

\echo Use "ALTER EXTENSION inactive_session_timeout UPDATE TO '0.2.0'" to load this file. \quit

-- TRUNCATE with RESTART IDENTITY is not to begin it anew: a version never comes again.
ALTER SEQUENCE session_timeout.session_version_seq OWNED BY NONE;

-- For each row, as rows that replication brings fire nothing else.
DROP TRIGGER parameter_after_change ON session_timeout.config_parameter;
CREATE TRIGGER parameter_after_change AFTER INSERT OR UPDATE OR DELETE ON session_timeout.config_parameter
    FOR EACH ROW EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_change;
CREATE TRIGGER parameter_after_truncate AFTER TRUNCATE ON session_timeout.config_parameter
    FOR EACH STATEMENT EXECUTE FUNCTION session_timeout.parameter_after_change();
ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_after_truncate;

COMMENT ON TABLE session_timeout.config_parameter IS
    'Parameters, in the form of Odoo''s ir.config_parameter. A change takes effect at its commit, at the next check of '
    'every session. A deleted row means its default. A value that does not parse, and an unknown key with the prefix '
    'inactive_session_time_out_, are refused (22023); other keys are stored as they are, with a warning where one is '
    'almost that of a parameter.';

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

COMMENT ON FUNCTION session_timeout.session_after_delete() IS
    'Writes the event and the notice of a row deleted by hand; of one that replication deletes, which has been told of '
    'where it happened, nothing';

COMMENT ON FUNCTION session_timeout.purge_sessions() IS
    'Deletes every session that is past a limit, with its event and notice, and the events older than the retention: how '
    'many sessions. Rows that others have locked are left for next time. Where no worker comes, it also sets clocks of '
    'sessions to now that lie in the future. 25006: a read-only transaction. Reads the whole table. Part of the caller''s '
    'transaction.';

COMMENT ON COLUMN session_timeout.stat_worker.pid IS 'The worker that is at it now, or on its way';
COMMENT ON COLUMN session_timeout.stat_worker.last_error IS
    'SQLSTATE of the last failure; 55P03, too, where a worker waited for a lock in vain, which is none';

CREATE OR REPLACE VIEW session_timeout.stat_session_timeout AS
    SELECT c.*, c.in_flux AS invalidating FROM session_timeout.counters() AS c;
COMMENT ON COLUMN session_timeout.stat_session_timeout.in_flux IS 'The old name of invalidating; goes with 0.3.0';
COMMENT ON COLUMN session_timeout.stat_session_timeout.invalidating IS
    'Checks that the row answered, because the session was being changed at that moment';

INSERT INTO session_timeout.config_parameter (key, value, create_date) VALUES
    ('inactive_session_time_out_notices', 'on', pg_catalog.now());
UPDATE session_timeout.config_parameter SET write_date = NULL WHERE key = 'inactive_session_time_out_notices';
