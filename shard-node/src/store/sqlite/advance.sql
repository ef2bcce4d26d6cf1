UPDATE positions SET relayed = MAX(relayed, ?2), covered = MAX(covered, ?3) WHERE lane = ?1
