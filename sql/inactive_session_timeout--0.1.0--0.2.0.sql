-- inactive_session_timeout: from 0.1.0 to 0.2.0.
--
-- Nothing in the database changes so far; the library does.

\echo Use "ALTER EXTENSION inactive_session_timeout UPDATE TO '0.2.0'" to load this file. \quit
