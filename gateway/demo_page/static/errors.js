// Every way a request can fail, as a sentence in the page's language.

import { text } from "./text/language.js";

const AGAIN = new Set([408, 429, 500, 502, 503, 504]);

/** A request that failed. `status` is 0 where there was no response. */
export class ApiError extends Error {
  /**
   * @param {string} key of the page's texts
   * @param {object} values that the text mentions
   */
  constructor(key, values = {}) {
    super(key);
    this.name = "ApiError";
    this.status = values.status ?? 0;
    this.say = () => text(key, values);
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || AGAIN.has(this.status);
  }
}

/** The sentence of any error, in the page's language at the time of the call. */
export const sentenceOf = (error) => (error instanceof ApiError ? error.say() : text("unexpected", { reason: error.message }));

/** The error of a response that is not 2xx; its body is the envelope, or whatever a proxy wrote. */
export async function errorOf(response) {
  const { status, statusText } = response;
  let document = null;
  try {
    document = await response.json();
  } catch {
    // Not the gateway's: the status has to do.
  }
  const message = typeof document?.errorMsg === "string" ? readable(document.errorMsg) : "";
  const words = asSentence(message || `${text("serverStatus", { status })} ${statusText}`.trim());
  return new ApiError("server", { words, status, wait: waiting(response) });
}

/** `errorMsg` in words; where the request did not fit it holds a JSON list of {type, loc, msg}. */
export function readable(message) {
  let issues = null;
  try {
    issues = JSON.parse(message);
  } catch {
    return message;
  }
  if (!Array.isArray(issues)) return message;
  return issues.map(({ loc, msg }) => `${String(loc).replace(/^body\.?/, "") || text("request")}: ${msg}`).join("; ");
}

/** The seconds of `Retry-After`; 0 without them. */
function waiting(response) {
  const header = response.headers.get("retry-after");
  if (header === null) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return seconds > 0 ? seconds : 0;
}

const asSentence = (words) => words[0].toUpperCase() + words.slice(1) + (/[.!?…。]$/.test(words) ? "" : ".");
