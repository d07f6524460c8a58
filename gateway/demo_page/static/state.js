// What the page knows, in one place. Modules read it, `update` it, and are told of every change.

import { chosen, sorted } from "./objects.js";

export const FLOOR = 0.05; // the one request asks for every object that scores more; the rest is filtered here

const listeners = new Set();

let state = {
  models: [], // of GET /models
  model: null, // name of the chosen one; null is the server's default
  source: null, // what was asked: see sources.js
  image: null, // {bitmap, width, height}: what a canvas can draw
  objects: [], // of the answer, every one
  shown: [], // those that pass the filters, in the list's order
  threshold: 0.5, // shown is what scores more
  hidden: new Set(), // class ids that are switched off
  sort: { key: "score", descending: true },
  active: null, // the object under the pointer or the focus, by its index in `objects`
  activeFrom: null, // "canvas" or "list"
  answer: null, // the server's document
  timing: null, // {total, server}: see timing.js
  busy: false,
  live: false, // the camera runs continuously
  problem: null, // {text, retry}
};

export const current = () => state;

export function update(changes) {
  const before = state;
  state = { ...state, ...changes };
  if (["objects", "threshold", "hidden", "sort"].some((key) => state[key] !== before[key])) {
    state.shown = sorted(chosen(state.objects, state.threshold, state.hidden), state.sort);
    if (!state.shown.some((object) => object.index === state.active)) state.active = null;
  }
  for (const listener of listeners) listener(state, before);
}

/** Call `listener(state, before)` after every change of one of `keys`. */
export function onChange(keys, listener) {
  listeners.add((now, before) => {
    if (keys.some((key) => now[key] !== before[key])) listener(now, before);
  });
}
