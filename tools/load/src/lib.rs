//! Load: closed-loop senders and receivers, percentiles, a history file; and the benchmark.
