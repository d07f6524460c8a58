// The page: an image or the camera in, boxes out.

import { Detector } from "./detector.js";
import { drawObjects } from "./draw.js";
import { language, text } from "./texts.js";

const MAX_PIXELS = 16e6; // of the canvas; that of Safari on phones has at most 4096 x 4096
const part = (id) => document.getElementById(id);
const canvas = part("canvas");
const context = canvas.getContext("2d");
const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true }); // for the detector
const video = document.createElement("video");
video.muted = true;
video.playsInline = true;

const detector = new Detector();
let shown = null; // the ImageBitmap on the canvas, its name and size, its size and scale on the canvas, its objects
let stream = null;
let turn = 0; // grows with every new input: results of earlier ones are dropped

function say(message, isError = false) {
  part("status").textContent = message;
  part("status").classList.toggle("error", isError);
}

function threshold() {
  return Number(part("threshold").value);
}

function visible() {
  return shown.objects.filter(({ score }) => score > threshold());
}

function draw() {
  part("threshold-value").textContent = threshold().toFixed(2);
  if (!shown) return;
  canvas.width = shown.shownWidth;
  canvas.height = shown.shownHeight;
  context.drawImage(shown.source, 0, 0, canvas.width, canvas.height);
  const objects = visible();
  drawObjects(context, objects);
  const counts = new Map();
  for (const { categoryName } of objects) counts.set(categoryName, (counts.get(categoryName) ?? 0) + 1);
  part("counts").textContent = [...counts].map(([name, count]) => `${name} ${count}`).join(" · ");
  canvas.setAttribute("aria-label", part("counts").textContent);
}

function show(next) {
  if (shown?.source !== next.source) shown?.source.close();
  shown = next;
  part("hint").hidden = true;
  draw();
}

// Detects what is in an ImageBitmap, and shows it with its boxes unless there is a newer input by then.
async function detect(source, name, isVideo) {
  const mine = turn;
  const { width, height } = source;
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  copy.canvas.width = Math.max(1, Math.floor(width * scale));
  copy.canvas.height = Math.max(1, Math.floor(height * scale));
  copy.drawImage(source, 0, 0, copy.canvas.width, copy.canvas.height);
  const pixels = copy.getImageData(0, 0, copy.canvas.width, copy.canvas.height);
  const next = { source, name, width, height, shownWidth: pixels.width, shownHeight: pixels.height, scale };
  if (!isVideo) show({ ...next, objects: [] }); // a frame of the camera is shown with its boxes only: it would flicker
  const { objects, ms } = await detector.detect(pixels);
  if (mine !== turn) {
    if (isVideo) source.close();
    return;
  }
  show({ ...next, objects });
  say(text.found(visible().length, Math.round(ms)));
  part("save").disabled = false;
}

async function openFile(file) {
  stopCamera();
  turn++;
  const mine = turn;
  let image;
  try {
    image = await createImageBitmap(file, { colorSpaceConversion: "none" }); // as the server reads it
  } catch {
    say(text.notAnImage(file.name), true);
    return;
  }
  if (mine !== turn) {
    image.close();
    return;
  }
  part("save").disabled = true;
  say(text.detecting);
  try {
    await detect(image, file.name, false);
  } catch (error) {
    say(text.failed(error.message), true);
  }
}

async function startCamera() {
  turn++;
  const mine = turn;
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch {
    say(navigator.mediaDevices ? text.noCamera : text.noSecureContext, true);
    return;
  }
  if (mine !== turn) {
    for (const track of opened.getTracks()) track.stop(); // asked for twice, or an image was chosen meanwhile
    return;
  }
  stream = opened;
  part("camera").textContent = text.stop;
  video.srcObject = stream;
  await video.play();
  try {
    while (stream && mine === turn) {
      await new Promise(requestAnimationFrame);
      const frame = await createImageBitmap(video);
      await detect(frame, "camera", true);
    }
  } catch (error) {
    say(text.failed(error.message), true);
    stopCamera();
  }
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  turn++;
  video.srcObject = null;
  part("camera").textContent = text.camera;
}

function save() {
  const { name, width, height, scale } = shown;
  const inSource = ({ bbox, ...rest }) => ({ bbox: bbox.map((side) => side / scale), ...rest });
  const content = { image: name, width, height, detectedObjects: visible().map(inSource) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `${name.replace(/\.[^.]*$/, "") || "objects"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function setTexts() {
  document.documentElement.lang = language;
  document.title = text.title;
  for (const id of ["title", "choose", "camera", "save", "hint"]) part(id).textContent = text[id];
  part("threshold-label").textContent = text.threshold;
}

// Keeps the files of the engine in use too: those of WebGPU are large, and not every device needs them.
async function keepOffline(engine) {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  if (engine === "WebGPU") {
    const cache = await caches.open(`edge-${self.EDGE.version}`);
    await cache.addAll(self.EDGE.webgpu);
  }
  document.documentElement.dataset.offline = "ready";
}

async function start() {
  setTexts();
  draw();
  say(text.loading);
  part("threshold").addEventListener("input", draw);
  part("choose").addEventListener("click", () => part("file").click());
  part("file").addEventListener("change", ({ target }) => {
    if (target.files.length) openFile(target.files[0]);
    target.value = "";
  });
  part("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  part("save").addEventListener("click", save);
  let loaded;
  try {
    loaded = await detector.load();
  } catch (error) {
    say(text.noModel(error.message), true);
    return;
  }
  part("model").textContent = `${loaded.model} · ${loaded.precision.toUpperCase()}`;
  for (const id of ["choose", "camera"]) part(id).disabled = false;
  say(window.isSecureContext ? text.ready(loaded.engine, Math.round(loaded.ms)) : text.noSecureContext);
  await keepOffline(loaded.engine);
}

start();
