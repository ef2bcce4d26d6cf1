SELECT entity, name, user FROM names
WHERE CAST(? AS BINARY) <= name AND name < CONCAT(CAST(? AS BINARY), x'FF')
ORDER BY name
LIMIT ?
