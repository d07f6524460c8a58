// The camera: one image, or one after the other, each as soon as the last one has its result.

import { $ } from "../dom.js";
import { decode, fromBlob } from "./sources.js";
import { ask, leaveStage } from "../images/collection.js";
import { readObjects } from "../results/objects.js";
import { current, onChange, update } from "../state.js";
import { text } from "../text/language.js";

const QUALITY = 0.92;

const video = $("video");
let stream = null;
let running = null; // AbortController of the continuous run

/** `take(sources)` adds images to the strip, `fail(error)` shows why a frame has no result. */
export function startCamera(take, complain, fail) {
  $("camera").addEventListener("click", () => (stream ? close() : open(complain)));
  $("camera-stop").addEventListener("click", close);
  $("shoot").addEventListener("click", async () => {
    stopRunning();
    const source = await frame();
    close();
    take([source]);
  });
  $("continuous").addEventListener("click", () => (running ? stopRunning() : run(fail)));
  // Another image takes the stage.
  onChange(["source"], ({ source }) => {
    if (source && source.kind !== "camera") close();
  });
}

async function open(complain) {
  if (!navigator.mediaDevices) {
    complain("cameraInsecure");
    return;
  }
  $("camera").disabled = true;
  try {
    const wanted = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    video.srcObject = stream;
    video.hidden = false;
    await video.play();
    $("camera-bar").hidden = false;
    $("shoot").focus();
  } catch (error) {
    close();
    complain("cameraError", { name: error.name, reason: error.message });
  } finally {
    $("camera").disabled = false;
  }
}

function close() {
  if ($("camera-bar").contains(document.activeElement)) $("camera").focus();
  stopRunning();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
  video.hidden = true;
  $("camera-bar").hidden = true;
}

async function frame() {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  return fromBlob(await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY }), "camera.jpg", "camera");
}

async function run(fail) {
  const { signal } = (running = new AbortController());
  $("continuous").ariaPressed = "true";
  leaveStage();
  update({ live: true, problem: null });
  let last = performance.now();
  try {
    while (!signal.aborted) {
      await showFrame(await frame(), signal);
      video.hidden = true; // the canvas shows the frame with its objects
      const now = performance.now();
      $("rate").value = text("rate", { rate: (1000 / (now - last)).toFixed(1) });
      last = now;
      if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
    }
  } catch (error) {
    if (signal.aborted) return;
    stopRunning();
    fail(error);
  }
}

async function showFrame(source, signal) {
  const [image, { document: answer, timing }] = await Promise.all([
    decode(source.blob),
    ask(source, { model: current().model, slices: current().slices, signal }),
  ]);
  if (signal.aborted) return;
  update({ source, image, objects: readObjects(answer.result.detectedObjects), answer, timing, active: null, other: null });
}

function stopRunning() {
  if (running === null) return;
  running.abort();
  running = null;
  $("continuous").ariaPressed = "false";
  $("rate").value = "";
  video.hidden = stream === null;
  update({ live: false });
}
