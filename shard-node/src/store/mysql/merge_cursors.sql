UPDATE (
    [[SELECT CAST(? AS UNSIGNED) AS chat, CAST(? AS UNSIGNED) AS user, CAST(? AS UNSIGNED) AS seq| UNION ALL ]]
) AS cursors
STRAIGHT_JOIN members ON members.chat = cursors.chat AND members.user = cursors.user
SET members.read_seq = cursors.seq
WHERE members.read_seq < cursors.seq
