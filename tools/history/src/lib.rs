//! The history format of what clients saw. Shares no rule with the servers it judges.
