// The whole picture in a corner while only a part of it is to be seen, with that part framed.

import { isWhole, toPicture } from "./view.js";

const SIDE = 132; // CSS pixels
const SHARE = 0.3; // of the canvas, at most
const GAP = 10;

let thumb = null; // {image, canvas}: scaled once for each picture

/** x, y, width, height in CSS pixels; null where the whole picture is to be seen. */
function area(picture, view, size) {
  if (isWhole(view, picture, size)) return null;
  const most = Math.min(SIDE, size.width * SHARE, size.height * SHARE);
  const scale = most / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return { x: size.width - width - GAP, y: GAP, width, height, scale };
}

export function drawMinimap(context, picture, view, size, dots) {
  const map = area(picture, view, size);
  if (map === null) return;
  const [x, y, width, height] = [map.x, map.y, map.width, map.height].map((value) => Math.round(value * dots));
  context.fillStyle = "rgb(0 0 0 / 0.6)";
  context.fillRect(x - 2, y - 2, width + 4, height + 4);
  context.drawImage(scaled(picture, width, height), x, y);
  const from = toPicture({ x: 0, y: 0 }, view);
  const to = toPicture({ x: size.width, y: size.height }, view);
  const left = Math.max(0, from.x) * map.scale * dots;
  const top = Math.max(0, from.y) * map.scale * dots;
  const right = Math.min(picture.width, to.x) * map.scale * dots;
  const bottom = Math.min(picture.height, to.y) * map.scale * dots;
  context.lineWidth = Math.max(1, Math.round(1.5 * dots));
  context.strokeStyle = "#fff";
  context.strokeRect(x + left, y + top, Math.max(3, right - left), Math.max(3, bottom - top));
}

/** The picture's point under a point of the canvas; null beside the map, unless it is `held`. */
export function minimapPoint(point, picture, view, size, held = false) {
  const map = area(picture, view, size);
  if (map === null) return held ? { x: 0, y: 0 } : null;
  const [x, y] = [point.x - map.x, point.y - map.y];
  if (!held && (x < 0 || y < 0 || x > map.width || y > map.height)) return null;
  return { x: x / map.scale, y: y / map.scale };
}

function scaled(picture, width, height) {
  if (thumb?.image !== picture.image || thumb.canvas.width !== width || thumb.canvas.height !== height) {
    const canvas = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture.image, 0, 0, canvas.width, canvas.height);
    thumb = { image: picture.image, canvas };
  }
  return thumb.canvas;
}
