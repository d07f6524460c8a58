// The camera, or a video file: one image, or one after the other, each as soon as the last one has its result. The
// newest frame is sent, the others are dropped and counted.

import { $ } from "../dom.js";
import { decode, fromBlob } from "./sources.js";
import { ask, leaveStage } from "../images/collection.js";
import { readObjects } from "../results/objects.js";
import { current, onChange, update } from "../state.js";
import { text } from "../text/language.js";

const QUALITY = 0.92;
const RATE_OF = 10; // images, over which the rate is taken
const POLL_MS = 10;
const MOST_POLLS = 20; // then the same frame is sent again, in browsers that do not count frames
const VIDEO = /\.(mp4|m4v|mov|webm|mkv|avi|ogv|mpe?g|ts)$/i;

const video = $("video");
let stream = null; // of the camera
let film = null; // {name, address}: of the video file
let running = null; // AbortController of the continuous run
let rate = null; // {rate, dropped} of the continuous run, as they are shown

/** Whether a file is a video rather than an image. */
export const isVideo = ({ name = "", type = "" }) => type.startsWith("video/") || (type === "" && VIDEO.test(name));

/** `take(sources)` adds images to the strip, `fail(error)` shows why a frame has no result. Returns `play(file)`. */
export function startLive(take, complain, fail) {
  $("camera").addEventListener("click", () => (stream ? close() : openCamera(complain)));
  $("camera-stop").addEventListener("click", close);
  $("shoot").addEventListener("click", async () => {
    stopRunning();
    const source = await frame();
    close();
    take([source]);
  });
  $("continuous").addEventListener("click", () => {
    if (running) {
      stopRunning();
      return;
    }
    update({ problem: null });
    run(fail);
  });
  // Another image takes the stage.
  onChange(["source"], ({ source }) => {
    if (source && source.kind !== "camera") close();
  });
  onChange(["language"], () => showRate(rate));
  return (file) => openFilm(file, complain, fail);
}

async function openCamera(complain) {
  if (!navigator.mediaDevices) {
    complain("cameraInsecure");
    return;
  }
  close();
  $("camera").disabled = true;
  try {
    const wanted = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } };
    const opened = await navigator.mediaDevices.getUserMedia({ video: wanted });
    if (film !== null) {
      for (const track of opened.getTracks()) track.stop(); // a video was opened meanwhile
      return;
    }
    stream = opened;
    video.srcObject = stream;
    video.hidden = false;
    await video.play();
    showBar("cameraStop");
    $("shoot").focus();
  } catch (error) {
    close();
    complain("cameraError", { name: error.name, reason: error.message });
  } finally {
    $("camera").disabled = false;
  }
}

async function openFilm(file, complain, fail) {
  close();
  update({ problem: null });
  const opened = (film = { name: file.name.replace(/\.[^.]*$/, ""), address: URL.createObjectURL(file) });
  try {
    video.src = film.address;
    video.hidden = false; // until the first frame has its objects
    await video.play();
    if (video.videoWidth === 0) throw new Error("only sound");
  } catch {
    if (film !== opened) return; // something else was opened meanwhile
    close();
    complain("videoUnreadable", { name: file.name });
    return;
  }
  showBar("videoStop");
  await run(fail);
}

function showBar(stop) {
  $("camera-stop").dataset.text = stop;
  $("camera-stop").textContent = text(stop);
  $("camera-bar").hidden = false;
}

function close() {
  if ($("camera-bar").contains(document.activeElement)) $("camera").focus();
  stopRunning();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
  if (film !== null) {
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(film.address);
    film = null;
  }
  video.hidden = true;
  showRate(null);
  $("camera-bar").hidden = true;
}

function showRate(value) {
  rate = value;
  $("rate").value = rate === null ? "" : text("rate", rate);
}

async function frame() {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const name = film === null ? "camera.jpg" : `${film.name}-${video.currentTime.toFixed(2)}s.jpg`;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return fromBlob(await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY }), name, "camera");
}

/** The frames that the browser has decoded so far. */
const decoded = () => video.getVideoPlaybackQuality().totalVideoFrames;

/** Wait for another frame than the last one. */
async function waitForFrame(last, signal) {
  for (let poll = 0; poll < MOST_POLLS && decoded() === last && !video.ended && !signal.aborted; poll += 1) {
    await new Promise((then) => setTimeout(then, POLL_MS));
  }
}

async function run(fail) {
  const { signal } = (running = new AbortController());
  $("continuous").ariaPressed = "true";
  leaveStage();
  update({ live: true });
  const times = [performance.now()];
  let [last, dropped] = [null, 0];
  try {
    if (film !== null) await video.play(); // from its start, if it had ended
    while (!signal.aborted) {
      if (last !== null) await waitForFrame(last, signal);
      const now = decoded();
      dropped += last === null ? 0 : Math.max(0, now - last - 1);
      last = now;
      const isLast = video.ended;
      await showFrame(await frame(), signal);
      if (signal.aborted) return;
      video.hidden = true; // the canvas shows the frame with its objects
      times.push(performance.now());
      if (times.length > RATE_OF + 1) times.shift();
      showRate({ rate: ((1000 * (times.length - 1)) / (times.at(-1) - times[0])).toFixed(1), dropped });
      if (isLast) break;
      if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
    }
    stopRunning();
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

/** The frame that was detected last stays; of the camera its live image is shown again, to choose the next one. */
function stopRunning() {
  if (running === null) return;
  running.abort();
  running = null;
  $("continuous").ariaPressed = "false";
  if (film !== null) video.pause();
  else showRate(null);
  video.hidden = stream === null;
  update({ live: false });
}
