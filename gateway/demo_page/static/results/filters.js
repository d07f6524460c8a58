// The score slider with its histogram, the classes, and the sentences that say which objects they leave out.

import { $, element } from "../dom.js";
import { countClasses, passes } from "./objects.js";
import { coloursOf } from "../canvas/palette.js";
import { current, FLOOR, onChange, update } from "../state.js";
import { text } from "../text/language.js";

const slider = $("threshold");
const histogram = $("histogram");
const list = $("class-list");

const MOST = 500; // objects of an image, or of each of its slices, at most: `keep_top_k` of PP-YOLOE's NMS

export function startFilters() {
  slider.min = String(FLOOR);
  slider.addEventListener("input", () => {
    update({ threshold: Number(slider.value), isThresholdChosen: true });
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
  onChange(["objects", "threshold", "hidden", "language"], countThem);
  onChange(["objects", "threshold"], drawHistogram);
  onChange(["live"], ({ live }) => {
    // Screen readers would read the text of every frame.
    $("status").ariaLive = live ? "off" : "polite";
  });
  onChange(["shown", "otherShown", "busy", "answer", "models", "language"], say);
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
    label.title = text("classTitle", { name, above, total });
    label.classList.toggle("none", above === 0);
    label.firstElementChild.checked = !hidden.has(id);
  }
}

function say(state) {
  const { objects, shown, threshold, hidden, answer, models, model, other, otherShown, timing } = state;
  if (answer === null) $("status").textContent = text(state.busy ? "busy" : "statusNone");
  else if (objects.length === 0 && other === null) $("status").textContent = text("statusNoObject", { floor: FLOOR });
  else {
    const above = objects.filter((object) => passes(object, threshold));
    $("status").textContent = text("status", {
      shown: shown.length,
      found: objects.length,
      floor: FLOOR,
      most: objects.length >= MOST && !timing?.slices,
      below: objects.length - above.length,
      threshold: threshold.toFixed(2),
      hidden: above.filter((object) => hidden.has(object.classId)).length,
      model: models.length > 1 ? (model ?? models[0].name) : null,
      other: other && { model: other.model, shown: otherShown.length, found: other.objects.length },
    });
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
