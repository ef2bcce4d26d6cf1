UPDATE positions SET relayed = GREATEST(relayed, ?), covered = GREATEST(covered, ?) WHERE lane = ?
