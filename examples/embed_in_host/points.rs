//! Points as light, in plain wgpu: drawn from the buffer that the engine writes.

const SHADER: &str = "
@vertex fn place(@location(0) x: vec2<f32>) -> @builtin(position) vec4<f32> { return vec4(x / 2.0, 0.0, 1.0); }
@fragment fn light() -> @location(0) vec4<f32> { return vec4(0.06, 0.11, 0.2, 1.0); }";

/// Draws points of two coordinates in (-2, 2), of one pixel each, whose light adds up.
pub struct Points(wgpu::RenderPipeline);

impl Points {
    /// Onto targets of this format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let source = wgpu::ShaderSource::Wgsl(SHADER.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("points"), source });
        let add = wgpu::BlendComponent {
            src_factor: wgpu::BlendFactor::One,
            dst_factor: wgpu::BlendFactor::One,
            operation: wgpu::BlendOperation::Add,
        };
        let target = wgpu::ColorTargetState {
            format,
            blend: Some(wgpu::BlendState { color: add, alpha: add }),
            write_mask: wgpu::ColorWrites::ALL,
        };
        let attributes = wgpu::vertex_attr_array![0 => Float32x2];
        let step_mode = wgpu::VertexStepMode::Vertex;
        let buffer = wgpu::VertexBufferLayout { array_stride: 8, step_mode, attributes: &attributes };
        Points(device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
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
        }))
    }

    /// Record a light at each of the first `n` points of a buffer, in a pass of the host.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, points: &wgpu::Buffer, n: u32) {
        pass.set_pipeline(&self.0);
        pass.set_vertex_buffer(0, points.slice(..));
        pass.draw(0..n, 0..1);
    }
}
