// The zoomable, pannable image: pointer, touch, wheel and keyboard.

import { $ } from "../dom.js";
import { drawImage } from "./draw.js";
import { drawMinimap, minimapPoint } from "./minimap.js";
import { current, onChange, update } from "../state.js";
import { text } from "../text/language.js";
import { drawSides } from "./compare.js";
import { drawSlices } from "./slices.js";
import * as views from "./view.js";

const STEP = 1.5; // of a key or a button
const DOUBLE_CLICK = 3;
const PAN_SHARE = 0.15; // of the canvas, by an arrow key
const FLIGHT_MS = 280;
const SLACK = { mouse: 3, touch: 12, pen: 6 }; // pixels by which a small object may be missed
const STILL = 4; // pixels a click may move

const canvas = $("canvas");
const context = canvas.getContext("2d");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const pointers = new Map(); // id → {x, y}: fingers, or the pressed mouse
let size = { width: 1, height: 1 };
let view = { scale: 1, x: 0, y: 0 };
let flight = null; // a running animation's request
let goal = view; // where the running animation ends, or the view
let frame = null; // a coming draw's request
let gesture = null; // {start, moved, onMap}

export function startCanvas() {
  new ResizeObserver(resize).observe(canvas); // a change of the browser's own zoom is one too
  canvas.addEventListener("wheel", onWheel, { passive: false });
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", onUp);
  canvas.addEventListener("pointerleave", onLeave);
  canvas.addEventListener("dblclick", onDoubleClick);
  document.addEventListener("keydown", onKey);
  $("zoom-in").addEventListener("click", () => zoomBy(STEP));
  $("zoom-out").addEventListener("click", () => zoomBy(1 / STEP));
  $("zoom-fit").addEventListener("click", showWhole);
  addEventListener("themechange", redraw);
  onChange(["image"], onImage);
  onChange(["shown", "active", "otherShown", "other", "split", "timing"], redraw);
  onChange(["image", "shown", "source", "language"], ({ image, shown, source }) => {
    const label = image ? text("canvasLabel", { name: source.name, shown: shown.length }) : text("canvasEmpty");
    canvas.setAttribute("aria-label", label);
  });
}

/** Bring an object to the middle, large enough to be looked at. */
export function zoomTo(object) {
  const { image } = current();
  if (image) fly(views.around(object, image, size));
}

function showWhole() {
  const { image } = current();
  if (image) fly(views.fit(image, size));
}

function zoomBy(factor, point = { x: size.width / 2, y: size.height / 2 }) {
  const { image } = current();
  if (image) fly(views.zoomAt(goal, factor, point, image, size)); // from the goal: quick presses add up
}

function onImage({ image }, before) {
  const same = image?.width === before.image?.width && image?.height === before.image?.height;
  $("zoom").hidden = image === null;
  if (image === null) cancelAnimationFrame(flight);
  // The camera's next image is looked at where the last one was.
  if (image && !(same && current().live)) settle(views.fit(image, size));
  redraw();
}

function resize([{ contentRect, devicePixelContentBoxSize }]) {
  const { image } = current();
  const whole = image && views.isWhole(view, image, size);
  const middle = views.toImage({ x: size.width / 2, y: size.height / 2 }, view);
  const [exact] = devicePixelContentBoxSize ?? [];
  size = { width: Math.max(1, contentRect.width), height: Math.max(1, contentRect.height) };
  canvas.width = dotsOf(size.width, exact?.inlineSize);
  canvas.height = dotsOf(size.height, exact?.blockSize);
  if (image) {
    const fitted = views.fit(image, size);
    const scale = Math.max(view.scale, fitted.scale);
    settle(whole ? fitted : views.centred(scale, middle.x, middle.y, image, size));
  }
  draw(); // at once: a canvas that changes its size is blank
}

/** To the screen's pixel where the browser tells it: a canvas that is stretched, if by half of one, is blurred. */
function dotsOf(length, exact) {
  const dots = length * devicePixelRatio;
  // Some tell the wrong screen's, when they show a page as another device would.
  return Math.abs(exact - dots) < 1 ? exact : Math.round(dots);
}

// Moving ------------------------------------------------------------------------------------------------------------

function settle(next) {
  cancelAnimationFrame(flight);
  flight = null;
  goal = next;
  look(next);
}

function look(next) {
  view = next;
  const { image } = current();
  // At the whole image a finger scrolls the page; closer, it moves the image.
  canvas.style.touchAction = views.isWhole(view, image, size) ? "pan-y" : "none";
  $("zoom-level").value = `${Math.round(view.scale * 100)} %`;
  redraw();
}

function fly(target) {
  if (calm.matches) {
    settle(target);
    return;
  }
  cancelAnimationFrame(flight);
  goal = target;
  const from = view;
  const started = performance.now();
  const step = (now) => {
    const share = Math.min(1, Math.max(0, (now - started) / FLIGHT_MS));
    const eased = 1 - (1 - share) ** 3;
    flight = share < 1 ? requestAnimationFrame(step) : null;
    look(share < 1 ? views.between(from, target, eased, size) : target);
  };
  flight = requestAnimationFrame(step);
}

// Input -------------------------------------------------------------------------------------------------------------

const place = (event) => {
  const { left, top } = canvas.getBoundingClientRect();
  return { x: event.clientX - left, y: event.clientY - top };
};

function onWheel(event) {
  const { image } = current();
  if (!image) return;
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
  // A pinch on a touchpad comes as a wheel with ctrl, in small steps.
  const factor = Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002));
  settle(views.zoomAt(goal, factor, place(event), image, size));
}

function onDown(event) {
  const { image } = current();
  if (!image || event.button !== 0) return;
  const point = place(event);
  if (pointers.size === 0) {
    const target = minimapPoint(point, image, view, size);
    gesture = { start: point, moved: false, onMap: target !== null };
    if (target) settle(views.centred(view.scale, target.x, target.y, image, size));
  }
  pointers.set(event.pointerId, point);
  canvas.setPointerCapture(event.pointerId);
}

function onMove(event) {
  const { image } = current();
  if (!image) return;
  const point = place(event);
  const last = pointers.get(event.pointerId);
  if (!last) {
    hover(point, event.pointerType);
    return;
  }
  if (Math.hypot(point.x - gesture.start.x, point.y - gesture.start.y) > STILL) gesture.moved = true;
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  pointers.set(event.pointerId, point);
  if (gesture.onMap) {
    const target = minimapPoint(point, image, view, size, true);
    settle(views.centred(view.scale, target.x, target.y, image, size));
  } else if (other) {
    gesture.moved = true;
    pinch(last, point, other, image);
  } else if (gesture.moved) {
    canvas.classList.add("dragging");
    settle(views.pan(view, point.x - last.x, point.y - last.y, image, size));
  }
}

function pinch(last, point, other, image) {
  const spread = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
  const middle = { x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 };
  const moved = views.pan(view, (point.x - last.x) / 2, (point.y - last.y) / 2, image, size);
  settle(views.zoomAt(moved, spread(point, other) / spread(last, other), middle, image, size));
}

function onUp(event) {
  if (!pointers.delete(event.pointerId)) return;
  canvas.classList.remove("dragging");
  // The browser has taken the finger for scrolling: that was no tap.
  if (event.type === "pointerup" && !gesture.moved && !gesture.onMap) hover(place(event), event.pointerType);
}

function onLeave(event) {
  if (event.pointerType === "mouse" && pointers.size === 0 && current().activeFrom === "canvas") update({ active: null });
}

function hover(point, kind) {
  const { active } = current();
  const object = views.objectAt(point, pointable(point), view, SLACK[kind] ?? SLACK.mouse);
  canvas.classList.toggle("over", object !== null);
  if ((object?.index ?? null) !== active) update({ active: object?.index ?? null, activeFrom: "canvas" });
}

/** The objects of the list that can be pointed at: beyond the divider are those of the other model. */
function pointable({ x }) {
  const { shown, other, split } = current();
  return other !== null && x > split * size.width ? [] : shown;
}

function onDoubleClick(event) {
  const { image } = current();
  if (!image || gesture?.onMap) return;
  const point = place(event);
  const object = views.objectAt(point, pointable(point), view, SLACK.mouse);
  const target = object && views.around(object, image, size);
  // An object that fills the canvas already: closer still.
  if (target && target.scale > view.scale * 1.1) fly(target);
  else zoomBy(DOUBLE_CLICK, point);
}

const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onKey(event) {
  const { image } = current();
  const ours = event.target === canvas || event.target === document.body;
  if (!image || !ours || event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = event.target === canvas && ARROWS[event.key];
  if (event.key === "+" || event.key === "=") zoomBy(STEP);
  else if (event.key === "-" || event.key === "_") zoomBy(1 / STEP);
  else if (event.key === "0") showWhole();
  else if (event.key === "Escape") update({ active: null });
  else if (arrow) {
    const [x, y] = arrow;
    const next = views.pan(goal, x * size.width * PAN_SHARE, y * size.height * PAN_SHARE, image, size);
    if (flight === null) settle(next);
    else fly(next);
  } else return;
  event.preventDefault();
}

// Drawing -----------------------------------------------------------------------------------------------------------

function redraw() {
  frame ??= requestAnimationFrame(draw);
}

function draw() {
  cancelAnimationFrame(frame);
  frame = null;
  const { image } = current();
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!image) return;
  const dots = canvas.width / size.width; // of the canvas to a CSS pixel
  const inner = { scale: view.scale * dots, x: view.x * dots, y: view.y * dots };
  drawImage(context, image, inner);
  drawSlices(context, current(), inner, Math.max(1, Math.round(dots)));
  drawSides(context, current(), inner, { line: Math.max(1, Math.round(1.5 * dots)), font: 11 * dots });
  drawMinimap(context, image, view, size, dots);
}
