INSERT INTO slots (slot, state, epoch) VALUES [[(?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    state = IF(epoch <= VALUES(epoch), VALUES(state), state),
    epoch = GREATEST(epoch, VALUES(epoch))
