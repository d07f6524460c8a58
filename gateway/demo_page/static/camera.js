// The camera: one image, or one after the other as fast as they are answered.

import { $ } from "./dom.js";
import { fromBlob } from "./sources.js";
import { onChange, update } from "./state.js";

const QUALITY = 0.92;
const REFUSALS = {
  NotAllowedError: "The camera was not allowed: the browser asks for it anew when the page is loaded again.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use by another program.",
};

const video = $("video");
let stream = null;
let running = null; // a token of the continuous run

/** `take(source, {live})` resolves to whether it was answered. */
export function startCamera(take, complain) {
  $("camera").addEventListener("click", () => (stream ? close() : open(complain)));
  $("camera-stop").addEventListener("click", close);
  $("shoot").addEventListener("click", async () => {
    stopRunning();
    const source = await frame();
    close();
    await take(source, { live: false });
  });
  $("continuous").addEventListener("click", () => (running ? stopRunning() : run(take)));
  // Another image takes the stage.
  onChange(["source"], ({ source }) => {
    if (source && source.kind !== "camera") close();
  });
}

async function open(complain) {
  if (!navigator.mediaDevices) {
    complain("The browser gives the camera to pages on https or localhost only.");
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
    complain(REFUSALS[error.name] ?? `The camera cannot be used: ${error.message}`);
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

async function run(take) {
  const token = {};
  running = token;
  $("continuous").ariaPressed = "true";
  update({ live: true });
  let last = performance.now();
  while (running === token && (await take(await frame(), { live: true }))) {
    video.hidden = true; // the canvas shows what was looked at
    const now = performance.now();
    $("rate").value = `${(1000 / (now - last)).toFixed(1)} images a second`;
    last = now;
    if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
  }
  if (running === token) stopRunning();
}

function stopRunning() {
  if (running === null) return;
  running = null;
  $("continuous").ariaPressed = "false";
  $("rate").value = "";
  video.hidden = stream === null;
  update({ live: false });
}
