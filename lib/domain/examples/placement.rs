//! How even slots lie and how many move when shards are added one by one, 1 to 128: our placement beside
//! a consistent-hash ring alone. Prints the table of docs/benchmarks.md; with a file's name, draws it
//! there: cargo run -p shardline-domain --example placement docs/placement.svg
#![allow(clippy::print_stdout)]

use consistent_hash::{DefaultHash, Node, StaticHashRing};
use shardline_domain::id::ShardId;
use shardline_domain::placement::{Owners, Share, plan};
use shardline_domain::slot::Slot;
use std::fmt::Write;

const SHARDS: u32 = 128;
const SHOWN: [u32; 9] = [2, 3, 4, 8, 16, 32, 64, 100, 128];
const VIRTUAL_NODES: usize = 128;

/// Of one placement with some number of shards.
#[derive(Clone, Copy)]
struct Measured {
    /// The fullest and the emptiest shard against the mean.
    most: f64,
    least: f64,
    /// Slots moved when the last shard was added, against those it has to get.
    moved: f64,
    /// The same when it is removed again.
    moved_back: f64,
    /// Slots that went from one old shard to another.
    third_party: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quotas = course(by_quota)?;
    let rings = course(|_, shards| Ok(by_ring(shards)))?;
    println!(
        "| shards | fullest / emptiest | moved by adding, removing | between others | ring: fullest / emptiest | ring: moved | ring: between others |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ((shards, quota), (_, ring)) in quotas.iter().zip(&rings) {
        if !SHOWN.contains(shards) {
            continue;
        }
        println!(
            "| {shards} | {:.3} / {:.3} | {:.3}, {:.3} | {} | {:.3} / {:.3} | {:.3}, {:.3} | {} |",
            quota.most,
            quota.least,
            quota.moved,
            quota.moved_back,
            quota.third_party,
            ring.most,
            ring.least,
            ring.moved,
            ring.moved_back,
            ring.third_party,
        );
    }
    if let Some(file) = std::env::args().nth(1) {
        std::fs::write(file, plot(&quotas, &rings)?)?;
    }
    Ok(())
}

type Placed = Result<Owners, Box<dyn std::error::Error>>;

/// Shards are added one by one; each step goes on from the one before.
fn course(
    place: impl Fn(&Owners, u32) -> Placed,
) -> Result<Vec<(u32, Measured)>, Box<dyn std::error::Error>> {
    let mut course = Vec::new();
    let mut before = place(&Owners::none(), 1)?;
    for shards in 2..=SHARDS {
        let after = place(&before, shards)?;
        let back = place(&after, shards - 1)?;
        course.push((shards, measure(&before, &after, &back, shards)));
        before = after;
    }
    Ok(course)
}

fn by_quota(before: &Owners, shards: u32) -> Placed {
    let shares: Vec<Share> =
        (0..shards).map(|shard| Share { shard: ShardId(shard), weight: 100 }).collect();
    let mut owners = before.clone();
    for moved in plan(before, &shares)? {
        owners.give(moved.slot, moved.to);
    }
    Ok(owners)
}

fn by_ring(shards: u32) -> Owners {
    let nodes = (0..shards).map(|shard| Node::new(shard).quantity(VIRTUAL_NODES));
    let ring: StaticHashRing<u32, (), DefaultHash> = StaticHashRing::new(DefaultHash, nodes);
    let mut owners = Owners::none();
    for slot in Slot::all() {
        if let Some(node) = ring.calc_candidates(&slot.get()).next() {
            owners.give(slot, ShardId(node.key));
        }
    }
    owners
}

fn measure(before: &Owners, after: &Owners, back: &Owners, shards: u32) -> Measured {
    let counts = after.counts();
    let mean = f64::from(u32::try_from(Slot::all().len()).unwrap_or(u32::MAX)) / f64::from(shards);
    let part = |slots: usize| f64::from(u32::try_from(slots).unwrap_or(u32::MAX)) / mean;
    let of = |shard| counts.get(&ShardId(shard)).copied().unwrap_or(0);
    let has = (0..shards).map(of);
    let newest = Some(ShardId(shards - 1));
    let changed = |one: &Owners, other: &Owners| {
        Slot::all().filter(|slot| one.of(*slot) != other.of(*slot)).count()
    };
    let between = |slot: &Slot| before.of(*slot) != after.of(*slot) && after.of(*slot) != newest;
    Measured {
        most: f64::from(has.clone().max().unwrap_or(0)) / mean,
        least: f64::from(has.min().unwrap_or(0)) / mean,
        moved: part(changed(before, after)),
        moved_back: part(changed(after, back)),
        third_party: Slot::all().filter(between).count(),
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 20.0;
/// From one panel to the next.
const PANEL: f64 = HEIGHT + 80.0;

type Line<'a> = (&'a [(u32, Measured)], fn(&Measured) -> f64, &'a str, &'a str);

fn plot(quotas: &[(u32, Measured)], rings: &[(u32, Measured)]) -> Result<String, std::fmt::Error> {
    let (height, mut svg) = (2.0 * PANEL, String::new());
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"
    )?;
    let (ours, ring) = ("#0a6", "#c50");
    let balance: [Line; 4] = [
        (rings, |at| at.most, ring, "ring of 128 virtual nodes a shard"),
        (rings, |at| at.least, ring, ""),
        (quotas, |at| at.most, ours, "quotas (Shardline)"),
        (quotas, |at| at.least, ours, ""),
    ];
    panel(
        &mut svg,
        0.0,
        "Slots of the fullest and the emptiest shard, mean = 1",
        (0.6, 1.4),
        &balance,
    )?;
    let moved: [Line; 2] = [
        (rings, |at| at.moved, ring, "ring of 128 virtual nodes a shard"),
        (quotas, |at| at.moved, ours, "quotas (Shardline)"),
    ];
    let title = "Slots moved by adding the last shard, what it has to get = 1";
    panel(&mut svg, PANEL, title, (0.6, 1.4), &moved)?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn panel(
    svg: &mut String,
    top: f64,
    title: &str,
    (low, high): (f64, f64),
    lines: &[Line],
) -> std::fmt::Result {
    let x = |shards: u32| {
        let part =
            f64::from(shards.ilog2()) + (f64::from(shards) / f64::from(1 << shards.ilog2())).log2();
        LEFT + (part - 1.0) / (f64::from(SHARDS).log2() - 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| top + TOP + (high - value.clamp(low, high)) / (high - low) * HEIGHT;
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>",
        top + 20.0
    )?;
    for step in 0..=4 {
        let value = low + (high - low) * f64::from(step) / 4.0;
        writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(value) + 4.0,
            at = y(value),
        )?;
    }
    for shards in [2, 4, 8, 16, 32, 64, 128] {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{shards}</text>",
            x(shards),
            y(low) + 18.0
        )?;
    }
    writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.0}\">shards</text>", y(low) + 34.0)?;
    let mut legend = 0.0;
    for (course, value, color, name) in lines {
        let points =
            course.iter().map(|(shards, at)| format!("{:.1},{:.1}", x(*shards), y(value(at))));
        let points = points.collect::<Vec<_>>().join(" ");
        writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"
        )?;
        if !name.is_empty() {
            let at = LEFT + 80.0 + legend;
            writeln!(
                svg,
                "<text x=\"{at:.0}\" y=\"{:.0}\" fill=\"{color}\">{name}</text>",
                y(low) + 34.0
            )?;
            legend += 240.0;
        }
    }
    Ok(())
}
