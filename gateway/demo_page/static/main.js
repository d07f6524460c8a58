// The page: parts started, and the one thing they do together, asking.

import { detect, fetchImage, hasKey, listModels } from "./api.js";
import { startCamera } from "./camera.js";
import { startCanvas } from "./canvas.js";
import { $, element } from "./dom.js";
import { ApiError } from "./errors.js";
import { startExports } from "./exports.js";
import { isThresholdChosen, startFilters } from "./filters.js";
import { startInputs } from "./inputs.js";
import { askKey, startKeys } from "./keys.js";
import { startList } from "./list.js";
import { readObjects, startThreshold } from "./objects.js";
import { loadPalette } from "./palette.js";
import { decode } from "./sources.js";
import { current, FLOOR, onChange, update } from "./state.js";
import { startTiming } from "./timing.js";

let asking = null; // AbortController of the request under way

/** Ask for an image's objects and show both; resolves to whether that went well. */
async function ask(source, { live = false } = {}) {
  asking?.abort();
  const { signal } = (asking = new AbortController());
  // The camera's last image stays until the next one is there.
  update({ source, busy: true, problem: null, ...(live ? {} : { image: null, objects: [], answer: null, timing: null }) });
  try {
    const decoding = source.decode().then((image) => {
      if (image && !live && !signal.aborted) update({ image });
      return image;
    });
    const encoded = await source.image();
    const { model } = current();
    const { document, timing } = await detect(encoded, { threshold: FLOOR, model, signal });
    const image = (await decoding) ?? (await decode(await fetchImage(encoded, { model, signal })));
    if (signal.aborted) return false;
    if (image === null) throw new ApiError("The browser cannot show this image, nor what the server makes of it.");
    const objects = readObjects(document.result.detectedObjects);
    const { threshold } = current();
    update({
      image,
      objects,
      answer: document,
      timing,
      busy: false,
      active: null,
      threshold: isThresholdChosen() || live ? threshold : startThreshold(objects),
    });
    return true;
  } catch (error) {
    if (signal.aborted) return false; // cancelled, or another image has taken its place
    update({ busy: false });
    report(error, () => ask(source));
    return false;
  }
}

function cancel() {
  asking?.abort();
  update({ busy: false });
}

async function loadModels() {
  try {
    const models = await listModels();
    const names = models.map((one) => one.name);
    const { model } = current();
    update({ models, model: names.includes(model) ? model : null, problem: null });
  } catch (error) {
    report(error, loadModels);
  }
}

function report(error, again) {
  if (error instanceof ApiError && error.status === 401) {
    const text = hasKey() ? "The server does not take this key." : "This server answers only with a key.";
    askKey(`${text} It is kept until this tab is closed.`, again);
  }
  const known = error instanceof ApiError;
  if (!known) console.error(error);
  update({ problem: { text: error.message, retry: known && (error.passing || error.status === 401) ? again : null } });
}

const complain = (text) => update({ problem: { text, retry: null } });

function showModels({ models, model }) {
  const options = models.map(({ name, inputSize, default: isDefault }) => {
    const size = inputSize ? ` (${inputSize[1]} × ${inputSize[0]})` : "";
    return element("option", { value: isDefault ? "" : name, selected: isDefault ? model === null : name === model }, name + size);
  });
  $("model").replaceChildren(...(options.length ? options : [element("option", { value: "" }, "none is loaded")]));
  $("model").disabled = options.length === 0;
}

function showProblem({ problem }) {
  $("problem").hidden = problem === null;
  $("problem-text").textContent = problem?.text ?? "";
  $("retry").hidden = !problem?.retry;
}

function showFacts({ image, source, busy }) {
  $("empty").hidden = image !== null || busy;
  $("facts").textContent = image ? `${source.name} · ${image.width} × ${image.height} px` : "";
}

async function start() {
  onChange(["models", "model"], showModels);
  onChange(["problem"], showProblem);
  onChange(["image", "source", "busy"], showFacts);
  onChange(["busy", "live"], ({ busy, live }) => {
    $("busy").hidden = !busy || live;
  });
  onChange(["image"], (_, before) => before.image?.bitmap.close());
  startTiming();
  startFilters();
  startList();
  startCanvas();
  startExports(complain);
  startKeys();
  startInputs(ask, complain);
  startCamera(ask, complain);
  $("cancel").addEventListener("click", cancel);
  $("dismiss").addEventListener("click", () => update({ problem: null }));
  $("retry").addEventListener("click", () => current().problem.retry());
  $("model").addEventListener("change", () => {
    // Another model's classes are others.
    update({ model: $("model").value || null, hidden: new Set() });
    const { source, live } = current();
    if (source && !live) ask(source);
  });
  $("key").hidden = !hasKey();
  await loadPalette();
  await loadModels();
}

start();
