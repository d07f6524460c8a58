// What the page knows, in one place. Modules read it, `update` it, and are told of every change.

import { chosen, sorted } from "./results/objects.js";

export const FLOOR = 0.05; // requests ask for every object with a higher score; the rest is filtered here

const listeners = new Set();

let state = {
  language: null, // "en" or "zh-CN": see text/language.js
  models: [], // of GET /models
  model: null, // name of the chosen one; null is the server's default
  compare: null, // name of the model that is compared with it; null for none
  slices: "off", // how images are sliced: "off", "auto" or "on"
  images: [], // those of the strip: see images/collection.js
  entry: null, // the one of `images` on the stage; null for none and for the running camera
  source: null, // where the image on the stage comes from: see inputs/sources.js
  image: null, // {bitmap, width, height}: what a canvas can draw
  objects: [], // of the response, every one
  shown: [], // those that pass the filters, in the list's order
  other: null, // of the compared model: {model, objects}; null for none
  otherShown: [], // its objects that pass the filters
  split: 0.5, // where the canvas is divided between the two models, 0 to 1 of its width
  threshold: 0.5, // objects with a higher score are shown
  isThresholdChosen: false, // by the user: it is kept for the next images
  hidden: new Set(), // class ids that are switched off
  sort: { key: "score", descending: true },
  active: null, // the object under the pointer or the focus, by its index in `objects`
  activeFrom: null, // "canvas" or "list"
  answer: null, // the server's document
  timing: null, // {total, server, slices}: see results/timing.js
  busy: false, // the image that was asked for last has no result yet
  live: false, // the camera or a video runs continuously
  problem: null, // {texts, retry}: functions that give the sentences in the page's language, and what repeats the request
};

export const current = () => state;

export function update(changes) {
  const before = state;
  state = { ...state, ...changes };
  const changed = (...keys) => keys.some((key) => state[key] !== before[key]);
  if (changed("objects", "threshold", "hidden", "sort")) {
    state.shown = sorted(chosen(state.objects, state.threshold, state.hidden), state.sort);
    if (!state.shown.some((object) => object.index === state.active)) state.active = null;
  }
  if (changed("objects", "threshold", "hidden", "other")) state.otherShown = chosenOfOther(state);
  for (const listener of listeners) listener(state, before);
}

/** Class ids of two models may differ, their names tell which classes are the same. */
function chosenOfOther({ other, objects, hidden, threshold }) {
  if (other === null) return [];
  const names = new Set(objects.filter((object) => hidden.has(object.classId)).map((object) => object.className));
  return chosen(other.objects, threshold, new Set()).filter((object) => !names.has(object.className));
}

/** Call `listener(state, before)` after every change of one of `keys`. */
export function onChange(keys, listener) {
  listeners.add((now, before) => {
    if (keys.some((key) => now[key] !== before[key])) listener(now, before);
  });
}
