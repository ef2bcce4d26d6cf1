[[(SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots WHERE slot = ? LOCK IN SHARE MODE)| UNION ALL ]]
