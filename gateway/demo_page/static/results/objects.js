// The objects of an answer: pure functions, no page.

const STEPS = [0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05];
const ENOUGH = 10;

/** The answer's objects as the page keeps them; `index` is their place in the answer. */
export function readObjects(detected) {
  return detected.map(({ bbox, categoryId, categoryName, score }, index) => {
    const [left, top, right, bottom] = bbox;
    const width = right - left;
    const height = bottom - top;
    return { index, box: bbox, width, height, area: width * height, classId: categoryId, className: categoryName, score };
  });
}

/** Whether the server would keep it: it compares as float32, and the score must be greater. */
export const passes = (object, threshold) => object.score > Math.fround(threshold);

/** The objects that score more than `threshold` and are of no hidden class. */
export const chosen = (objects, threshold, hidden) =>
  objects.filter((object) => passes(object, threshold) && !hidden.has(object.classId));

const KEYS = {
  score: (object) => object.score,
  size: (object) => object.area,
  class: (object) => object.classId,
};

/** A sorted copy; what is equal goes by score. */
export function sorted(objects, { key, descending }) {
  const value = KEYS[key];
  const sign = descending ? -1 : 1;
  return [...objects].sort((a, b) => sign * (value(a) - value(b)) || b.score - a.score || a.index - b.index);
}

/** Map of class id → {id, name, total, above}, by id; `above` counts those over the threshold. */
export function countClasses(objects, threshold) {
  const classes = new Map();
  for (const object of objects) {
    const entry = classes.get(object.classId) ?? { id: object.classId, name: object.className, total: 0, above: 0 };
    entry.total += 1;
    if (passes(object, threshold)) entry.above += 1;
    classes.set(object.classId, entry);
  }
  return new Map([...classes].sort(([a], [b]) => a - b));
}

/**
 * Where the slider starts: the usual 0.5 if anything scores more; for a weaker model the highest step that shows ten
 * objects, or all there are.
 */
export function startThreshold(objects) {
  const above = (step) => objects.filter((object) => passes(object, step)).length;
  if (objects.length === 0 || above(STEPS[0]) > 0) return STEPS[0];
  return STEPS.find((step) => above(step) >= Math.min(ENOUGH, objects.length)) ?? STEPS.at(-1);
}

/** The request's `threshold` that gives what is shown: a number, or one a class where some are hidden. */
export function requestThreshold(threshold, hidden, classes) {
  if (hidden.size === 0) return threshold;
  const known = new Set([...classes, ...hidden]);
  return Object.fromEntries([...known].sort((a, b) => a - b).map((id) => [id, hidden.has(id) ? 1 : threshold]));
}
