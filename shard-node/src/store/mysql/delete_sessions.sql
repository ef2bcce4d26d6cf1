DELETE FROM sessions WHERE [[(user = ? AND session = ?)| OR ]]
