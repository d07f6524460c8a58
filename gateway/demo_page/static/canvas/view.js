// Where the image lies on the canvas: {scale, x, y}, in CSS pixels; screen = image * scale + (x, y).
// Pure functions. `size` is the canvas's {width, height}.

const CLOSEST = 64; // CSS pixels to one of the image
const ROOM = 5; // an object that is zoomed to has this many times its size around it
const OBJECT_SCALE = 24;

/** The whole image, in the middle. */
export function fit(image, size) {
  const scale = Math.min(size.width / image.width, size.height / image.height);
  return clamp({ scale, x: 0, y: 0 }, image, size);
}

const smallest = (image, size) => Math.min(size.width / image.width, size.height / image.height);

/** The nearest allowed view: no smaller than the whole image, no gap where it is larger than the canvas. */
export function clamp(view, image, size) {
  const scale = view.scale;
  return {
    scale,
    x: along(view.x, image.width * scale, size.width),
    y: along(view.y, image.height * scale, size.height),
  };
}

const along = (offset, length, room) =>
  length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, offset));

/** Zoomed by `factor`; what is under `point` {x, y} stays there. */
export function zoomAt(view, factor, point, image, size) {
  const least = smallest(image, size);
  const scale = Math.min(Math.max(CLOSEST, least), Math.max(least, view.scale * factor));
  const grown = scale / view.scale;
  return clamp(
    { scale, x: point.x - (point.x - view.x) * grown, y: point.y - (point.y - view.y) * grown },
    image,
    size,
  );
}

export const pan = (view, dx, dy, image, size) => clamp({ ...view, x: view.x + dx, y: view.y + dy }, image, size);

/** A point of the image in the middle of the canvas. */
export const centred = (scale, x, y, image, size) =>
  clamp({ scale, x: size.width / 2 - x * scale, y: size.height / 2 - y * scale }, image, size);

/** An object in the middle, with what is around it. */
export function around({ box, width, height }, image, size) {
  const wanted = Math.min(size.width / (width * ROOM), size.height / (height * ROOM), OBJECT_SCALE);
  const scale = Math.max(smallest(image, size), wanted);
  return centred(scale, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, image, size);
}

/** Between two views, `share` 0 to 1: even in zoom, straight in what is in the middle. */
export function between(from, to, share, size) {
  const scale = from.scale * (to.scale / from.scale) ** share;
  const middle = (view, side, room) => (room / 2 - view[side]) / view.scale;
  // Of the way of the middle as much is gone as of the zoom; else it would swing out at high zoom.
  const done = from.scale === to.scale ? share : (1 / from.scale - 1 / scale) / (1 / from.scale - 1 / to.scale);
  const x = middle(from, "x", size.width) * (1 - done) + middle(to, "x", size.width) * done;
  const y = middle(from, "y", size.height) * (1 - done) + middle(to, "y", size.height) * done;
  return { scale, x: size.width / 2 - x * scale, y: size.height / 2 - y * scale };
}

export const isWhole = (view, image, size) => view.scale <= smallest(image, size) * 1.001;

export const toImage = (point, view) => ({ x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale });

/** left, top, right, bottom on the canvas. */
export const toScreen = ([left, top, right, bottom], { scale, x, y }) => [
  left * scale + x,
  top * scale + y,
  right * scale + x,
  bottom * scale + y,
];

/** The smallest object under a point of the canvas; small ones may be missed by `slack` pixels. */
export function objectAt(point, objects, view, slack) {
  let best = null;
  for (const object of objects) {
    const [left, top, right, bottom] = toScreen(object.box, view);
    const hit = point.x >= left - slack && point.x <= right + slack && point.y >= top - slack && point.y <= bottom + slack;
    if (hit && (best === null || object.area < best.area)) best = object;
  }
  return best;
}
