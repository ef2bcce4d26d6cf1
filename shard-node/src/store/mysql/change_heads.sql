INSERT INTO heads (entity, seq, ver, log, activity_ms, previous_ver)
VALUES [[(?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    seq = IF(ver = VALUES(previous_ver), VALUES(seq), seq),
    log = IF(ver = VALUES(previous_ver), VALUES(log), log),
    activity_ms = IF(ver = VALUES(previous_ver), VALUES(activity_ms), activity_ms),
    previous_ver = IF(ver = VALUES(previous_ver), VALUES(previous_ver), previous_ver),
    ver = IF(ver = VALUES(previous_ver), VALUES(ver), ver)
