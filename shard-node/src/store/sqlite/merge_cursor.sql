UPDATE members SET read_seq = MAX(read_seq, ?3) WHERE chat = ?1 AND user = ?2
