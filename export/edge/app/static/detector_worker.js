// Runs the model in ONNX Runtime Web: on the GPU where the browser has WebGPU, else on the CPU with SIMD and, where the
// page is cross-origin isolated, threads.

let ort;
let session;
let labels;

const ENGINES = [
  { name: "WebGPU", module: "./ort.webgpu.bundle.min.mjs", provider: "webgpu", usable: hasWebGpu },
  { name: "WASM", module: "./ort.wasm.bundle.min.mjs", provider: "wasm", usable: async () => true },
];
const MAX_THREADS = 8;

async function hasWebGpu() {
  return Boolean(navigator.gpu && (await navigator.gpu.requestAdapter()));
}

async function open(engine, model) {
  ort = await import(engine.module);
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MAX_THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(model, { executionProviders: [engine.provider], logSeverityLevel: 3 });
  const blank = new Uint8Array(8 * 8 * 3);
  await run(blank, 8, 8); // the first run compiles what the engine needs
  return engine.provider === "wasm" ? `${engine.name}, ${threads} threads` : engine.name;
}

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: HTTP ${response.status}`);
  return response;
}

async function load() {
  const start = performance.now();
  const about = await (await fetched("labels.json")).json();
  const model = new Uint8Array(await (await fetched("model.onnx")).arrayBuffer());
  labels = about.labels;
  const problems = [];
  for (const engine of ENGINES) {
    try {
      if (!(await engine.usable())) continue;
      const name = await open(engine, model);
      return { ...about, engine: name, ms: performance.now() - start };
    } catch (error) {
      problems.push(`${engine.name}: ${error.message ?? error}`);
    }
  }
  throw new Error(problems.join("; "));
}

async function run(rgb, width, height) {
  const pixels = new ort.Tensor("uint8", rgb, [height, width, 3]);
  const { boxes, scores, class_ids: classIds } = await session.run({ pixels });
  const objects = [];
  for (let index = 0; index < scores.data.length; index++) {
    objects.push({
      bbox: Array.from(boxes.data.subarray(4 * index, 4 * index + 4)),
      categoryId: classIds.data[index],
      categoryName: labels[classIds.data[index]],
      score: scores.data[index],
    });
  }
  return objects;
}

async function detect({ width, height, rgba }) {
  const start = performance.now();
  const from = new Uint8ClampedArray(rgba);
  const rgb = new Uint8Array(width * height * 3);
  for (let source = 0, target = 0; source < from.length; source += 4) {
    rgb[target++] = from[source];
    rgb[target++] = from[source + 1];
    rgb[target++] = from[source + 2];
  }
  const objects = await run(rgb, width, height);
  return { objects, ms: performance.now() - start };
}

const TASKS = { load, detect };

self.addEventListener("message", async ({ data }) => {
  try {
    self.postMessage({ id: data.id, result: await TASKS[data.kind](data) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
});
