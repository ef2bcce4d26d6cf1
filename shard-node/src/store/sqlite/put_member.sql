INSERT INTO members (chat, user, role, joined_ver, joined_seq, left_ver, read_seq)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chat, user) DO UPDATE SET
    read_seq = CASE
        WHEN joined_ver = excluded.joined_ver THEN MAX(read_seq, excluded.read_seq)
        ELSE excluded.read_seq
    END,
    role = excluded.role,
    joined_ver = excluded.joined_ver,
    joined_seq = excluded.joined_seq,
    left_ver = excluded.left_ver
