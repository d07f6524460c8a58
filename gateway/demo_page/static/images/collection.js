// The images of the page and their results. Each is detected once for a model; the one that was asked for last is shown.
// An entry is {id, source, status, model, slices, document, timing, viewable, others, thumb}:
//   status    "waiting", "running" or "done"
//   model     the model that gave `document`, null for the server's default
//   slices    "off", "auto" or "on", with which `document` was asked for
//   document  the server's response; null until it is there
//   viewable  the server's JPEG of an image that the browser cannot read; else null
//   others    results of compared models by their names: see canvas/compare.js
//   thumb     a small image as a data: URL; empty until it is there

import { detect, fetchImage } from "../api.js";
import { ApiError } from "../errors.js";
import { decode } from "../inputs/sources.js";
import { readObjects, startThreshold } from "../results/objects.js";
import { current, FLOOR, update } from "../state.js";

const AT_ONCE = 2; // requests
const MOST = 60; // images of the strip; the oldest is removed for another one
const THUMB_HEIGHT = 96;

let wanted = null; // the entry that was asked for last: it is shown as soon as it has a result
let running = 0;
let count = 0;
let report = () => {};

/** `fail(error, {name, retry})` is called for each image that failed. */
export function startCollection(fail) {
  report = fail;
}

/** Add images, and show the first of them as soon as it has a result. Until then the stage keeps what it shows. */
export function take(sources) {
  const added = sources.map((source) => newEntry(source));
  const kept = [...current().images, ...added];
  for (const entry of kept.slice(0, -MOST)) entry.abort?.abort();
  update({ images: kept.slice(-MOST), problem: null });
  want(current().images.find((entry) => added.includes(entry)));
}

/** Show an image of the strip. */
export function open(entry) {
  const { model, slices } = current();
  if (entry.status === "done" && (entry.model !== model || entry.slices !== slices)) entry.status = "waiting";
  want(entry);
}

/** Another model or slices were chosen: ask for the image on the stage, and for those without a result. */
export function askAgain() {
  for (const entry of current().images.filter(({ status }) => status === "running")) {
    entry.abort.abort();
    entry.status = "waiting";
  }
  if (wanted) open(wanted);
}

/** Show the entries that were stored, without a request. */
export async function restore(entries, shown) {
  update({ images: entries.map((entry) => newEntry(entry.source, { ...entry, status: "done" })) });
  const entry = current().images.find(({ id }) => id === shown) ?? current().images.at(-1);
  if (entry) {
    wanted = entry;
    await show(entry);
  }
}

export function remove(entry) {
  entry.abort?.abort();
  const images = current().images.filter((other) => other !== entry);
  const at = current().images.indexOf(entry);
  update({ images });
  if (wanted !== entry && current().entry !== entry) return;
  const next = images[Math.min(at, images.length - 1)] ?? null;
  if (next) open(next);
  else clearStage();
}

export function removeAll() {
  for (const entry of current().images) entry.abort?.abort();
  update({ images: [], problem: null });
  clearStage();
}

/** Give up the image that was asked for last. */
export function cancel() {
  if (wanted && wanted.status !== "done") giveUp(wanted);
}

/** The camera's frames take the stage without being part of the strip. */
export function leaveStage() {
  wanted = null;
  update({ entry: null, busy: false });
}

/** The objects of an image as a model finds them. Raises what `detect` raises. */
export async function ask(source, { model, slices, signal }) {
  const encoded = await source.image();
  return { encoded, ...(await detect(encoded, { threshold: FLOOR, model, slices, signal })) };
}

const newEntry = (source, fields = {}) => ({
  id: Date.now() * 1000 + (count += 1), // in the order in which they were added
  source,
  status: "waiting",
  model: null,
  slices: "off",
  document: null,
  timing: null,
  viewable: null,
  thumb: "",
  others: new Map(),
  ...fields,
});

function want(entry) {
  wanted = entry;
  update({ busy: entry.status !== "done", images: [...current().images] });
  if (entry.status === "done") show(entry);
  else next();
}

function next() {
  while (running < AT_ONCE) {
    const waiting = current().images.filter(({ status }) => status === "waiting");
    const entry = waiting.includes(wanted) ? wanted : waiting[0];
    if (!entry) return;
    detectEntry(entry);
  }
}

async function detectEntry(entry) {
  running += 1;
  entry.status = "running";
  entry.abort = new AbortController();
  const { signal } = entry.abort;
  const { model, slices } = current();
  let image = null;
  try {
    image = await decode(entry.viewable ?? entry.source.blob);
    const isFirst = current().image === null && entry === wanted;
    if (image) entry.thumb ||= thumbOf(image);
    if (image && isFirst && !signal.aborted) update({ image, source: entry.source });
    const { encoded, document, timing } = await ask(entry.source, { model, slices, signal });
    if (image === null) {
      entry.viewable = await fetchImage(encoded, { model, signal });
      image = await decode(entry.viewable);
    }
    if (image === null) throw new ApiError("notShowable");
    if (signal.aborted) return;
    entry.thumb ||= thumbOf(image);
    Object.assign(entry, { document, timing, model, slices, status: "done" });
    if (entry === wanted) await show(entry, image);
    update({ images: [...current().images] });
  } catch (error) {
    if (signal.aborted) return;
    giveUp(entry);
    report(error, { name: entry.source.name, retry: () => retry(entry, { model, slices }) });
  } finally {
    if (image !== current().image) image?.bitmap.close();
    running -= 1;
    next();
  }
}

/** Without a result the entry leaves the strip; with one of another model it keeps that. */
function giveUp(entry) {
  entry.abort?.abort();
  if (entry.document) entry.status = "done";
  else update({ images: current().images.filter((other) => other !== entry) });
  if (entry !== wanted) return;
  wanted = current().entry;
  if (wanted === null) clearStage();
  else update({ busy: false, model: wanted.model, slices: wanted.slices, images: [...current().images] });
}

function retry(entry, chosen) {
  const images = current().images.includes(entry) ? current().images : [...current().images, entry];
  update({ images, ...chosen, problem: null });
  entry.status = "waiting";
  want(entry);
}

async function show(entry, decoded = null) {
  const image = decoded ?? (await decode(entry.viewable ?? entry.source.blob));
  if (entry !== wanted) {
    if (image !== current().image) image?.bitmap.close();
    return;
  }
  const objects = readObjects(entry.document.result.detectedObjects);
  update({
    entry,
    source: entry.source,
    image,
    objects,
    answer: entry.document,
    timing: entry.timing,
    busy: false,
    active: null,
    other: null,
    threshold: current().isThresholdChosen ? current().threshold : startThreshold(objects),
  });
}

function clearStage() {
  wanted = null;
  update({ entry: null, source: null, image: null, objects: [], other: null, answer: null, timing: null, busy: false });
}

function thumbOf({ bitmap, width, height }) {
  const canvas = document.createElement("canvas");
  canvas.height = THUMB_HEIGHT;
  canvas.width = Math.max(24, Math.min(THUMB_HEIGHT * 2.5, Math.round((width / height) * THUMB_HEIGHT)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  // What does not fit is cut at the sides, as `object-fit: cover` does.
  const scale = Math.max(canvas.width / width, canvas.height / height);
  context.drawImage(
    bitmap,
    (canvas.width - width * scale) / 2,
    (canvas.height - height * scale) / 2,
    width * scale,
    height * scale,
  );
  return canvas.toDataURL("image/jpeg", 0.8);
}
