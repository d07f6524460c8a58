// The page: an image or the camera in, boxes out.

import { Detector } from "./detector.js";
import { drawObjects } from "./draw.js";
import { language, text } from "./texts.js";

const MAX_PIXELS = 64e6;
const part = (id) => document.getElementById(id);
const canvas = part("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const video = document.createElement("video");
video.muted = true;
video.playsInline = true;

const detector = new Detector();
let shown = null; // what the canvas shows: {source, name, width, height, objects}
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
  context.drawImage(shown.source, 0, 0, shown.width, shown.height);
  const objects = visible();
  drawObjects(context, objects);
  const counts = new Map();
  for (const { categoryName } of objects) counts.set(categoryName, (counts.get(categoryName) ?? 0) + 1);
  part("counts").textContent = [...counts].map(([name, count]) => `${name} ${count}`).join(" · ");
  canvas.setAttribute("aria-label", part("counts").textContent);
}

async function detect(source, name, width, height) {
  canvas.width = width;
  canvas.height = height;
  context.drawImage(source, 0, 0, width, height);
  part("hint").hidden = true;
  const mine = turn;
  const { objects, ms } = await detector.detect(context.getImageData(0, 0, width, height));
  if (mine !== turn) return;
  shown?.source.close?.();
  shown = { source, name, width, height, objects };
  draw();
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
  if (image.width * image.height > MAX_PIXELS) {
    say(text.tooLarge(image.width, image.height), true);
    image.close();
    return;
  }
  if (mine !== turn) return;
  say(text.detecting);
  try {
    await detect(image, file.name, image.width, image.height);
  } catch (error) {
    say(text.failed(error.message), true);
  }
}

async function startCamera() {
  turn++;
  const mine = turn;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch {
    say(navigator.mediaDevices ? text.noCamera : text.noSecureContext, true);
    return;
  }
  part("camera").textContent = text.stop;
  video.srcObject = stream;
  await video.play();
  try {
    while (stream && mine === turn) {
      await new Promise(requestAnimationFrame);
      const frame = await createImageBitmap(video);
      await detect(frame, "camera", frame.width, frame.height);
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
  const content = { image: shown.name, width: shown.width, height: shown.height, detectedObjects: visible() };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `${shown.name.replace(/\.[^.]*$/, "") || "objects"}.json`;
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
