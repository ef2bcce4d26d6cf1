[[(SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots WHERE slot = ? FOR UPDATE)| UNION ALL ]]
