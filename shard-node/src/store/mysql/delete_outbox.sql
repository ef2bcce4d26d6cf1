DELETE FROM outbox WHERE [[(chat = ? AND ver = ? AND user = ?)| OR ]]
