INSERT INTO members (chat, user, role, joined_ver, joined_seq, left_ver, read_seq)
VALUES [[(?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    read_seq = IF(
        joined_ver = VALUES(joined_ver), GREATEST(read_seq, VALUES(read_seq)), VALUES(read_seq)
    ),
    role = VALUES(role),
    joined_ver = VALUES(joined_ver),
    joined_seq = VALUES(joined_seq),
    left_ver = VALUES(left_ver)
