//! A device of wgpu.

use sabot_codegen::WgslFeatures;
use sabot_common::DeviceId;
use sabot_gpu_ops::{
    Device, DeviceBuffer, Dialect, Fault, InFlight, KernelSource, Limits, LoadedKernel, Slab, Watch, Watcher,
    WorkStep, probe_floats,
};
use std::any::Any;
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, Buffer, BufferBinding, BufferBindingType, BufferDescriptor, BufferUsages,
    CommandEncoderDescriptor, ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor,
    DeviceDescriptor, ErrorFilter, Features, PipelineCompilationOptions, PipelineLayoutDescriptor, PollType,
    ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

use crate::adapters::{AdapterSummary, buffer_bytes_max, enumerate, summary};
use crate::flight::{Arrival, WgpuWork};

/// What of an adapter is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WgpuOptions {
    /// Integers of 64 bits, where there are any.
    pub int64: bool,
    /// Floats of 64 bits, where there are any.
    pub float64: bool,
    /// Atomic operations on integers of 64 bits, where there are any.
    pub atomic64: bool,
    /// Bytes of device memory that the buffers of kernels may take: no interface says how many there are. What wgpu
    /// copies through comes on top, as much again at most.
    pub memory_bytes: usize,
}

impl Default for WgpuOptions {
    /// All of it, and a gibibyte of memory.
    fn default() -> Self {
        Self { int64: true, float64: true, atomic64: true, memory_bytes: 1 << 30 }
    }
}

/// A device could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no such adapter.
    #[error("no adapter {index}; {found} found{}", if *found == 0 { NO_ADAPTER } else { "" })]
    NoAdapter {
        /// The number asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
    /// The driver refused.
    #[error("adapter {index} ({name}): {reason}")]
    Refused {
        /// The number.
        index: usize,
        /// What its driver calls it.
        name: String,
        /// What the driver said.
        reason: String,
    },
}

const NO_ADAPTER: &str =
    "; a Vulkan driver is needed (Debian: mesa-vulkan-drivers for any machine, or that of the GPU's vendor)";

/// A device of wgpu.
#[derive(Debug)]
pub struct WgpuDevice {
    id: DeviceId,
    summary: AdapterSummary,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// The bindings of kernels without wide words, and with.
    layouts: [BindGroupLayout; 2],
    limits: Limits,
    features: WgslFeatures,
    /// Whether floats of 32 and of 64 bits are rounded correctly.
    exact: OnceLock<(bool, bool)>,
    watch: Arc<Watch>,
    /// Ends with the device.
    _watcher: Watcher,
}

impl WgpuDevice {
    /// Opens the adapter at a place of [`adapters`](crate::adapters), and finds out how it rounds.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(index: usize, options: WgpuOptions) -> Result<Arc<Self>, OpenError> {
        let all = enumerate();
        let adapter = all.get(index).ok_or(OpenError::NoAdapter { index, found: all.len() })?;
        let summary = summary(index, adapter);
        let refused = |reason: String| OpenError::Refused { index, name: summary.name.clone(), reason };
        let mut wanted = Features::empty();
        wanted.set(Features::SHADER_INT64, options.int64 && summary.int64);
        wanted.set(Features::SHADER_F64, options.float64 && summary.float64);
        wanted.set(
            Features::SHADER_INT64_ATOMIC_ALL_OPS,
            options.int64 && options.atomic64 && summary.atomic64,
        );
        let has = adapter.limits();
        let required = wgpu::Limits {
            max_buffer_size: has.max_buffer_size,
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let descriptor = DeviceDescriptor {
            label: Some("sabot"),
            required_features: wanted,
            required_limits: required.clone(),
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| refused(e.to_string()))?;
        let watch = Arc::new(Watch::default());
        let lost = watch.clone();
        device.set_device_lost_callback(move |reason, message| {
            // A device that is dropped is lost on purpose.
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost.lose(message);
            }
        });
        let id = DeviceId::new(format!("wgpu:{index}"));
        let polled = device.clone();
        let poll = move || polled.poll(PollType::Poll).map(|_| ()).map_err(|error| error.to_string());
        let watcher = Watcher::start(watch.clone(), &format!("sabot-watch-{id}"), poll)
            .map_err(|error| refused(error.to_string()))?;
        let limits = Limits {
            memory_bytes: options.memory_bytes,
            // Offsets in a buffer count words of 32 bits, and sizes are even.
            buffer_bytes_max: usize::try_from(buffer_bytes_max(&required)).unwrap_or(usize::MAX) & !3,
            workgroups_max: required.max_compute_workgroups_per_dimension,
        };
        let features = WgslFeatures {
            int64: wanted.contains(Features::SHADER_INT64),
            float64: wanted.contains(Features::SHADER_F64),
            atomic64: wanted.contains(Features::SHADER_INT64_ATOMIC_ALL_OPS),
            ..WgslFeatures::default()
        };
        let layouts = [layout(&device, false), layout(&device, true)];
        let exact = OnceLock::new();
        let this = Arc::new(Self {
            id,
            summary,
            device,
            queue,
            layouts,
            limits,
            features,
            exact,
            watch,
            _watcher: watcher,
        });
        let found = (probe_floats(&*this, 32), features.float64 && probe_floats(&*this, 64));
        this.exact.get_or_init(|| found);
        Ok(this)
    }

    /// What it is.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// Does something, and gives the error that wgpu saw in the meantime.
    fn checked<T>(&self, act: impl FnOnce() -> T) -> Result<T, Fault> {
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let value = act();
        let (validation, internal, memory) = (validation.pop(), internal.pop(), memory.pop());
        if let Some(reason) = self.watch.lost() {
            return Err(Fault::Lost(reason));
        }
        if pollster::block_on(memory).is_some() {
            return Err(Fault::OutOfMemory { bytes: 0 });
        }
        match pollster::block_on(validation).or(pollster::block_on(internal)) {
            Some(error) => Err(Fault::Launch(error.to_string())),
            None => Ok(value),
        }
    }
}

/// The bindings of a kernel: input, output, parameters, status, and wide words if it has any.
fn layout(device: &wgpu::Device, wide: bool) -> BindGroupLayout {
    let entry = |binding: u32, read_only: bool| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty: BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    device.create_bind_group_layout(&BindGroupLayoutDescriptor {
        label: Some("sabot"),
        entries: &[entry(0, true), entry(1, false), entry(2, true), entry(3, false), entry(4, false)]
            [..if wide { 5 } else { 4 }],
    })
}

#[derive(Debug)]
struct WgpuBuffer(Buffer);

impl DeviceBuffer for WgpuBuffer {
    fn bytes(&self) -> usize {
        self.0.size() as usize
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn buffer(of: &Arc<dyn DeviceBuffer>) -> Result<&Buffer, Fault> {
    let own = of.as_any().downcast_ref::<WgpuBuffer>();
    own.map(|own| &own.0).ok_or_else(|| Fault::Launch("a buffer of another device".to_owned()))
}

#[derive(Debug)]
struct WgpuKernel {
    /// One an entry.
    pipelines: Vec<ComputePipeline>,
    /// Whether it has wide words.
    wide: bool,
}

impl LoadedKernel for WgpuKernel {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Device for WgpuDevice {
    fn id(&self) -> DeviceId {
        self.id.clone()
    }

    fn dialect(&self) -> Dialect {
        let (exact32, exact64) = self.exact.get().copied().unwrap_or_default();
        Dialect::Wgsl(WgslFeatures { exact32, exact64, ..self.features })
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn load(&self, source: &KernelSource) -> Result<Arc<dyn LoadedKernel>, Fault> {
        let wide = source.has_wide_words();
        let label = source.entries.first().copied();
        let pipelines = self.checked(|| {
            let module = self.device.create_shader_module(ShaderModuleDescriptor {
                label,
                source: ShaderSource::Wgsl(source.text.as_str().into()),
            });
            let layout = self.device.create_pipeline_layout(&PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&self.layouts[usize::from(wide)])],
                immediate_size: 0,
            });
            let pipeline = |entry: &&'static str| {
                self.device.create_compute_pipeline(&ComputePipelineDescriptor {
                    label: Some(entry),
                    layout: Some(&layout),
                    module: &module,
                    entry_point: Some(entry),
                    // Kernels set what they read.
                    compilation_options: PipelineCompilationOptions {
                        zero_initialize_workgroup_memory: false,
                        ..PipelineCompilationOptions::default()
                    },
                    cache: None,
                })
            };
            source.entries.iter().map(pipeline).collect()
        })?;
        Ok(Arc::new(WgpuKernel { pipelines, wide }))
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn DeviceBuffer>, Fault> {
        let created = self.checked(|| {
            self.device.create_buffer(&BufferDescriptor {
                label: None,
                size: bytes.next_multiple_of(4) as u64,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        match created {
            Ok(created) => Ok(Arc::new(WgpuBuffer(created))),
            Err(Fault::OutOfMemory { .. }) => Err(Fault::OutOfMemory { bytes }),
            Err(other) => Err(other),
        }
    }

    fn slab(&self, words: usize) -> Result<Box<dyn Slab>, Fault> {
        // wgpu copies into memory of its own, from anywhere.
        Ok(Box::new(vec![0u32; words]))
    }

    fn submit(&self, work: Vec<WorkStep>) -> Result<Box<dyn InFlight>, Fault> {
        let (uploaded, arrivals) = self.checked(|| self.encode(work))??;
        Ok(Box::new(WgpuWork::new(self.watch.clone(), uploaded, arrivals)))
    }
}

type Encoded = (Vec<Box<dyn Slab>>, Vec<Arrival>);

impl WgpuDevice {
    /// Hands work to the queue. Uploads take place before everything else of the work; no work uploads what it
    /// has used.
    fn encode(&self, work: Vec<WorkStep>) -> Result<Encoded, Fault> {
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor { label: None });
        let (mut uploaded, mut arrivals) = (Vec::new(), Vec::new());
        for step in work {
            match step {
                WorkStep::Upload { from, words, to } => {
                    self.queue.write_buffer(buffer(&to)?, 0, bytemuck::cast_slice(&from.words()[..words]));
                    uploaded.push(from);
                }
                WorkStep::Clear { buffer: of, words } => {
                    encoder.clear_buffer(buffer(&of)?, 0, Some(words as u64 * 4));
                }
                WorkStep::Launch { kernel, entry, bindings, groups } => {
                    let kernel = kernel.as_any().downcast_ref::<WgpuKernel>();
                    let kernel =
                        kernel.ok_or_else(|| Fault::Launch("a kernel of another device".to_owned()))?;
                    let pipeline = kernel.pipelines.get(entry);
                    let pipeline = pipeline.ok_or_else(|| Fault::Launch(format!("no entry {entry}")))?;
                    let all = [&bindings.input, &bindings.output, &bindings.parameters, &bindings.status];
                    let mut entries = Vec::with_capacity(all.len() + 1);
                    for (binding, part) in (0..).zip(all.into_iter().chain(&bindings.wide)) {
                        let resource = BindingResource::Buffer(BufferBinding {
                            buffer: buffer(&part.buffer)?,
                            offset: 0,
                            size: NonZeroU64::new(part.words as u64 * 4),
                        });
                        entries.push(BindGroupEntry { binding, resource });
                    }
                    let group = self.device.create_bind_group(&BindGroupDescriptor {
                        label: None,
                        layout: &self.layouts[usize::from(kernel.wide)],
                        entries: &entries,
                    });
                    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, &group, &[]);
                    pass.dispatch_workgroups(groups, 1, 1);
                }
                WorkStep::Download { from, words, to } => {
                    let size = words as u64 * 4;
                    let staging = self.device.create_buffer(&BufferDescriptor {
                        label: None,
                        size,
                        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    });
                    encoder.copy_buffer_to_buffer(buffer(&from)?, 0, &staging, 0, size);
                    arrivals.push(Arrival { staging, words, to });
                }
            }
        }
        self.queue.submit([encoder.finish()]);
        Ok((uploaded, arrivals))
    }
}
