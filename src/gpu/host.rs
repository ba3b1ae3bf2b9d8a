//! What a host passes in, and what the compiler says to a host on another wgpu.

mod sealed {
    pub trait Sealed {}
}

/// A handle of the wgpu that this crate is built on and re-exports as [`ergodic::wgpu`](crate::wgpu). A host on another version is
/// told so by the compiler.
#[diagnostic::on_unimplemented(
    message = "ergodic is built on wgpu 30, and this `{Self}` is not its `{T}`",
    label = "of another wgpu",
    note = "write `ergodic::wgpu` in place of `wgpu`, or ask for wgpu 30 in Cargo.toml; `cargo tree --invert wgpu` lists what is there"
)]
pub trait HostHandle<T>: sealed::Sealed {
    #[doc(hidden)]
    fn into_own(self) -> T;
}

macro_rules! handles {
    ($($handle:ty),*) => { $(
        impl sealed::Sealed for $handle {}
        impl HostHandle<$handle> for $handle {
            fn into_own(self) -> $handle {
                self
            }
        }
    )* };
}
handles!(wgpu::AdapterInfo, wgpu::Device, wgpu::Queue);
