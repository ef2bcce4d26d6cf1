UPDATE heads SET seq = ?2, ver = ?3, log = ?4, activity_ms = ?5
WHERE entity = ?1 AND ver = ?6
