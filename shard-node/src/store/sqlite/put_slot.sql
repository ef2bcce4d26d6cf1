INSERT INTO slots (slot, state, epoch) VALUES (?, ?, ?)
ON CONFLICT (slot) DO UPDATE SET state = excluded.state, epoch = excluded.epoch
WHERE slots.epoch <= excluded.epoch
