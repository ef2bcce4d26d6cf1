//! Which tables hold rows of an entity, and whether such rows can belong together.

use crate::placement::transfer::SlotState;
use std::fmt;

/// A shard's tables that hold rows of entities. The order is that of `Tables`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Table {
    Heads = 0,
    Chats = 1,
    Users = 2,
    Names = 3,
    Messages = 4,
    Changes = 5,
    Members = 6,
    Outbox = 7,
    Lists = 8,
    Sessions = 9,
}

impl Table {
    pub const ALL: [Table; 10] = [
        Table::Heads,
        Table::Chats,
        Table::Users,
        Table::Names,
        Table::Messages,
        Table::Changes,
        Table::Members,
        Table::Outbox,
        Table::Lists,
        Table::Sessions,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Heads => "heads",
            Table::Chats => "chats",
            Table::Users => "users",
            Table::Names => "names",
            Table::Messages => "messages",
            Table::Changes => "changes",
            Table::Members => "members",
            Table::Outbox => "outbox",
            Table::Lists => "lists",
            Table::Sessions => "sessions",
        }
    }
}

/// The tables that hold rows of one entity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tables(u16);

impl Tables {
    pub fn of(tables: &[Table]) -> Tables {
        tables.iter().fold(Tables::default(), |all, table| all.with(*table))
    }

    #[must_use]
    pub fn with(self, table: Table) -> Tables {
        Tables(self.0 | 1 << table as u8)
    }

    pub fn has(self, table: Table) -> bool {
        self.0 & (1 << table as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(move |table| self.has(*table))
    }

    fn without(self, others: &[Table]) -> Tables {
        Tables(self.0 & !Tables::of(others).0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Table::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({self})")
    }
}

/// What an entity is, by the table of its own row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Chat,
    User,
    Name,
}

/// What is wrong with the rows of one entity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// Nothing is known of an entity without a head: it cannot be read, written or moved.
    NoHead(Tables),
    /// A head of nothing.
    HeadAlone,
    /// Rows whose entity is missing, though there is a head.
    NoEntity(Tables),
    /// One id, several entities.
    Several(Tables),
    /// Rows of a kind that such an entity does not have.
    Stray(Tables),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::NoHead(tables) => write!(f, "rows without a head, in {tables}"),
            Misfit::HeadAlone => write!(f, "a head without an entity"),
            Misfit::NoEntity(tables) => write!(f, "rows without their entity, in {tables}"),
            Misfit::Several(tables) => write!(f, "several entities with one id, in {tables}"),
            Misfit::Stray(tables) => write!(f, "rows that such an entity has not, in {tables}"),
        }
    }
}

/// What the entity is, if its rows belong together. `tables` is not empty.
pub fn kind(tables: Tables) -> Result<Kind, Misfit> {
    use Table::{Changes, Chats, Heads, Lists, Members, Messages, Names, Outbox, Sessions, Users};
    if !tables.has(Heads) {
        return Err(Misfit::NoHead(tables));
    }
    let rows = tables.without(&[Heads]);
    let (kind, allowed): (Kind, &[Table]) =
        match (tables.has(Chats), tables.has(Users), tables.has(Names)) {
            (true, false, false) => (Kind::Chat, &[Chats, Messages, Changes, Members, Outbox]),
            (false, true, false) => (Kind::User, &[Users, Changes, Lists, Sessions]),
            (false, false, true) => (Kind::Name, &[Names]),
            (false, false, false) if rows.is_empty() => return Err(Misfit::HeadAlone),
            (false, false, false) => return Err(Misfit::NoEntity(rows)),
            _ => return Err(Misfit::Several(rows)),
        };
    let stray = rows.without(allowed);
    if stray.is_empty() { Ok(kind) } else { Err(Misfit::Stray(stray)) }
}

/// What rows of a slot mean on a shard whose slot row is in this state (none is `Empty`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// The shard answers for them.
    Ours,
    /// A copy, on its way in or out: whole only by accident.
    Copy,
    /// Nothing of the slot should be here.
    Nothing,
}

pub fn holding(state: SlotState) -> Holding {
    match state {
        SlotState::Owned | SlotState::Frozen => Holding::Ours,
        SlotState::Importing | SlotState::Following | SlotState::Moved | SlotState::Quarantined => {
            Holding::Copy
        }
        SlotState::Empty => Holding::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Table::*;

    fn check(tables: &[Table], expected: Result<Kind, Misfit>) {
        assert_eq!(kind(Tables::of(tables)), expected, "{tables:?}");
    }

    #[test]
    fn rows_of_one_entity_belong_together() {
        check(&[Heads, Chats, Messages, Changes, Members, Outbox], Ok(Kind::Chat));
        check(&[Heads, Chats], Ok(Kind::Chat));
        check(&[Heads, Users, Changes, Lists, Sessions], Ok(Kind::User));
        check(&[Heads, Names], Ok(Kind::Name));
    }

    #[test]
    fn rows_without_their_head_or_entity_are_found() {
        check(&[Messages], Err(Misfit::NoHead(Tables::of(&[Messages]))));
        check(&[Chats, Members], Err(Misfit::NoHead(Tables::of(&[Chats, Members]))));
        check(&[Heads], Err(Misfit::HeadAlone));
        check(&[Heads, Lists], Err(Misfit::NoEntity(Tables::of(&[Lists]))));
    }

    #[test]
    fn one_id_is_one_entity_with_its_own_rows() {
        check(&[Heads, Chats, Users], Err(Misfit::Several(Tables::of(&[Chats, Users]))));
        check(&[Heads, Chats, Sessions], Err(Misfit::Stray(Tables::of(&[Sessions]))));
        check(&[Heads, Users, Members], Err(Misfit::Stray(Tables::of(&[Members]))));
        check(&[Heads, Names, Changes], Err(Misfit::Stray(Tables::of(&[Changes]))));
    }

    #[test]
    fn every_set_of_tables_is_something_or_says_what_is_wrong() {
        for bits in 1..1_u16 << Table::ALL.len() {
            let tables = Tables(bits);
            if let Err(misfit) = kind(tables) {
                assert!(!misfit.to_string().is_empty());
            } else {
                assert!(tables.has(Heads), "{tables}");
            }
        }
    }

    #[test]
    fn only_an_empty_slot_has_nothing() {
        for state in SlotState::ALL {
            assert_eq!(holding(state) == Holding::Nothing, state == SlotState::Empty);
        }
        assert_eq!(Tables::of(&[Heads, Lists]).to_string(), "heads, lists");
    }
}
