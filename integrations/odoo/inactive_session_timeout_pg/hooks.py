"""Installing and uninstalling: the extension, the trigger that keeps parameters in step, and the parameters."""

import logging
import math
import secrets

import psycopg2.errors

from odoo.exceptions import UserError
from odoo.tools import SQL

from .models.ir_config_parameter import COMMUNITY, DEFAULTS, DELAY, IGNORED_URL
from .models.session_timeout_login import INSTALLATION

_logger = logging.getLogger(__name__)

EXTENSION = "inactive_session_timeout"
# Set where this addon created the extension, so that it removes no one else's.
CREATED = "inactive_session_timeout_pg.created_extension"

TRIGGER = """
    CREATE OR REPLACE FUNCTION inactive_session_timeout_pg_parameter() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
    BEGIN
        IF to_regprocedure('session_timeout.set_param(text, text)') IS NULL THEN
            RETURN NULL; -- the extension has been dropped
        END IF;
        IF TG_OP <> 'INSERT' AND OLD.key LIKE 'inactive\\_session\\_time\\_out\\_%'
           AND (TG_OP = 'DELETE' OR NEW.key <> OLD.key) THEN
            PERFORM session_timeout.set_param(OLD.key, NULL);
        END IF;
        IF TG_OP <> 'DELETE' AND NEW.key LIKE 'inactive\\_session\\_time\\_out\\_%'
           AND session_timeout.get_param(NEW.key) IS DISTINCT FROM NEW.value THEN
            PERFORM session_timeout.set_param(NEW.key, NEW.value);
        END IF;
        RETURN NULL;
    END
    $function$;
    COMMENT ON FUNCTION inactive_session_timeout_pg_parameter() IS
        'Carries System Parameters of inactive_session_timeout into its own table';
    CREATE OR REPLACE TRIGGER inactive_session_timeout_pg_parameter
        AFTER INSERT OR UPDATE OR DELETE ON ir_config_parameter
        FOR EACH ROW EXECUTE FUNCTION inactive_session_timeout_pg_parameter();
"""


def pre_init_hook(env):
    cr = env.cr
    cr.execute("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = %s", (EXTENSION,))
    if not cr.fetchone():
        create_extension(env)
        env["ir.config_parameter"].sudo().set_param(CREATED, "True")
    cr.execute(
        """
        SELECT has_schema_privilege('session_timeout', 'USAGE')
           AND (SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_catalog.pg_proc AS p
                WHERE p.pronamespace = 'session_timeout'::regnamespace
                  AND p.prorettype <> 'trigger'::pg_catalog.regtype)
           AND has_table_privilege('session_timeout.config_parameter', 'SELECT')
           AND has_table_privilege('session_timeout.config_parameter', 'INSERT')
           AND has_table_privilege('session_timeout.config_parameter', 'UPDATE')
           AND has_table_privilege('session_timeout.config_parameter', 'DELETE')
           AND has_table_privilege('session_timeout.session', 'SELECT')
           AND has_table_privilege('session_timeout.active_session', 'SELECT')
           AND has_table_privilege('session_timeout.session_event', 'SELECT')
        """
    )
    if not cr.fetchone()[0]:
        raise UserError(
            env._(
                "The PostgreSQL extension %(extension)s is in this database, but Odoo's role may not use it. The owner of "
                "the database can: let a database administrator run\n\nALTER DATABASE \"%(database)s\" OWNER TO \"%(role)s\";",
                extension=EXTENSION,
                database=cr.dbname,
                role=current_role(env),
            )
        )


def current_role(env):
    env.cr.execute("SELECT current_user")
    return env.cr.fetchone()[0]


def create_extension(env):
    cr = env.cr
    cr.execute("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = %s", (EXTENSION,))
    if not cr.fetchone():
        raise UserError(
            env._(
                "The PostgreSQL server does not have the extension %(extension)s. Install it there first, add this line to "
                "postgresql.conf, and restart PostgreSQL:\n\nshared_preload_libraries = '%(extension)s'\n\n"
                "Then install this app again.",
                extension=EXTENSION,
            )
        )
    try:
        with cr.savepoint():
            cr.execute(f"CREATE EXTENSION {EXTENSION}")
    except psycopg2.errors.InsufficientPrivilege as error:
        raise UserError(
            env._(
                "Odoo's role may not create the PostgreSQL extension %(extension)s, as it does not own this database. Let "
                "a database administrator run\n\nALTER DATABASE \"%(database)s\" OWNER TO \"%(role)s\";\n\n"
                "Then install this app again.",
                extension=EXTENSION,
                database=env.cr.dbname,
                role=current_role(env),
            )
        ) from error


def post_init_hook(env):
    env.cr.execute(TRIGGER)
    take_over_parameters(env)
    env["ir.config_parameter"].sudo().set_param(INSTALLATION, secrets.token_hex(8))


def take_over_parameters(env):
    """What the database already has under these names, from a community module, holds; the rest comes from the extension."""
    parameters = env["ir.config_parameter"].sudo()
    for key in DEFAULTS:
        env.cr.execute("SELECT value FROM ir_config_parameter WHERE key = %s", (key,))
        row = env.cr.fetchone()
        if not row:
            parameters.create({"key": key, "value": parameters._session_timeout_values([key])[key]})
            continue
        wanted = row[0]
        if key == IGNORED_URL:  # a community module compares whole strings, and takes any
            entries = (entry.strip() for entry in wanted.replace("\n", ",").split(","))
            wanted = ",".join(entry for entry in entries if entry.startswith(("/", "*")))
        try:
            with env.cr.savepoint():
                env.cr.execute("SELECT session_timeout.set_param(%s, %s)", (key, wanted), log_exceptions=False)
        except psycopg2.errors.InvalidParameterValue:
            # Not as read elsewhere: Odoo's own value holds for an extension that has just been created.
            env.cr.execute("SELECT session_timeout.get_param(%s, %s)", (key, DEFAULTS[key]))
            [wanted] = env.cr.fetchone()
        if wanted != row[0]:
            _logger.warning("The parameter %s was %r, which cannot be used. It is now %r.", key, row[0], wanted)
            env.cr.execute("UPDATE ir_config_parameter SET value = %s WHERE key = %s", (wanted, key))
    env.registry.clear_cache("stable")


def uninstall_hook(env):
    cr = env.cr
    try:
        with cr.savepoint():
            env["ir.config_parameter"]._session_timeout_follow()
            env["session.timeout.login"]._end_expired()
    except (psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedTable, psycopg2.errors.InsufficientPrivilege) as error:
        _logger.warning("Sessions that have expired may be logged in again: %s", error)
    cr.execute("DROP TRIGGER IF EXISTS inactive_session_timeout_pg_parameter ON ir_config_parameter")
    cr.execute("DROP FUNCTION IF EXISTS inactive_session_timeout_pg_parameter()")
    created = env["ir.config_parameter"].sudo().get_param(CREATED)
    cr.execute("SELECT 1 FROM ir_module_module WHERE name IN %s AND state = 'installed'", (COMMUNITY,))
    community = bool(cr.fetchone())
    cr.execute(
        "DELETE FROM ir_config_parameter WHERE key IN %s OR (key LIKE %s AND NOT %s)",
        ((CREATED, INSTALLATION), "inactive\\_session\\_time\\_out\\_%", community),
    )
    cr.execute("SELECT value FROM ir_config_parameter WHERE key = %s", (DELAY,))
    if community and (row := cr.fetchone()):  # it takes the delay with int(), on each request
        seconds = math.ceil(env["ir.config_parameter"]._session_timeout_seconds(row[0]))
        cr.execute("UPDATE ir_config_parameter SET value = %s WHERE key = %s", (str(seconds), DELAY))
    env.registry.clear_cache("stable")
    if not created:
        return
    try:
        with cr.savepoint():
            cr.execute(SQL("DROP EXTENSION IF EXISTS %s", SQL.identifier(EXTENSION)), log_exceptions=False)
    except psycopg2.errors.InsufficientPrivilege:
        # A database administrator has created it anew, or restored the database.
        _logger.warning(
            "The PostgreSQL extension %s is left, as it belongs to another role than Odoo's. Where nobody else uses it, a "
            "database administrator can remove it:\n\nDROP EXTENSION %s;", EXTENSION, EXTENSION,
        )
    except psycopg2.errors.DependentObjectsStillExist as error:
        _logger.warning("The PostgreSQL extension %s is left, as others use it: %s", EXTENSION, error.diag.message_detail)
