// matmul: C = A B in registers; C [N, M], A [N, K], B [K, M], f32.
//   SPLIT > 1: C is [SPLIT * N, M]; block s holds the sum over the s-th chunk of K, and the caller adds the blocks.
// Memory is reached through functions that the caller splices in as `io`; they are called with indices in range only:
//   a4(i, k)  A[i, k..k+4] (rows layout) or A[i..i+4, k] (columns layout)      a1(i, k)  one element
//   b4(k, j)  B[k, j..j+4] (rows layout) or B[k..k+4, j] (columns layout)      b1(k, j)  one element
//   store4(i, j, v)  C[i, j..j+4] = epilogue(v)                                store1(i, j, v)  one element
//   sum4(i, j, v)  what C[i, j..j+4] adds to the sum of row i (or sum1), and store_sum(i, s): where only such sums are stored
// Each element of C is stored once, by one invocation; its sum runs over ascending k, or in slices of it that
//   are added in order.
// One invocation computes a tile of C; kernels/matmul.rs chooses its shape and writes the unrolled body.
// No atomics; barriers in the `Shared` variant only. Twin: kernels/matmul.rs, `reference`.
#splice sizes
#splice io
#splice loads
@compute @workgroup_size(WORKGROUP)
fn main(
#splice builtins
) {
#splice body
}
