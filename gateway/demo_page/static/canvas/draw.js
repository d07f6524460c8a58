// Image, boxes and labels on any canvas, in its own pixels: the one on the page and the one that is saved.

import { coloursOf } from "./palette.js";
import { toScreen } from "./view.js";

const CRISP = 2; // from this scale on the image's pixels are shown as squares
const FONT = "system-ui, sans-serif";
const CELL = 128; // pixels of the canvas
const COLUMNS = 256; // more than any canvas has

/** The part of the image that is to be seen. */
export function drawImage(context, image, view) {
  const { width, height } = context.canvas;
  const left = Math.max(0, Math.floor(-view.x / view.scale));
  const top = Math.max(0, Math.floor(-view.y / view.scale));
  const right = Math.min(image.width, Math.ceil((width - view.x) / view.scale));
  const bottom = Math.min(image.height, Math.ceil((height - view.y) / view.scale));
  if (right <= left || bottom <= top) return;
  const [x0, y0, x1, y1] = toScreen([left, top, right, bottom], view);
  context.imageSmoothingEnabled = view.scale < CRISP;
  context.imageSmoothingQuality = "medium";
  context.drawImage(image.bitmap, left, top, right - left, bottom - top, x0, y0, x1 - x0, y1 - y0);
}

/**
 * Boxes, and labels where there is room.
 *
 * @param objects those to draw
 * @param {{line: number, font: number, active: ?number}} style in the canvas's pixels; `active` is an object's index
 */
export function drawObjects(context, objects, view, style) {
  const frames = frame(context.canvas, objects, view, style.line);
  // The best are drawn last, the active one after them.
  for (const one of frames.toReversed()) drawBox(context, one, style.line);
  const active = frames.find(({ object }) => object.index === style.active);
  context.font = `${style.font}px ${FONT}`;
  context.textBaseline = "middle";
  placeLabels(context, frames, active, style);
  if (active) {
    drawBox(context, active, style.line * 2);
    drawLabel(context, active, labelOf(context, active.object, style), bestSpot(context, active, style));
  }
}

/** [{object, rect}] of what lies on the canvas, the best score first; rect is x0, y0, x1, y1 in whole pixels. */
function frame({ width, height }, objects, view, line) {
  return objects
    .map((object) => ({ object, rect: toScreen(object.box, view).map(Math.round) }))
    .filter(({ rect: [x0, y0, x1, y1] }) => x1 >= -line && y1 >= -line && x0 <= width + line && y0 <= height + line)
    .sort((a, b) => b.object.score - a.object.score || a.object.index - b.object.index);
}

// The line lies outside of the box: it hides nothing of a small object.
function drawBox(context, { object, rect: [x0, y0, x1, y1] }, line) {
  const stroke = (width, colour) => {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.strokeRect(x0 - line / 2, y0 - line / 2, x1 - x0 + line, y1 - y0 + line);
  };
  context.lineJoin = "miter";
  stroke(line + 2, "rgb(0 0 0 / 0.35)"); // for bright ground
  stroke(line, coloursOf(object.classId)[0]);
}

function labelOf(context, object, { font }) {
  const text = `${object.className} ${object.score.toFixed(2)}`;
  return { text, width: Math.ceil(context.measureText(text).width + font * 0.7), height: Math.ceil(font * 1.4) };
}

function spots({ rect: [x0, y0, x1, y1] }, { width, height }, line) {
  return [
    [x0 - line, y0 - line - height],
    [x0 - line, y1 + line],
    [x1 + line - width, y0 - line - height],
    [x1 + line - width, y1 + line],
    [x1 + line, y0 - line],
    [x0 - line - width, y0 - line],
  ].map(([x, y]) => [x, y, x + width, y + height]);
}

const within = ([x0, y0, x1, y1], { width, height }) => x0 >= 0 && y0 >= 0 && x1 <= width && y1 <= height;
const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** A label is drawn where it covers no box and no other label; the rest show theirs when they are pointed at. */
function placeLabels(context, frames, active, style) {
  const taken = new Places();
  for (const { rect } of frames) taken.add(rect);
  for (const one of frames) {
    if (one === active) continue;
    const label = labelOf(context, one.object, style);
    const free = (spot) => within(spot, context.canvas) && !taken.meets(spot, one.rect);
    const spot = spots(one, label, style.line).find(free);
    if (!spot) continue;
    taken.add(spot);
    drawLabel(context, one, label, spot);
  }
}

/** Rectangles by the cells of a grid that they touch: with thousands of them each is compared with those near it. */
class Places {
  #cells = new Map();

  add(rect) {
    for (const key of this.#keys(rect)) {
      const cell = this.#cells.get(key);
      if (cell) cell.push(rect);
      else this.#cells.set(key, [rect]);
    }
  }

  /** Whether `spot` overlaps any of them but `own`. */
  meets(spot, own) {
    for (const key of this.#keys(spot)) {
      if (this.#cells.get(key)?.some((rect) => rect !== own && overlap(spot, rect))) return true;
    }
    return false;
  }

  *#keys([x0, y0, x1, y1]) {
    // Labels lie on the canvas: what lies beyond it does not matter.
    const [left, top] = [Math.max(0, x0), Math.max(0, y0)].map((it) => Math.floor(it / CELL));
    const [right, bottom] = [x1, y1].map((it) => Math.min(COLUMNS - 1, Math.floor(it / CELL)));
    for (let y = top; y <= bottom; y += 1) for (let x = left; x <= right; x += 1) yield y * COLUMNS + x;
  }
}

/** For the active object: covering others is no harm, leaving the canvas is. */
function bestSpot(context, one, style) {
  const label = labelOf(context, one.object, style);
  const all = spots(one, label, style.line * 2);
  const { width, height } = context.canvas;
  const into = ([x0, y0]) => {
    const x = Math.max(0, Math.min(width - label.width, x0));
    const y = Math.max(0, Math.min(height - label.height, y0));
    return [x, y, x + label.width, y + label.height];
  };
  return all.find((spot) => within(spot, context.canvas)) ?? into(all[0]);
}

function drawLabel(context, { object }, { text }, [x0, y0, x1, y1]) {
  const [ground, ink] = coloursOf(object.classId);
  context.fillStyle = ground;
  context.fillRect(x0, y0, x1 - x0, y1 - y0);
  context.fillStyle = ink;
  context.fillText(text, x0 + (x1 - x0 - context.measureText(text).width) / 2, (y0 + y1) / 2);
}
