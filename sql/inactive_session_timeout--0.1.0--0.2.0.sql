-- inactive_session_timeout: from 0.1.0 to 0.2.0.
--
-- Only a comment changes in the database so far; the rest is in the library.

\echo Use "ALTER EXTENSION inactive_session_timeout UPDATE TO '0.2.0'" to load this file. \quit

COMMENT ON FUNCTION session_timeout.purge_sessions() IS
    'Deletes every session that is past a limit, with its event and notice, and the events older than the retention: how '
    'many sessions. Rows that others have locked are left for next time. Where no worker comes, it also sets clocks of '
    'sessions to now that lie in the future. 25006: a read-only transaction. Reads the whole table. Part of the caller''s '
    'transaction.';
