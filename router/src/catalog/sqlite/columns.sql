SELECT t.name || ' ' || c.name || ' ' || lower(c.type)
    || CASE WHEN c."notnull" THEN ' not null' ELSE ' null' END
    || CASE WHEN c.pk THEN ' key ' || c.pk ELSE '' END
FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
WHERE t.type = 'table'
ORDER BY t.name, c.cid
