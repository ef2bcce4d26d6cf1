DELETE FROM journal
WHERE lane = ?1 AND position IN (
    SELECT position FROM journal
    WHERE lane = ?1
        AND position <= (SELECT MIN(relayed, covered) FROM positions WHERE lane = ?1)
    ORDER BY position
    LIMIT ?2
)
