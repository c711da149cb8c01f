-- What the extension has made in a database: one row (object, property, value) for each thing that an install script can
-- say of an object. Objects by name, not by OID, so that two databases can be compared.

WITH extension AS (
    SELECT * FROM pg_extension WHERE extname = 'inactive_session_timeout'
),
member AS (
    SELECT classid, objid FROM pg_depend JOIN extension AS e ON e.oid = refobjid
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
),
-- Every object, member or not: what belongs to members (columns, defaults, constraints, triggers, rules, indexes, row
-- types) and what is in the schema.
object AS (
    SELECT 'pg_extension'::regclass::oid AS classid, oid AS objid FROM extension
    UNION SELECT * FROM member
    UNION SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace
    UNION SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace = 'session_timeout'::regnamespace
    UNION SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'session_timeout'::regnamespace
    UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE connamespace = 'session_timeout'::regnamespace
    UNION SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
        WHERE relnamespace = 'session_timeout'::regnamespace
    UNION SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = ev_class
        WHERE relnamespace = 'session_timeout'::regnamespace
),
relation AS (
    SELECT * FROM pg_class WHERE relnamespace = 'session_timeout'::regnamespace
),
-- Columns in their order; a column that was dropped leaves a number behind, which nobody sees.
attribute AS (
    SELECT c.oid::regclass || '.' || a.attname AS name, a.*,
        row_number() OVER (PARTITION BY attrelid ORDER BY attnum) AS place
    FROM pg_attribute AS a JOIN relation AS c ON c.oid = attrelid
    WHERE attnum > 0 AND NOT attisdropped
),
-- Each privilege in words. Where no GRANT was ever made, those that PostgreSQL gives.
privilege AS (
    SELECT pg_describe_object('pg_namespace'::regclass, oid, 0) AS name,
        coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM pg_namespace WHERE nspname = 'session_timeout'
    UNION ALL SELECT pg_describe_object('pg_proc'::regclass, oid, 0), coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace
    UNION ALL SELECT pg_describe_object('pg_class'::regclass, oid, 0),
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM relation
    UNION ALL SELECT pg_describe_object('pg_type'::regclass, oid, 0), coalesce(typacl, acldefault('T', typowner))
        FROM pg_type WHERE typnamespace = 'session_timeout'::regnamespace
    UNION ALL SELECT name, attacl FROM attribute
),
-- What pg_dump takes for the extension's own GRANTs, and so does not repeat.
initial_privilege AS (
    SELECT pg_describe_object(classoid, objoid, objsubid) AS name, initprivs AS acl
    FROM pg_init_privs JOIN object ON classid = classoid AND objid = objoid
),
fact (object, property, value) AS (
    SELECT pg_describe_object(classid, objid, 0), 'exists', NULL FROM object
    UNION ALL SELECT pg_describe_object(classid, objid, 0), 'is a member of the extension', NULL FROM member
    UNION ALL SELECT pg_describe_object(classid, objid, 0), 'comment', obj_description(objid, classid::regclass::name)
        FROM object
    UNION ALL SELECT pg_describe_object(d.classid, d.objid, d.objsubid), format('depends (%s) on', deptype),
        pg_describe_object(refclassid, refobjid, refobjsubid) FROM pg_depend AS d JOIN object USING (classid, objid)
    UNION ALL SELECT name, 'privilege', format('%s%s for %s by %s', privilege_type,
            CASE WHEN is_grantable THEN ' with grant option' END,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, grantor::regrole)
        FROM privilege CROSS JOIN aclexplode(acl)
    UNION ALL SELECT name, 'privilege that a dump leaves out', format('%s%s for %s by %s', privilege_type,
            CASE WHEN is_grantable THEN ' with grant option' END,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, grantor::regrole)
        FROM initial_privilege CROSS JOIN aclexplode(acl)

    UNION ALL SELECT 'extension', p.* FROM extension AS e CROSS JOIN LATERAL (VALUES
        ('owner', extowner::regrole::text),
        ('schema', extnamespace::regnamespace::text),
        ('relocatable', extrelocatable::text),
        ('version', extversion)) AS p
    UNION ALL SELECT config::regclass::text, 'dumped rows', condition
        FROM extension CROSS JOIN unnest(extconfig, extcondition) AS c (config, condition)
    UNION ALL SELECT 'schema', 'owner', nspowner::regrole::text FROM pg_namespace WHERE nspname = 'session_timeout'

    UNION ALL SELECT f.oid::regprocedure::text, p.* FROM pg_proc AS f CROSS JOIN LATERAL (VALUES
        ('owner', proowner::regrole::text),
        ('kind', prokind::text),
        ('arguments', pg_get_function_arguments(f.oid)),
        ('result', pg_get_function_result(f.oid)),
        ('language', (SELECT lanname::text FROM pg_language AS l WHERE l.oid = prolang)),
        ('source', prosrc),
        ('library', probin),
        ('volatility', provolatile::text),
        ('parallel', proparallel::text),
        ('strict', proisstrict::text),
        ('security definer', prosecdef::text),
        ('leakproof', proleakproof::text),
        ('cost', procost::text),
        ('rows', prorows::text),
        ('support', prosupport::text),
        ('settings', proconfig::text)) AS p
        WHERE pronamespace = 'session_timeout'::regnamespace

    UNION ALL SELECT c.oid::regclass::text, p.* FROM relation AS c CROSS JOIN LATERAL (VALUES
        ('kind', relkind::text),
        ('owner', relowner::regrole::text),
        ('access method', (SELECT amname::text FROM pg_am AS a WHERE a.oid = relam)),
        ('tablespace', reltablespace::text),
        ('persistence', relpersistence::text),
        ('options', (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(reloptions) AS o)),
        ('options of its TOAST', (SELECT t.reloptions::text FROM pg_class AS t WHERE t.oid = c.reltoastrelid)),
        ('replica identity', relreplident::text),
        ('row security', relrowsecurity::text || ' ' || relforcerowsecurity),
        ('definition', CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) END),
        ('valid', (SELECT indisvalid::text || ' ' || indisready || ' ' || indisclustered FROM pg_index
            WHERE indexrelid = c.oid)),
        ('sequence', (SELECT format('%s from %s by %s, %s to %s, cache %s, cycle %s', seqtypid::regtype, seqstart,
            seqincrement, seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence WHERE seqrelid = c.oid))) AS p

    UNION ALL SELECT name, p.* FROM attribute AS a CROSS JOIN LATERAL (VALUES
        ('place', place::text),
        ('type', format_type(atttypid, atttypmod)),
        ('collation', CASE WHEN attcollation <> 0 THEN attcollation::regcollation::text END),
        ('not null', attnotnull::text),
        ('default', (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum)),
        ('identity', attidentity::text),
        ('generated', attgenerated::text),
        ('storage', format('%s %s', attstorage, attcompression)),
        ('statistics', attstattarget::text),
        -- But for pg_attver, a number of PostgreSQL's own (since 15.20).
        ('options', (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(attoptions) AS o WHERE o NOT LIKE 'pg\_%')),
        ('comment', col_description(attrelid, attnum))) AS p

    UNION ALL SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0), p.* FROM pg_constraint AS k
        CROSS JOIN LATERAL (VALUES
        ('definition', pg_get_constraintdef(k.oid)),
        ('valid', convalidated::text)) AS p
        WHERE connamespace = 'session_timeout'::regnamespace
    UNION ALL SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0), p.* FROM pg_trigger AS t
        JOIN relation AS c ON c.oid = tgrelid CROSS JOIN LATERAL (VALUES
        ('definition', pg_get_triggerdef(t.oid)),
        ('enabled', tgenabled::text)) AS p
    UNION ALL SELECT pg_describe_object('pg_rewrite'::regclass, r.oid, 0), 'enabled', ev_enabled::text
        FROM pg_rewrite AS r JOIN relation AS c ON c.oid = ev_class
    UNION ALL SELECT format_type(t.oid, NULL), p.* FROM pg_type AS t CROSS JOIN LATERAL (VALUES
        ('owner', typowner::regrole::text),
        ('kind', typtype::text)) AS p
        WHERE typnamespace = 'session_timeout'::regnamespace

    -- The rows that the script itself puts in.
    UNION ALL SELECT 'parameter ' || key, 'value', value FROM session_timeout.config_parameter
    UNION ALL SELECT 'parameter ' || key, 'as the script made it', (write_date IS NULL)::text
        FROM session_timeout.config_parameter
)
SELECT object, property, value FROM fact WHERE value IS NOT NULL OR property IN ('exists', 'is a member of the extension')
