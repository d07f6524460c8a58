// Every way a request can fail, as a sentence.

const AGAIN = new Set([408, 429, 500, 502, 503, 504]);

/** A request that failed. `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(text, status = 0) {
    super(text);
    this.name = "ApiError";
    this.status = status;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || AGAIN.has(this.status);
  }
}

/** The error of an answer that is not 2xx; its body is the envelope, or whatever a proxy on the way wrote. */
export async function errorOf(response) {
  let document = null;
  try {
    document = await response.json();
  } catch {
    // Not ours: the status has to do.
  }
  const words = typeof document?.errorMsg === "string" ? readable(document.errorMsg) : "";
  const said = words || `The server answered with status ${response.status} ${response.statusText}`.trim();
  return new ApiError([asSentence(said), waiting(response)].filter(Boolean).join(" "), response.status);
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
  return issues.map(({ loc, msg }) => `${String(loc).replace(/^body\.?/, "") || "the request"}: ${msg}`).join("; ");
}

function waiting(response) {
  const header = response.headers.get("retry-after");
  if (header === null) return "";
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  if (!(seconds > 0)) return "";
  return `It asks to wait ${seconds} second${seconds === 1 ? "" : "s"} before the next try.`;
}

const asSentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
