// The page: its parts are started, and what concerns all of them is shown.

import { hasKey, listModels } from "./api.js";
import { startCanvas } from "./canvas/canvas.js";
import { startCompare } from "./canvas/compare.js";
import { loadPalette } from "./canvas/palette.js";
import { $, element } from "./dom.js";
import { ApiError, sentenceOf } from "./errors.js";
import { askAgain, cancel, startCollection, take } from "./images/collection.js";
import { startStorage } from "./images/storage.js";
import { startStrip } from "./images/strip.js";
import { startInputs } from "./inputs/choose.js";
import { startExamples } from "./inputs/examples.js";
import { followLink } from "./inputs/link.js";
import { startLive } from "./inputs/live.js";
import { askKey, startKeys } from "./keys.js";
import { startExports } from "./results/exports.js";
import { startFilters } from "./results/filters.js";
import { startList } from "./results/list.js";
import { startTiming } from "./results/timing.js";
import { current, onChange, update } from "./state.js";
import { startLanguage, text } from "./text/language.js";

const MOST_PROBLEMS = 4; // sentences

async function loadModels() {
  try {
    const models = await listModels();
    const names = models.map((one) => one.name);
    const { model } = current();
    update({ models, model: names.includes(model) ? model : null, problem: null });
  } catch (error) {
    fail(error, { retry: loadModels });
  }
}

/** Show an error, after those of other images; `name` is the image's, `retry` repeats the request. */
function fail(error, { name = null, retry = null } = {}) {
  if (error instanceof ApiError && error.status === 401) askKey(hasKey() ? "keyRefused" : "keyNeeded", retry);
  if (!(error instanceof ApiError)) console.error(error);
  const ofFile = name !== null && error instanceof ApiError && !error.passing && error.status !== 401;
  const say = () => (ofFile ? text("ofFile", { name, problem: sentenceOf(error) }) : sentenceOf(error));
  const canRepeat = error instanceof ApiError && (error.passing || error.status === 401);
  const { texts = [], retry: earlier = null } = current().problem ?? {};
  const retries = [earlier, canRepeat ? retry : null].filter(Boolean);
  const all = retries.length > 0 ? () => retries.forEach((one) => one()) : null;
  update({ problem: { texts: [...texts, say], retry: all } });
}

const complain = (key, values) => update({ problem: { texts: [() => text(key, values)], retry: null } });

function showModels({ models, model }) {
  const options = models.map(({ name, inputSize, default: isDefault }) => {
    const label = text("modelOption", { name, size: inputSize });
    return element("option", { value: isDefault ? "" : name, selected: isDefault ? model === null : name === model }, label);
  });
  $("model").replaceChildren(...(options.length ? options : [element("option", { value: "" }, text("noModel"))]));
  $("model").disabled = options.length === 0;
}

function showProblem({ problem }) {
  $("problem").hidden = problem === null;
  const sentences = [...new Set((problem?.texts ?? []).map((say) => say()))];
  const shown = sentences.slice(0, MOST_PROBLEMS);
  if (sentences.length > shown.length) shown.push(text("andMore", { more: sentences.length - shown.length }));
  $("problem-text").textContent = shown.join("\n");
  $("retry").hidden = !problem?.retry;
}

function showFacts({ image, source, busy }) {
  $("empty").hidden = image !== null || busy;
  $("facts").textContent = image ? `${source.name} · ${image.width} × ${image.height} px` : "";
}

function chooseModel() {
  // Another model's classes are others.
  update({ model: $("model").value || null, hidden: new Set() });
  askAgain();
}

function showSlices({ slices }) {
  for (const button of $("slices").querySelectorAll("button")) button.ariaPressed = String(button.value === slices);
}

function chooseSlices({ target }) {
  if (!target.value || target.value === current().slices) return;
  update({ slices: target.value });
  askAgain();
}

async function start() {
  onChange(["models", "model", "language"], showModels);
  onChange(["slices", "language"], showSlices);
  onChange(["problem", "language"], showProblem);
  onChange(["image", "source", "busy"], showFacts);
  onChange(["busy", "live"], ({ busy, live }) => {
    $("busy").hidden = !busy || live;
  });
  onChange(["image"], (_, before) => before.image?.bitmap.close());
  startCollection(fail);
  startTiming();
  startFilters();
  startList();
  startCanvas();
  startCompare(fail);
  startExports(complain);
  startKeys();
  startInputs(take, startLive(take, complain, fail), complain);
  startExamples(take, fail);
  startStrip();
  $("cancel").addEventListener("click", cancel);
  $("dismiss").addEventListener("click", () => update({ problem: null }));
  $("retry").addEventListener("click", () => current().problem.retry());
  $("model").addEventListener("change", chooseModel);
  $("slices").addEventListener("click", chooseSlices);
  $("key").hidden = !hasKey();
  startLanguage();
  await loadPalette();
  await startStorage();
  await loadModels();
  if (current().models.length > 0) followLink(complain);
}

start();
