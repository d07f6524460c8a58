// Two models on one image: left of a divider the boxes of the chosen model, right of it those of the compared one.

import { $, element } from "../dom.js";
import { ask } from "../images/collection.js";
import { readObjects } from "../results/objects.js";
import { current, onChange, update } from "../state.js";
import { text } from "../text/language.js";
import { drawObjects } from "./draw.js";

const STEP = 0.05; // of the canvas, by an arrow key
const STEPS = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -1, End: 1 };

const divider = $("divider");
let asking = null; // AbortController of the request under way

/** `fail(error, {retry})` is called if the second model gives no result. */
export function startCompare(fail) {
  onChange(["models", "compare", "model", "language"], showChoice);
  $("compare").addEventListener("change", () => update({ compare: $("compare").value || null, problem: null }));
  onChange(["answer", "compare", "entry"], () => load(fail));
  onChange(["other", "otherShown", "shown", "split", "language"], showSides);
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const { left, width } = $("canvas").getBoundingClientRect();
    moveTo((event.clientX - left) / width);
  });
  divider.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    moveTo(current().split + STEPS[event.key]);
  });
}

const moveTo = (split) => update({ split: Math.min(1, Math.max(0, split)) });

/** The boxes of one model, or of two on their sides of the divider. */
export function drawSides(context, { shown, active, other, otherShown, split }, view, style) {
  if (other === null) {
    drawObjects(context, shown, view, { ...style, active });
    return;
  }
  const { width, height } = context.canvas;
  const middle = Math.round(split * width);
  const side = (left, right, objects, one) => {
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    drawObjects(context, objects, view, { ...style, active: one });
    context.restore();
  };
  side(0, middle, shown, active);
  side(middle, width, otherShown, null);
}

function showChoice({ models, model, compare }) {
  const first = model ?? models.find((one) => one.default)?.name;
  const names = models.map(({ name }) => name).filter((name) => name !== first);
  $("compare-label").hidden = models.length < 2;
  $("compare").replaceChildren(
    element("option", { value: "" }, text("compareNone")),
    ...names.map((name) => element("option", { value: name, selected: name === compare }, name)),
  );
  if (models.length > 0 && compare !== null && !names.includes(compare)) update({ compare: null });
}

async function load(fail) {
  asking?.abort();
  asking = null;
  const { entry, answer, compare, slices } = current();
  if (compare === null || answer === null || entry === null) {
    if (current().other !== null) update({ other: null });
    return;
  }
  const key = `${compare} ${slices}`;
  const known = entry.others.get(key);
  if (known) {
    update({ other: known });
    return;
  }
  const { signal } = (asking = new AbortController());
  $("compare-label").classList.add("waiting");
  try {
    const { document } = await ask(entry.source, { model: compare, slices, signal });
    const other = { model: compare, objects: readObjects(document.result.detectedObjects) };
    entry.others.set(key, other);
    if (!signal.aborted) update({ other });
  } catch (error) {
    if (signal.aborted) return;
    update({ compare: null });
    fail(error, { retry: () => update({ compare, problem: null }) });
  } finally {
    if (asking?.signal === signal || asking === null) $("compare-label").classList.remove("waiting");
  }
}

function showSides({ models, model, other, shown, otherShown, split }) {
  $("sides").hidden = other === null;
  if (other === null) return;
  divider.style.left = `${split * 100}%`;
  divider.ariaValueNow = String(Math.round(split * 100));
  const name = model ?? models.find((one) => one.default)?.name ?? "";
  $("side-left").textContent = text("sideCount", { model: name, shown: shown.length });
  $("side-right").textContent = text("sideCount", { model: other.model, shown: otherShown.length });
}
