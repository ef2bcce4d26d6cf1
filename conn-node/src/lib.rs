//! Terminates client WebSockets and HTTP; holds nothing durable.
