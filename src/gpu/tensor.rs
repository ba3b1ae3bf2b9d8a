//! Arrays on a device.

use super::device::{Gpu, PollMode};
use super::pool::{Kind, Lease, Pool};
use super::readback::Readback;
use crate::error::{Error, Result};
use crate::graph::{DType, Shape};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Element types that travel between the host and a tensor.
pub trait Element: bytemuck::Pod + Send + private::Sealed {
    /// Whether a tensor of this type can be written from and read into slices of `Self`.
    fn fits(dtype: DType) -> bool;
}

impl Element for f32 {
    fn fits(dtype: DType) -> bool {
        dtype == DType::F32
    }
}

/// For `DType::U32`, and for `DType::Bool` as 0 and 1.
impl Element for u32 {
    fn fits(dtype: DType) -> bool {
        matches!(dtype, DType::U32 | DType::Bool)
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
}

/// A row-major array in a storage buffer. Clones share it.
///
/// Its byte range is padded to a multiple of 16, and to 16 if it has no elements, so that it can be bound as
/// `array<vec4<f32>>`; the padding is zero until a kernel writes it.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    gpu: Gpu,
    label: String,
    shape: Shape,
    dtype: DType,
    memory: Arc<Memory>,
    offset: u64,
}

enum Memory {
    Pooled(Lease),
    Foreign(wgpu::Buffer),
}

impl Tensor {
    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::BindingTooLarge`], [`Error::OutOfMemory`], [`Error::DeviceLost`]; [`Error::Invalid`] for `DType::Key`.
    pub fn zeros(gpu: &Gpu, label: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let tensor = Self::uninit(gpu, label, shape, dtype)?;
        if !tensor.is_fresh() {
            tensor.clear()?;
        }
        Ok(tensor)
    }

    /// A tensor that holds whatever its buffer last held: for outputs that a kernel writes in full.
    ///
    /// # Errors
    /// Those of [`zeros`](Self::zeros).
    pub fn uninit(gpu: &Gpu, label: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        if dtype == DType::Key {
            let (what, want) = ("the element type of a tensor", "F32, U32 or Bool");
            return Err(Error::Invalid { what, got: "Key".into(), want });
        }
        let bytes = checked_bytes(gpu, label, shape)?;
        let memory = Arc::new(Memory::Pooled(Pool::lease(gpu, Kind::Storage, label, bytes)?));
        let (gpu, label, shape) = (gpu.clone(), label.to_string(), Shape::from(shape));
        Ok(Tensor(Arc::new(Inner { gpu, label, shape, dtype, memory, offset: 0 })))
    }

    /// Whether a tensor of this shape could be made now. Nothing is allocated: ask before filling an array for it.
    ///
    /// # Errors
    /// [`Error::BindingTooLarge`]; [`Error::OutOfMemory`] if it would pass the memory budget.
    pub fn check_fits(gpu: &Gpu, label: &str, shape: &[usize]) -> Result<()> {
        let (needed, memory) = (checked_bytes(gpu, label, shape)?, gpu.memory());
        match memory.budget.filter(|&budget| needed > budget.saturating_sub(memory.in_use)) {
            None => Ok(()),
            Some(budget) => Err(Error::OutOfMemory { name: label.into(), needed, in_use: memory.in_use, budget }),
        }
    }

    /// A tensor with these elements: `F32` from `f32`, `U32` from `u32`.
    ///
    /// # Errors
    /// Those of [`zeros`](Self::zeros), and [`Error::Shape`] if `data` has not as many elements as `shape`.
    pub fn from_slice<T: Element>(gpu: &Gpu, label: &str, shape: &[usize], data: &[T]) -> Result<Tensor> {
        let dtype = if T::fits(DType::F32) { DType::F32 } else { DType::U32 };
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(data.len()) {
            let (got, want) = (format!("{} elements", data.len()), format!("the {shape:?} of `{label}`"));
            return Err(Error::Shape { op: "Tensor::from_slice", got, want, at: None });
        }
        let tensor = Self::uninit(gpu, label, shape, dtype)?;
        tensor.write(data)?;
        Ok(tensor)
    }

    /// Wraps a part of a buffer of the same device, which needs the usages `STORAGE`, `COPY_SRC` and `COPY_DST`, and on a software
    /// adapter `UNIFORM` too.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an offset that the device cannot bind, a missing usage, or a buffer that ends before the
    /// padded tensor does; [`Error::BindingTooLarge`].
    pub fn from_wgpu(
        gpu: &Gpu,
        label: &str,
        shape: &[usize],
        dtype: DType,
        buffer: wgpu::Buffer,
        offset: u64,
    ) -> Result<Tensor> {
        let bytes = checked_bytes(gpu, label, shape)?;
        let align = u64::from(gpu.caps().limits.min_storage_buffer_offset_alignment);
        let invalid = |what, got, want| Err(Error::Invalid { what, got, want });
        if !offset.is_multiple_of(align) {
            return invalid(
                "offset of a tensor",
                offset.to_string(),
                "a multiple of min_storage_buffer_offset_alignment",
            );
        }
        if offset.checked_add(bytes).is_none_or(|end| end > buffer.size()) {
            let got = format!("{} bytes, of which the tensor takes {bytes} from {offset}", buffer.size());
            return invalid("size of a tensor's buffer", got, "at least the tensor, padded to 16 bytes");
        }
        use wgpu::BufferUsages as U;
        let got = format!("{:?}", buffer.usage());
        if !buffer.usage().contains(U::STORAGE | U::COPY_SRC | U::COPY_DST) {
            return invalid("usage of a tensor's buffer", got, "STORAGE | COPY_SRC | COPY_DST");
        }
        // Kernels for a software adapter read small tensors as uniforms.
        if gpu.caps().is_software() && !buffer.usage().contains(U::UNIFORM) {
            return invalid("usage of a tensor's buffer", got, "with UNIFORM too on a software adapter");
        }
        let (gpu, label, shape) = (gpu.clone(), label.to_string(), Shape::from(shape));
        let memory = Arc::new(Memory::Foreign(buffer));
        Ok(Tensor(Arc::new(Inner { gpu, label, shape, dtype, memory, offset })))
    }

    /// The buffer, and the range of bytes that holds the elements (without padding). It belongs to the tensor: keep a
    /// clone of the tensor for as long as it is used.
    pub fn as_wgpu(&self) -> (&wgpu::Buffer, Range<u64>) {
        (self.buffer(), self.0.offset..self.0.offset + self.bytes())
    }

    /// The same elements under another shape. No copy is made: both share the memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ in size.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(self.len()) {
            let (got, want) = (format!("{shape:?}"), format!("{} elements", self.len()));
            return Err(Error::Shape { op: "Tensor::reshape", got, want, at: None });
        }
        let Inner { gpu, label, dtype, memory, offset, .. } = &*self.0;
        let (gpu, label, memory) = (gpu.clone(), label.clone(), memory.clone());
        let shape = Shape::from(shape);
        Ok(Tensor(Arc::new(Inner { gpu, label, shape, dtype: *dtype, memory, offset: *offset })))
    }

    /// Replaces all elements. Takes effect before the next submission, whatever is recorded in it.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of elements or another element type.
    pub fn write<T: Element>(&self, data: &[T]) -> Result<()> {
        self.check_element::<T>("Tensor::write")?;
        if data.len() != self.len() {
            let (got, want) = (format!("{} elements", data.len()), format!("{} for {self:?}", self.len()));
            return Err(Error::Shape { op: "Tensor::write", got, want, at: None });
        }
        self.0.gpu.check_lost()?;
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let queue = self.0.gpu.queue();
        if !bytes.is_empty() {
            queue.write_buffer(self.buffer(), self.0.offset, bytes);
        }
        let padding = [0u8; 16];
        let slack = (self.padded_bytes() - self.bytes()) as usize;
        if slack > 0 {
            queue.write_buffer(self.buffer(), self.0.offset + self.bytes(), &padding[..slack]);
        }
        Ok(())
    }

    /// Sets all elements to zero, before whatever is submitted next.
    fn clear(&self) -> Result<()> {
        let gpu = &self.0.gpu;
        let bytes = self.padded_bytes();
        // A submission costs more than writing a few zeros does; on a host's device there is no other way.
        if bytes <= 1 << 16 || gpu.poll_mode() == PollMode::Host {
            gpu.queue().write_buffer(self.buffer(), self.0.offset, &vec![0; bytes as usize]);
            return Ok(());
        }
        let mut encoder = gpu.encoder("clear");
        encoder.clear_buffer(self.buffer(), self.0.offset, Some(bytes));
        gpu.submit(encoder).map(drop)
    }

    /// Starts copying all elements to the host, on a device of our own.
    ///
    /// # Errors
    /// [`Error::Shape`] for another element type, [`Error::OutOfMemory`] for the copy, [`Error::DeviceLost`], and
    /// [`Error::Invalid`] on a host's device: use [`read_in`](Self::read_in) there.
    pub fn read<T: Element>(&self) -> Result<Readback<T>> {
        let mut reads = self.0.gpu.read_many::<T>(&[self])?;
        reads.pop().ok_or_else(|| Error::Refused { message: "a read without a readback".into() })
    }

    /// Records the copy to the host into an encoder. It is on its way once the encoder is submitted.
    ///
    /// # Errors
    /// [`Error::Shape`] for another element type, [`Error::OutOfMemory`] for the copy, [`Error::DeviceLost`].
    pub fn read_in<T: Element>(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Readback<T>> {
        self.check_element::<T>("Tensor::read")?;
        Readback::record(self, encoder)
    }

    /// Keeps the tensor's memory until the encoder's commands have run, or until the encoder is dropped.
    ///
    /// Whoever records commands that use a tensor calls this, or keeps a clone until the encoder is submitted: the
    /// buffer of a dropped tensor is handed out again, and an upload to its next owner would overtake the commands.
    pub fn keep_for(&self, encoder: &wgpu::CommandEncoder) {
        let kept = self.clone();
        encoder.on_submitted_work_done(move || drop(kept));
    }

    /// Records a copy into another tensor of as many bytes, and keeps both until it has run.
    pub(crate) fn copy_in(&self, encoder: &mut wgpu::CommandEncoder, to: &Tensor) {
        let ((source, range), (target, place)) = (self.as_wgpu(), to.as_wgpu());
        encoder.copy_buffer_to_buffer(source, range.start, target, place.start, self.padded_bytes());
        self.keep_for(encoder);
        to.keep_for(encoder);
    }

    /// Name, for messages and debuggers.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Axis lengths.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.shape.numel()
    }

    /// Whether an axis is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * DType::BYTES
    }

    /// Bytes of the binding: a multiple of 16, and at least 16.
    pub fn padded_bytes(&self) -> u64 {
        padded(self.bytes())
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// The padded range, to be bound as a storage buffer (or, up to the device's limit, as a uniform one).
    pub fn buffer_binding(&self) -> wgpu::BufferBinding<'_> {
        let size = wgpu::BufferSize::new(self.padded_bytes());
        wgpu::BufferBinding { buffer: self.buffer(), offset: self.0.offset, size }
    }

    /// [`buffer_binding`](Self::buffer_binding) as an entry of a bind group.
    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(self.buffer_binding())
    }

    /// # Errors
    /// [`Error::ForeignDevice`] if it lives on another device than `gpu`. `user` is what wants to use it.
    pub fn check_on(&self, gpu: &Gpu, user: &'static str) -> Result<()> {
        if self.0.gpu.same_device(gpu) {
            return Ok(());
        }
        Err(Error::ForeignDevice { name: self.0.label.clone(), user })
    }

    /// Whether both use the same memory.
    pub fn shares_memory(&self, other: &Tensor) -> bool {
        self.buffer() == other.buffer()
    }

    pub(crate) fn buffer(&self) -> &wgpu::Buffer {
        match &*self.0.memory {
            Memory::Pooled(lease) => &lease.buffer,
            Memory::Foreign(buffer) => buffer,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.0.offset
    }

    fn is_fresh(&self) -> bool {
        matches!(&*self.0.memory, Memory::Pooled(lease) if lease.fresh)
    }

    fn check_element<T: Element>(&self, op: &'static str) -> Result<()> {
        if T::fits(self.0.dtype) {
            return Ok(());
        }
        let (got, want) = (std::any::type_name::<T>().to_string(), format!("the element type of {self:?}"));
        Err(Error::Shape { op, got, want, at: None })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {:?} {:?}", self.0.label, self.0.shape, self.0.dtype)
    }
}

pub(super) fn padded(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(16)
}

/// Padded bytes of a tensor that one binding can hold.
fn checked_bytes(gpu: &Gpu, label: &str, shape: &[usize]) -> Result<u64> {
    let limits = &gpu.caps().limits;
    let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) & !15;
    let bytes = |shape: &[usize]| shape.iter().try_fold(DType::BYTES, |n, &d| n.checked_mul(d as u64));
    if let Some(fits) = bytes(shape).filter(|&bytes| bytes <= limit) {
        return Ok(padded(fits));
    }
    let row_limit = shape.get(1..).and_then(bytes).map_or(0, |row| limit / row.max(1));
    let hint = match (shape.first(), row_limit) {
        (Some(&rows), 1..) => {
            format!("split its {rows} rows into {} tensors of at most {row_limit}", (rows as u64).div_ceil(row_limit))
        }
        _ => "one row alone is too large: put the long axis first, or use a device with a larger limit".into(),
    };
    let needed = bytes(shape).unwrap_or(u64::MAX);
    Err(Error::BindingTooLarge { name: label.into(), needed, limit, hint })
}
