//! How many workgroups to dispatch.

use crate::error::{Error, Result};

/// Workgroups for `invocations` in groups of `workgroup_size`, folded over x and y above the limit of one dimension.
///
/// WGSL finds the flat index again with `flat_index` of `lib/index`. A folded grid may have up to `y` groups too many,
/// so kernels compare their index with the count. No invocations make `[0, 1, 1]`, which is a legal dispatch of nothing.
///
/// # Errors
/// [`Error::LimitExceeded`] if two dimensions do not hold them, or a `u32` does not number them.
///
/// ```
/// # use ergodic::gpu::grid;
/// let limits = wgpu::Limits::default(); // 65535 groups a dimension
/// assert_eq!(grid(1000, 64, &limits)?, [16, 1, 1]);
/// assert_eq!(grid(64 * 65_536, 64, &limits)?, [32_768, 2, 1]);
/// # Ok::<(), ergodic::Error>(())
/// ```
pub fn grid(invocations: u64, workgroup_size: u32, limits: &wgpu::Limits) -> Result<[u32; 3]> {
    let most = u64::from(limits.max_compute_workgroups_per_dimension);
    let size = u64::from(workgroup_size.max(1));
    let groups = invocations.div_ceil(size);
    if groups == 0 {
        return Ok([0, 1, 1]);
    }
    let y = groups.div_ceil(most);
    let x = groups.div_ceil(y);
    let numbered = x.checked_mul(y * size).is_some_and(|all| all <= 1 << 32);
    if y > most || !numbered {
        return Err(Error::LimitExceeded {
            what: "one dispatch (in invocations)".into(),
            needed: invocations,
            limit: (most * most * size).min(1 << 32),
            hint: "process fewer rows a dispatch".into(),
        });
    }
    Ok([x as u32, y as u32, 1])
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn every_grid_holds_its_invocations_with_less_than_one_row_of_groups_to_spare() {
        let limits = wgpu::Limits { max_compute_workgroups_per_dimension: 7, ..Default::default() };
        for invocations in 1..=49 * 4 {
            let [x, y, z] = grid(invocations, 4, &limits).unwrap();
            assert!(x <= 7 && y <= 7 && z == 1);
            let groups = u64::from(x * y);
            assert!(groups * 4 >= invocations && groups < invocations.div_ceil(4) + u64::from(y), "{invocations}");
        }
    }

    #[test]
    fn nothing_is_a_grid_and_too_much_is_not() {
        let limits = wgpu::Limits::default();
        assert_eq!(grid(0, 64, &limits).unwrap(), [0, 1, 1]);
        assert!(grid((1 << 32) - 65_536, 64, &limits).is_ok());
        assert!(grid((1 << 32) + 1, 64, &limits).is_err(), "a u32 cannot number them");
        let small = wgpu::Limits { max_compute_workgroups_per_dimension: 7, ..Default::default() };
        assert!(grid(49 * 4 + 1, 4, &small).is_err());
    }
}
