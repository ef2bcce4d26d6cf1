//! A call about several entities, taken apart and put together. Pure.

use shardline_domain::slot::Epoch;
use shardline_wire::call::Answer;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CursorMark, CursorsMerged, EntityRef, GetHeads, GetItems, GetUsers, HeadsPage, ItemsPage,
    MergeCursors, NamesPage, SearchNames, UsersPage,
};
use std::collections::HashMap;
use std::hash::Hash;

pub(super) enum Question {
    Heads(GetHeads),
    Items(GetItems),
    Users(GetUsers),
    Cursors(MergeCursors),
    Names(SearchNames),
}

impl Question {
    pub(super) fn of(op: Op) -> Option<Question> {
        match op {
            Op::GetHeads(heads) => Some(Question::Heads(heads)),
            Op::GetItems(items) => Some(Question::Items(items)),
            Op::GetUsers(users) => Some(Question::Users(users)),
            Op::MergeCursors(cursors) => Some(Question::Cursors(cursors)),
            Op::SearchNames(names) => Some(Question::Names(names)),
            _ => None,
        }
    }

    pub(super) fn is_for_all_shards(&self) -> bool {
        matches!(self, Question::Names(_))
    }

    /// How many it is about.
    pub(super) fn entities(&self) -> usize {
        match self {
            Question::Heads(heads) => heads.entities.len(),
            Question::Items(items) => items.entities.len(),
            Question::Users(users) => users.entities.len(),
            Question::Cursors(cursors) => cursors.marks.len(),
            Question::Names(_) => 0,
        }
    }

    /// The entity with this index, below `entities`.
    pub(super) fn entity(&self, index: usize) -> u64 {
        match self {
            Question::Heads(heads) => heads.entities[index].entity,
            Question::Items(items) => items.entities[index].entity,
            Question::Users(users) => users.entities[index].entity,
            Question::Cursors(cursors) => cursors.marks[index].chat,
            Question::Names(_) => 0,
        }
    }

    /// The same question about these only, at these epochs.
    pub(super) fn part(&self, chosen: &[(usize, Epoch)]) -> Op {
        let entities = || {
            let entity = |(index, epoch): &(usize, Epoch)| EntityRef {
                entity: self.entity(*index),
                epoch: epoch.0,
            };
            chosen.iter().map(entity).collect()
        };
        match self {
            Question::Heads(_) => Op::GetHeads(GetHeads { entities: entities() }),
            Question::Items(items) => Op::GetItems(GetItems {
                user: items.user,
                entities: entities(),
                order_only: items.order_only,
                as_of_ms: items.as_of_ms,
            }),
            Question::Users(_) => Op::GetUsers(GetUsers { entities: entities() }),
            Question::Cursors(cursors) => {
                let mark = |(index, epoch): &(usize, Epoch)| CursorMark {
                    epoch: epoch.0,
                    ..cursors.marks[*index]
                };
                Op::MergeCursors(MergeCursors { marks: chosen.iter().map(mark).collect() })
            }
            Question::Names(names) => Op::SearchNames(names.clone()),
        }
    }

    /// Whether a part's answer says something about the entity with this index.
    pub(super) fn is_in(&self, index: usize, answer: &Answer) -> bool {
        let asked = self.entity(index);
        match (self, answer) {
            (Question::Heads(_), Answer::Heads(page)) => {
                page.heads.iter().any(|head| head.entity == asked)
            }
            (Question::Items(_), Answer::Items(page)) => {
                page.items.iter().any(|view| chat_of(view) == asked)
            }
            (Question::Users(_), Answer::Users(page)) => {
                page.users.iter().any(|user| user.user == asked)
            }
            (Question::Cursors(cursors), Answer::CursorsMerged(merged)) => {
                let user = cursors.marks[index].user;
                merged.marks.iter().any(|mark| (mark.chat, mark.user) == (asked, user))
            }
            _ => false,
        }
    }

    /// One answer from those of the parts, in the order asked; each entity once.
    pub(super) fn join(&self, answers: Vec<Answer>) -> Answer {
        match self {
            Question::Heads(asked) => {
                let parts = answers.into_iter().filter_map(|answer| match answer {
                    Answer::Heads(page) => Some(page.heads),
                    _ => None,
                });
                let order = asked.entities.iter().map(|entity| entity.entity);
                Answer::Heads(HeadsPage { heads: in_order(order, parts, |head| head.entity) })
            }
            Question::Items(asked) => {
                let parts = answers.into_iter().filter_map(|answer| match answer {
                    Answer::Items(page) => Some(page.items),
                    _ => None,
                });
                let order = asked.entities.iter().map(|entity| entity.entity);
                Answer::Items(ItemsPage { items: in_order(order, parts, chat_of) })
            }
            Question::Users(asked) => {
                let parts = answers.into_iter().filter_map(|answer| match answer {
                    Answer::Users(page) => Some(page.users),
                    _ => None,
                });
                let order = asked.entities.iter().map(|entity| entity.entity);
                Answer::Users(UsersPage { users: in_order(order, parts, |user| user.user) })
            }
            Question::Cursors(asked) => {
                let parts = answers.into_iter().filter_map(|answer| match answer {
                    Answer::CursorsMerged(merged) => Some(merged.marks),
                    _ => None,
                });
                let key = |mark: &CursorMark| (mark.chat, mark.user);
                let marks = in_order(asked.marks.iter().map(key), parts, key);
                Answer::CursorsMerged(CursorsMerged { marks })
            }
            Question::Names(asked) => {
                let parts = answers.into_iter().filter_map(|answer| match answer {
                    Answer::Names(page) => Some(page.names),
                    _ => None,
                });
                let mut names: Vec<_> = parts.flatten().collect();
                names.sort_by(|one, other| one.name.cmp(&other.name));
                // A name's slot may be on two shards for the moment of its move.
                names.dedup_by(|one, other| one.name == other.name);
                names.truncate(usize::try_from(asked.limit).unwrap_or(usize::MAX));
                Answer::Names(NamesPage { names })
            }
        }
    }
}

fn chat_of(view: &shardline_wire::internal::ChatView) -> u64 {
    view.item.as_ref().map_or(0, |item| item.chat)
}

/// All parts' items in the order of the keys asked, those not asked for left out.
fn in_order<K: Hash + Eq, T>(
    order: impl Iterator<Item = K>,
    parts: impl Iterator<Item = Vec<T>>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut places: HashMap<K, usize> = HashMap::new();
    for (place, asked) in order.enumerate() {
        places.entry(asked).or_insert(place);
    }
    let mut items: Vec<(usize, T)> = parts
        .flatten()
        // Taken out with its first item: each entity once.
        .filter_map(|item| Some((places.remove(&key(&item))?, item)))
        .collect();
    items.sort_by_key(|(place, _)| *place);
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::internal::{HeadView, NameView};

    fn heads(entities: &[u64]) -> Answer {
        let head = |entity: &u64| HeadView { entity: *entity, ver: 1, ..HeadView::default() };
        Answer::Heads(HeadsPage { heads: entities.iter().map(head).collect() })
    }

    fn asked(entities: &[u64]) -> Question {
        let entity = |entity: &u64| EntityRef { entity: *entity, epoch: 0 };
        Question::Heads(GetHeads { entities: entities.iter().map(entity).collect() })
    }

    fn check_heads(order: &[u64], parts: &[&[u64]], expected: &[u64]) {
        let joined = asked(order).join(parts.iter().map(|part| heads(part)).collect());
        assert_eq!(joined, heads(expected));
    }

    #[test]
    fn answers_are_joined_in_the_order_asked() {
        check_heads(&[5, 3, 9, 1], &[&[1, 3], &[9, 5]], &[5, 3, 9, 1]);
    }

    #[test]
    fn what_is_missing_stays_missing_and_what_came_twice_is_there_once() {
        check_heads(&[5, 3, 9], &[&[9], &[9, 5]], &[5, 9]);
        check_heads(&[5, 3, 3], &[&[3, 7]], &[3]);
    }

    #[test]
    fn a_part_carries_its_epochs() {
        let Op::GetHeads(part) = asked(&[5, 3, 9]).part(&[(0, Epoch(4)), (2, Epoch(6))]) else {
            panic!("another op");
        };
        let refs: Vec<_> = part.entities.iter().map(|e| (e.entity, e.epoch)).collect();
        assert_eq!(refs, [(5, 4), (9, 6)]);
    }

    #[test]
    fn names_are_merged_sorted_and_limited() {
        let page = |names: &[&str]| {
            let view = |name: &&str| NameView { name: (*name).to_owned(), user: 1 };
            Answer::Names(NamesPage { names: names.iter().map(view).collect() })
        };
        let asked = Question::Names(SearchNames { prefix: "a".to_owned(), limit: 3 });
        let joined = asked.join(vec![page(&["ac", "ad"]), page(&["aa", "ac", "ab"])]);
        assert_eq!(joined, page(&["aa", "ab", "ac"]));
    }
}
