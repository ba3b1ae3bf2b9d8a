// stencil: several explicit steps of a field in one pass over memory.
// A tile streams along one axis of the field, the last but one of a plane or the last of a line. In each round it reads a
// few new cells there, then takes every level (step) as far as the cells read so far allow, each level behind the one
// before by its radius, and stores what the last level gives. Between rounds a level keeps as many cells as its stencil
// reaches, in registers: nothing lies in memory between the first level and the last.
// Across a plane, LANES lanes of a subgroup hold CHUNK neighbouring cells each and hand the cells at their ends to each
// other. The cells at both ends of a tile spoil level by level, as many as the halo has; neighbours overlap by it.
//   TILES     tiles in all: STRIPS across the field, SEGMENTS along it, for each field of a batch
//   STRIP     cells across that a tile stores        SEGMENT   cells along that it stores
// Spliced in: sizes, the constants above; body, what src/plan/lower/stream.rs writes for the levels of one pass. It finds
//   own       whether the tile is one of TILES: grids are folded, and what lies beyond must not be stored
//   batch, strip, start (first cell along the field that is stored), lane
// No barrier, no atomic. Twin: the stencil of graph/eval/reduce.rs, level after level.
#splice sizes

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
#if SHUFFLE
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
#if SHUFFLE
    // One subgroup a workgroup, all of whose lanes go the same way.
    let place = flat_group(group, groups);
    let to_left = (lane + LANES - 1u) % LANES;
    let to_right = (lane + 1u) % LANES;
#else
    let place = flat_index(group, groups, local, GROUP);
    let lane = 0u;
#endif
    let own = place < TILES;
    let tile = min(place, TILES - 1u);
    let strip = tile % STRIPS;
    let start = (tile / STRIPS % SEGMENTS) * SEGMENT;
    let batch = tile / (STRIPS * SEGMENTS);
#splice body
}
