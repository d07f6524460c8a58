// The server's API. Paths are relative, so that the page works behind a prefix too.

import { ApiError, errorOf } from "./errors.js";
import { readServerTiming } from "./results/timing.js";

const KEY = "sod-api-key";
const NEVER = 1; // a score is never greater than 1: no box is drawn

export const DETECT_URL = new URL("small-object-detection", document.baseURI).href;

let apiKey = null;
try {
  apiKey = sessionStorage.getItem(KEY);
} catch {
  // Storage may be forbidden; then the key lasts as long as the page.
}

export const hasKey = () => apiKey !== null;

export function setKey(key) {
  apiKey = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // As above.
  }
}

/** The models that may be asked: [{name, labels, inputSize, default}]. */
export async function listModels() {
  const { document } = await call("models", {});
  return document.result.models;
}

/**
 * The objects of an image.
 *
 * @param {string} image base64, or the URL
 * @param {{threshold: number, model: ?string, slices: string, signal: AbortSignal}} options
 * @returns {{document, timing: {total: number, server: ?Map<string, number>, slices: number}}} times in ms; `slices` is
 *   how many were detected, the whole image among them, 0 if it was not sliced
 */
export async function detect(image, { threshold, model, slices, signal }) {
  const started = performance.now();
  const fields = { image, threshold, visualize: false, ...sliceField(slices) };
  const { document, response } = await post(fields, model, signal);
  const total = performance.now() - started;
  const count = Number(response.headers.get("x-slices") ?? 0);
  return { document, timing: { total, server: readServerTiming(response.headers.get("server-timing")), slices: count } };
}

/** The request's field `slice`, if any, for the choice of the page. */
export const sliceField = (slices) => (slices === "off" ? {} : { slice: slices === "auto" ? "auto" : true });

/** The image as the server decodes it (a JPEG), for those that the browser cannot or may not read. */
export async function fetchImage(image, { model, signal }) {
  const { document } = await post({ image, threshold: NEVER, visualize: true }, model, signal);
  const bytes = Uint8Array.from(atob(document.result.image), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/jpeg" });
}

const post = (fields, model, signal) =>
  call(DETECT_URL, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(model === null ? fields : { ...fields, model }),
    signal,
  });

async function call(path, { headers = {}, ...options }) {
  const authorized = apiKey === null ? headers : { ...headers, Authorization: `Bearer ${apiKey}` };
  let response;
  try {
    response = await fetch(path, { ...options, headers: authorized, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable");
  }
  if (!response.ok) throw await errorOf(response);
  try {
    return { document: await response.json(), response };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("brokenResponse");
  }
}
