//! What crosses between processes and to clients: frames, calls, events, codes.
