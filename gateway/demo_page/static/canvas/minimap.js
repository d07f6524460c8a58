// The whole image in a corner while only a part of it is to be seen, with that part framed.

import { isWhole, toImage } from "./view.js";

const SIDE = 132; // CSS pixels
const SHARE = 0.3; // of the canvas, at most
const GAP = 10;

let thumb = null; // {bitmap, canvas}: scaled once for each image

/** x, y, width, height in CSS pixels; null where the whole image is to be seen. */
function area(image, view, size) {
  if (isWhole(view, image, size)) return null;
  const most = Math.min(SIDE, size.width * SHARE, size.height * SHARE);
  const scale = most / Math.max(image.width, image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  return { x: size.width - width - GAP, y: GAP, width, height, scale };
}

export function drawMinimap(context, image, view, size, dots) {
  const map = area(image, view, size);
  if (map === null) return;
  const [x, y, width, height] = [map.x, map.y, map.width, map.height].map((value) => Math.round(value * dots));
  context.fillStyle = "rgb(0 0 0 / 0.6)";
  context.fillRect(x - 2, y - 2, width + 4, height + 4);
  context.drawImage(scaled(image, width, height), x, y);
  const from = toImage({ x: 0, y: 0 }, view);
  const to = toImage({ x: size.width, y: size.height }, view);
  const left = Math.max(0, from.x) * map.scale * dots;
  const top = Math.max(0, from.y) * map.scale * dots;
  const right = Math.min(image.width, to.x) * map.scale * dots;
  const bottom = Math.min(image.height, to.y) * map.scale * dots;
  context.lineWidth = Math.max(1, Math.round(1.5 * dots));
  context.strokeStyle = "#fff";
  context.strokeRect(x + left, y + top, Math.max(3, right - left), Math.max(3, bottom - top));
}

/** The image's point under a point of the canvas; null beside the map, unless it is `held`. */
export function minimapPoint(point, image, view, size, held = false) {
  const map = area(image, view, size);
  if (map === null) return held ? { x: 0, y: 0 } : null;
  const [x, y] = [point.x - map.x, point.y - map.y];
  if (!held && (x < 0 || y < 0 || x > map.width || y > map.height)) return null;
  return { x: x / map.scale, y: y / map.scale };
}

function scaled(image, width, height) {
  if (thumb?.bitmap !== image.bitmap || thumb.canvas.width !== width || thumb.canvas.height !== height) {
    const canvas = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image.bitmap, 0, 0, canvas.width, canvas.height);
    thumb = { bitmap: image.bitmap, canvas };
  }
  return thumb.canvas;
}
