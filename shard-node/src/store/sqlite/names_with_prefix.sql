SELECT entity, name, user FROM names WHERE ? <= name AND name < ? ORDER BY name LIMIT ?
