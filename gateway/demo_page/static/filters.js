// The score slider with its histogram, the classes, and the sentence that says what they leave out.

import { $, element } from "./dom.js";
import { countClasses, passes } from "./objects.js";
import { coloursOf } from "./palette.js";
import { current, FLOOR, onChange, update } from "./state.js";

const slider = $("threshold");
const histogram = $("histogram");
const list = $("class-list");

let moved = false; // the user has chosen a score; it is kept for the next images

/** Whether the slider is where the user put it. */
export const isThresholdChosen = () => moved;

export function startFilters() {
  slider.min = String(FLOOR);
  slider.addEventListener("input", () => {
    moved = true;
    update({ threshold: Number(slider.value) });
  });
  $("classes-all").addEventListener("click", () => update({ hidden: new Set() }));
  $("classes-none").addEventListener("click", () => update({ hidden: new Set(current().objects.map((o) => o.classId)) }));
  list.addEventListener("change", (event) => {
    const hidden = new Set(current().hidden);
    const id = Number(event.target.value);
    if (event.target.checked) hidden.delete(id);
    else hidden.add(id);
    update({ hidden });
  });
  onChange(["threshold"], showThreshold);
  onChange(["objects"], showClasses);
  onChange(["objects", "threshold", "hidden"], countThem);
  onChange(["objects", "threshold"], drawHistogram);
  onChange(["live"], ({ live }) => {
    // A running camera would be spoken of without end.
    $("status").ariaLive = live ? "off" : "polite";
  });
  onChange(["shown", "busy", "answer", "source"], say);
  addEventListener("themechange", () => drawHistogram(current()));
  new ResizeObserver(() => drawHistogram(current())).observe(histogram);
  showThreshold(current());
}

function showThreshold({ threshold }) {
  slider.value = String(threshold);
  $("threshold-value").value = threshold.toFixed(2);
}

function showClasses({ objects, threshold }) {
  const classes = countClasses(objects, threshold);
  $("classes").disabled = classes.size === 0;
  const old = new Map([...list.children].map((label) => [label.dataset.id, label]));
  const labels = [...classes.values()].map((one) => old.get(String(one.id)) ?? makeClass(one));
  // While the camera runs the classes come and go; what stays keeps its element, and the focus.
  if (labels.length !== list.children.length || labels.some((label, i) => label !== list.children[i])) {
    list.replaceChildren(...labels);
  }
}

function makeClass({ id, name }) {
  const swatch = element("i", { className: "swatch" });
  swatch.style.background = coloursOf(id)[0];
  const box = element("input", { type: "checkbox", value: String(id) });
  return element("label", { data: { id } }, box, swatch, element("span", {}, name), element("b"));
}

function countThem({ objects, threshold, hidden }) {
  const classes = countClasses(objects, threshold);
  for (const label of list.children) {
    const { id, name, above, total } = classes.get(Number(label.dataset.id));
    label.querySelector("span").textContent = name;
    label.querySelector("b").textContent = String(above);
    label.title = `${name}: ${above} above the score, of ${total} found`;
    label.classList.toggle("none", above === 0);
    label.firstElementChild.checked = !hidden.has(id);
  }
}

function say({ objects, shown, threshold, hidden, busy, answer, source, live }) {
  if (busy && !live) $("status").textContent = "Detecting …";
  else if (answer === null) $("status").textContent = source ? "No answer." : "No image yet.";
  else if (objects.length === 0) $("status").textContent = `No objects: none scores more than ${FLOOR}.`;
  else {
    const above = objects.filter((object) => passes(object, threshold));
    const off = above.filter((object) => hidden.has(object.classId)).length;
    const below = objects.length - above.length;
    const parts = [`${shown.length} of ${objects.length} objects shown`];
    if (below > 0) parts.push(`${below} at ${threshold.toFixed(2)} or less`);
    if (off > 0) parts.push(`${off} in classes switched off`);
    $("status").textContent = `${parts.join(" · ")}.`;
  }
}

function drawHistogram({ objects, threshold }) {
  const { clientWidth: width, clientHeight: height } = histogram;
  if (width === 0) return;
  histogram.width = Math.round(width * devicePixelRatio);
  histogram.height = Math.round(height * devicePixelRatio);
  const context = histogram.getContext("2d");
  const [low, high] = [Number(slider.min), Number(slider.max)];
  const bins = new Array(45).fill(0);
  for (const { score } of objects) {
    const bin = Math.floor(((score - low) / (high - low)) * bins.length);
    bins[Math.max(0, Math.min(bins.length - 1, bin))] += 1;
  }
  const most = Math.max(...bins, 1);
  const style = getComputedStyle(histogram);
  const step = histogram.width / bins.length;
  bins.forEach((count, i) => {
    if (count === 0) return;
    // A root: one object is to be seen beside hundreds.
    const tall = Math.max(2, Math.sqrt(count / most) * histogram.height);
    const on = low + ((i + 0.5) / bins.length) * (high - low) > threshold;
    context.fillStyle = style.getPropertyValue(on ? "color" : "border-color");
    context.fillRect(Math.round(i * step), histogram.height - tall, Math.max(1, Math.round(step) - 1), tall);
  });
}
