SELECT line FROM (
    SELECT table_name AS t, 1 AS part, ordinal_position AS n, CONCAT(
        table_name, ' ', column_name, ' ', data_type,
        IF(column_type LIKE '%unsigned%', ' unsigned', ''),
        IF(character_maximum_length IS NULL, '', CONCAT(' ', character_maximum_length, ' ', collation_name)),
        IF(is_nullable = 'YES', ' null', ' not null')
    ) AS line
    FROM information_schema.columns
    WHERE table_schema = DATABASE()
    UNION ALL
    SELECT table_name, 2, 0, CONCAT(
        table_name, ' key ', index_name, IF(non_unique = 0, ' unique', ''), ' (',
        GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', '), ')'
    )
    FROM information_schema.statistics
    WHERE table_schema = DATABASE()
    GROUP BY table_name, index_name, non_unique
) AS described
ORDER BY CAST(t AS BINARY), part, n, line
