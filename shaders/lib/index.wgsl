// index: the flat number of an invocation, for grids that are folded over x and y.
//   let i = flat_index(group, groups, local, 64u);   if (i < n) { ... }
//   group   @builtin(workgroup_id)             groups  @builtin(num_workgroups)
//   local   @builtin(local_invocation_index)   size    invocations in a group
// A dimension has at most 65535 groups, so the host folds larger grids (`grid` in src/gpu/grid.rs); the fold may add
// up to one row of groups too many, which is why every kernel compares with its n.

fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

fn flat_index(group: vec3<u32>, groups: vec3<u32>, local: u32, size: u32) -> u32 {
    return flat_group(group, groups) * size + local;
}
