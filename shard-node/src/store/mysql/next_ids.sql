SELECT 0, id FROM (SELECT entity AS id FROM heads WHERE ? < entity ORDER BY entity LIMIT 1) AS heads
UNION ALL SELECT 1, id FROM (SELECT chat AS id FROM chats WHERE ? < chat ORDER BY chat LIMIT 1) AS chats
UNION ALL SELECT 2, id FROM (SELECT user AS id FROM users WHERE ? < user ORDER BY user LIMIT 1) AS users
UNION ALL SELECT 3, id FROM (SELECT entity AS id FROM names WHERE ? < entity ORDER BY entity LIMIT 1) AS names
UNION ALL SELECT 4, id FROM (SELECT chat AS id FROM messages WHERE ? < chat ORDER BY chat LIMIT 1) AS messages
UNION ALL SELECT 5, id FROM (SELECT entity AS id FROM changes WHERE ? < entity ORDER BY entity LIMIT 1) AS changes
UNION ALL SELECT 6, id FROM (SELECT chat AS id FROM members WHERE ? < chat ORDER BY chat LIMIT 1) AS members
UNION ALL SELECT 7, id FROM (SELECT chat AS id FROM outbox WHERE ? < chat ORDER BY chat LIMIT 1) AS outbox
UNION ALL SELECT 8, id FROM (SELECT user AS id FROM lists WHERE ? < user ORDER BY user LIMIT 1) AS lists
UNION ALL SELECT 9, id FROM (SELECT user AS id FROM sessions WHERE ? < user ORDER BY user LIMIT 1) AS sessions
