SELECT
    lane,
    GREATEST(
        relayed, covered,
        COALESCE((SELECT MAX(position) FROM journal WHERE journal.lane = positions.lane), 0)
    ),
    relayed,
    covered
FROM positions
ORDER BY lane
