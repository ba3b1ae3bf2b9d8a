//! Frames as files: a texture that the host draws on and takes home.

use super::Result;
use super::points::Points;
use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::{Color, RGBColor};
use std::path::Path;

/// Pixels along an edge. A row of a texture that is copied is a multiple of 256 bytes: it is.
const EDGE: u32 = 512;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// Record a pass of the host: a light at each of the first `n` points of a buffer.
pub fn on_black(
    light: &Points,
    encoder: &mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
    (points, n): (&wgpu::Buffer, u32),
) {
    let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
    let target = wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops };
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("walkers"),
        color_attachments: &[Some(target)],
        ..Default::default()
    });
    light.draw(&mut pass, points, n);
}

/// A texture to draw on, and a buffer to take it home in.
pub struct Canvas {
    points: Points,
    texture: wgpu::Texture,
    pixels: wgpu::Buffer,
}

impl Canvas {
    /// A square one.
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
        Canvas { points: Points::new(device, FORMAT), texture, pixels }
    }

    /// Record a frame: a light at each of the first `n` points of a buffer.
    pub fn draw(&self, encoder: &mut wgpu::CommandEncoder, points: &wgpu::Buffer, n: u32) {
        on_black(&self.points, encoder, &self.texture.create_view(&Default::default()), (points, n));
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
            image.draw_pixel(at, RGBColor(rgba[0], rgba[1], rgba[2]).to_backend_color())?;
        }
        image.present()?;
        Ok(())
    }
}
