//! What so many users need, by arithmetic from assumptions that are arguments.

use shardline_domain::slot::SLOTS;

/// What is known of the users and the machines. Numbers are above 0.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Assumptions {
    pub(crate) users: f64,
    /// Parts of all users, 0 to 1.
    pub(crate) active: f64,
    pub(crate) online: f64,
    pub(crate) sends_a_day: f64,
    pub(crate) recipients: f64,
    /// Against the average.
    pub(crate) peak: f64,
    pub(crate) spike: f64,
    pub(crate) message_bytes: f64,
    pub(crate) shard_bytes: f64,
    pub(crate) shard_writes: f64,
    pub(crate) days: f64,
}

pub(crate) const DATABASE_COPIES: f64 = 3.0;
pub(crate) const EVENT_BYTES: f64 = 500.0;
pub(crate) const EVENT_COPIES: f64 = 3.0;
pub(crate) const CONNECTIONS_A_NODE: f64 = 100_000.0;
pub(crate) const CHATS_OWNED: f64 = 5.0;
pub(crate) const PRESENCE_BYTES: f64 = 150.0;
pub(crate) const CURSOR_BYTES: f64 = 20.0;
pub(crate) const CURSORS_HOT: f64 = 10.0;
/// Of a move, and into a shard that joins.
pub(crate) const MOVE_BYTES_A_SECOND: f64 = 50e6;
pub(crate) const JOIN_BYTES_A_SECOND: f64 = 100e6;

/// Rates are a second, sizes in bytes, times in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Need {
    pub(crate) messages_a_day: f64,
    pub(crate) sends: f64,
    pub(crate) sends_peak: f64,
    pub(crate) sends_spike: f64,
    pub(crate) deliveries: f64,
    pub(crate) deliveries_peak: f64,
    pub(crate) connections: f64,
    pub(crate) conn_nodes: f64,
    pub(crate) stored_a_day: f64,
    pub(crate) stored_a_day_copies: f64,
    pub(crate) stored: f64,
    /// Exact; a part of a shard is a shard.
    pub(crate) shards_by_size: f64,
    pub(crate) shards_by_peak: f64,
    pub(crate) shards_by_spike: f64,
    /// Whole, for size and spike.
    pub(crate) shards: f64,
    pub(crate) growth_a_day: f64,
    pub(crate) slot_bytes: f64,
    pub(crate) slot_move: f64,
    pub(crate) slots_a_shard: f64,
    pub(crate) chats_a_slot: f64,
    pub(crate) bus_peak: f64,
    pub(crate) bus_spike: f64,
    pub(crate) bus_stored_a_day: f64,
    pub(crate) presence: f64,
    pub(crate) cursors: f64,
    pub(crate) join_bytes: f64,
    pub(crate) join_time: f64,
    pub(crate) join_slots: f64,
}

const DAY: f64 = 86_400.0;

pub(crate) fn need(given: &Assumptions) -> Need {
    let slots = f64::from(SLOTS);
    let messages_a_day = given.users * given.active * given.sends_a_day;
    let sends = messages_a_day / DAY;
    let (sends_peak, sends_spike) = (sends * given.peak, sends * given.spike);
    let connections = given.users * given.online;
    let stored_a_day = messages_a_day * given.message_bytes;
    let stored = stored_a_day * given.days;
    let shards_by_size = stored / given.shard_bytes;
    let shards_by_peak = sends_peak / given.shard_writes;
    let shards_by_spike = sends_spike / given.shard_writes;
    let shards = shards_by_size.max(shards_by_spike).ceil().max(1.0);
    let slot_bytes = stored / slots;
    let join_bytes = stored / (shards + 1.0);
    Need {
        messages_a_day,
        sends,
        sends_peak,
        sends_spike,
        deliveries: sends * given.recipients,
        deliveries_peak: sends_peak * given.recipients,
        connections,
        conn_nodes: (connections / CONNECTIONS_A_NODE).ceil(),
        stored_a_day,
        stored_a_day_copies: stored_a_day * DATABASE_COPIES,
        stored,
        shards_by_size,
        shards_by_peak,
        shards_by_spike,
        shards,
        growth_a_day: stored_a_day / shards,
        slot_bytes,
        slot_move: slot_bytes / MOVE_BYTES_A_SECOND,
        slots_a_shard: slots / shards,
        chats_a_slot: given.users * CHATS_OWNED / slots,
        bus_peak: sends_peak * EVENT_BYTES,
        bus_spike: sends_spike * EVENT_BYTES,
        bus_stored_a_day: messages_a_day * EVENT_BYTES * EVENT_COPIES,
        presence: connections * PRESENCE_BYTES,
        cursors: connections * CURSORS_HOT * CURSOR_BYTES,
        join_bytes,
        join_time: join_bytes / JOIN_BYTES_A_SECOND,
        join_slots: slots / (shards + 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(users: f64) -> Assumptions {
        Assumptions {
            users,
            active: 0.6,
            online: 0.25,
            sends_a_day: 40.0,
            recipients: 4.0,
            peak: 3.0,
            spike: 10.0,
            message_bytes: 400.0,
            shard_bytes: 2e12,
            shard_writes: 3000.0,
            days: 365.0,
        }
    }

    /// To two digits, as the figures were worked out by hand.
    fn check(figures: &[(&str, f64, f64)]) {
        for (what, is, expected) in figures {
            let off = (is / expected - 1.0).abs();
            assert!(off < 0.05, "{what}: {is}, by hand {expected}");
        }
    }

    #[test]
    fn ten_million_users() {
        let need = need(&of(10e6));
        check(&[
            ("messages a day", need.messages_a_day, 0.24e9),
            ("average", need.sends, 2.8e3),
            ("peak", need.sends_peak, 8.3e3),
            ("spike", need.sends_spike, 28e3),
            ("deliveries", need.deliveries, 11e3),
            ("their peak", need.deliveries_peak, 33e3),
            ("connections", need.connections, 2.5e6),
            ("stored a day", need.stored_a_day, 96e9),
            ("with copies", need.stored_a_day_copies, 0.29e12),
            ("in a year", need.stored, 35e12),
            ("growth of a shard", need.growth_a_day, 5.3e9),
            ("a slot", need.slot_bytes, 2.1e9),
            ("its move", need.slot_move, 43.0),
            ("chats in it", need.chats_a_slot, 3e3),
            ("bus, peak", need.bus_peak, 4.2e6),
            ("bus, spike", need.bus_spike, 14e6),
            ("bus, a day", need.bus_stored_a_day, 0.36e12),
            ("presence", need.presence, 0.38e9),
            ("cursors", need.cursors, 0.5e9),
            ("a shard that joins gets", need.join_bytes, 1.8e12),
            ("in hours", need.join_time / 3600.0, 5.1),
        ]);
        assert_eq!(need.conn_nodes, 25.0);
        let by = [need.shards_by_size, need.shards_by_peak, need.shards_by_spike];
        assert_eq!(by.map(f64::round), [18.0, 3.0, 9.0]);
        assert_eq!((need.shards, need.slots_a_shard.floor()), (18.0, 910.0));
        assert_eq!(need.join_slots.round(), 862.0);
    }

    #[test]
    fn a_billion_users() {
        let need = need(&of(1e9));
        check(&[
            ("messages a day", need.messages_a_day, 24e9),
            ("average", need.sends, 278e3),
            ("peak", need.sends_peak, 833e3),
            ("spike", need.sends_spike, 2.8e6),
            ("deliveries", need.deliveries, 1.1e6),
            ("their peak", need.deliveries_peak, 3.3e6),
            ("connections", need.connections, 250e6),
            ("stored a day", need.stored_a_day, 9.6e12),
            ("with copies", need.stored_a_day_copies, 28.8e12),
            ("in a year", need.stored, 3.5e15),
            ("growth of a shard", need.growth_a_day, 5.5e9),
            ("a slot", need.slot_bytes, 214e9),
            ("its move, minutes", need.slot_move / 60.0, 71.0),
            ("chats in it", need.chats_a_slot, 305e3),
            ("bus, peak", need.bus_peak, 417e6),
            ("bus, spike", need.bus_spike, 1.4e9),
            ("bus, a day", need.bus_stored_a_day, 36e12),
            ("presence", need.presence, 38e9),
            ("cursors", need.cursors, 50e9),
            ("a shard that joins gets", need.join_bytes, 2e12),
            ("in hours", need.join_time / 3600.0, 5.6),
        ]);
        assert_eq!(need.conn_nodes, 2500.0);
        let by = [need.shards_by_size, need.shards_by_peak, need.shards_by_spike];
        assert_eq!(by.map(f64::round), [1752.0, 278.0, 926.0]);
        assert_eq!((need.shards, need.slots_a_shard.floor()), (1752.0, 9.0));
    }

    #[test]
    fn ninety_days_need_a_quarter_of_the_shards_or_what_the_spike_needs() {
        let of_90_days = |users| need(&Assumptions { days: 90.0, ..of(users) });
        let many = of_90_days(1e9);
        assert_eq!((many.shards_by_size.round(), many.shards), (432.0, 926.0));
        let few = of_90_days(10e6);
        assert_eq!((few.shards_by_size.round(), few.shards), (4.0, 10.0));
        assert_eq!(need(&of(1.0)).shards, 1.0, "someone has to keep it");
    }
}
