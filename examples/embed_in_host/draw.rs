//! Points as light: what the host does with the walkers, in plain wgpu.

use super::Result;
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::RGBColor;
use std::path::Path;

/// Pixels along an edge. A row of a texture that is copied is a multiple of 256 bytes: it is.
const EDGE: u32 = 512;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

const SHADER: &str = "
@vertex fn place(@location(0) x: vec2<f32>) -> @builtin(position) vec4<f32> { return vec4(x / 2.0, 0.0, 1.0); }
@fragment fn light() -> @location(0) vec4<f32> { return vec4(0.06, 0.11, 0.2, 1.0); }";

/// A texture to draw on, and a buffer to take it home in.
pub struct Canvas {
    pipeline: wgpu::RenderPipeline,
    texture: wgpu::Texture,
    pixels: wgpu::Buffer,
}

impl Canvas {
    /// For points of two coordinates in (-2, 2).
    pub fn new(device: &wgpu::Device) -> Self {
        let size = wgpu::Extent3d { width: EDGE, height: EDGE, depth_or_array_layers: 1 };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("canvas"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let pixels = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pixels"),
            size: u64::from(4 * EDGE * EDGE),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        Canvas { pipeline: pipeline(device), texture, pixels }
    }

    /// Record a frame: a light at each of the first `n` points of a buffer.
    pub fn draw(&self, encoder: &mut wgpu::CommandEncoder, points: &wgpu::Buffer, n: u32) {
        let view = self.texture.create_view(&Default::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let target = wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("walkers"),
            color_attachments: &[Some(target)],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_vertex_buffer(0, points.slice(..));
        pass.draw(0..n, 0..1);
        drop(pass);
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * EDGE), rows_per_image: None };
        let into = wgpu::TexelCopyBufferInfo { buffer: &self.pixels, layout };
        encoder.copy_texture_to_buffer(self.texture.as_image_copy(), into, self.texture.size());
    }

    /// Write what was submitted last as a PNG.
    pub fn save(&self, device: &wgpu::Device, path: &Path) -> Result<()> {
        self.pixels.map_async(wgpu::MapMode::Read, .., |_| ());
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let pixels = self.pixels.get_mapped_range(..)?.to_vec();
        self.pixels.unmap();
        let mut image = BitMapBackend::new(path, (EDGE, EDGE));
        for (i, rgba) in pixels.chunks(4).enumerate() {
            let at = (i as i32 % EDGE as i32, i as i32 / EDGE as i32);
            image.draw_pixel(at, plotters::style::Color::to_backend_color(&RGBColor(rgba[0], rgba[1], rgba[2])))?;
        }
        image.present()?;
        Ok(())
    }
}

/// Points of one pixel whose light adds up.
fn pipeline(device: &wgpu::Device) -> wgpu::RenderPipeline {
    let source = wgpu::ShaderSource::Wgsl(SHADER.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("points"), source });
    let add = wgpu::BlendComponent {
        src_factor: wgpu::BlendFactor::One,
        dst_factor: wgpu::BlendFactor::One,
        operation: wgpu::BlendOperation::Add,
    };
    let target = wgpu::ColorTargetState {
        format: FORMAT,
        blend: Some(wgpu::BlendState { color: add, alpha: add }),
        write_mask: wgpu::ColorWrites::ALL,
    };
    let attributes = wgpu::vertex_attr_array![0 => Float32x2];
    let buffer =
        wgpu::VertexBufferLayout { array_stride: 8, step_mode: wgpu::VertexStepMode::Vertex, attributes: &attributes };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("points"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("place"),
            compilation_options: Default::default(),
            buffers: &[Some(buffer)],
        },
        primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::PointList, ..Default::default() },
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("light"),
            compilation_options: Default::default(),
            targets: &[Some(target)],
        }),
        multiview_mask: None,
        cache: None,
    })
}
