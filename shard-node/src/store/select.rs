//! Columns of the tables that are read whole, the same in every kind of database.

/// In the order that each kind's `rows` reads them.
macro_rules! columns {
    (heads) => {
        "entity, seq, ver, log, activity_ms"
    };
    (messages) => {
        "chat, seq, ver, changed_ver, sender, sender_name, client_msg_id, body_hash, text, reply_to, \
         sent_at_ms, edited_at_ms, deleted"
    };
    (chats) => {
        "chat, kind, title, history, creator, client_chat_id, created_at_ms, settings_ver, \
         trimmed_seq, trimmed_ver, ended"
    };
    (members) => {
        "chat, user, role, joined_ver, joined_seq, left_ver, read_seq"
    };
    (users) => {
        "user, name, display_name, about, password_hash, created_at_ms, trimmed_ver"
    };
}

/// A SELECT of all columns of a table.
macro_rules! select {
    ($table:ident, $rest:literal) => {
        concat!("SELECT ", columns!($table), " FROM ", stringify!($table), " ", $rest)
    };
}
