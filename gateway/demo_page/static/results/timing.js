// Where the time of a request went, from the client's clock and the header Server-Timing.

import { $, element } from "../dom.js";
import { onChange } from "../state.js";
import { text } from "../text/language.js";

// Parts of the bar, in the order of a request. Time of the server that no entry of the header explains is the gateway's.
const PARTS = ["network", "fetch", "queue", "gateway", "infer"];

/** `parse;dur=1.2, infer;dur=80` → Map of name → ms; null without a header. */
export function readServerTiming(header) {
  if (!header) return null;
  const entries = header.split(",").map((entry) => {
    const [name, ...fields] = entry.split(";").map((text) => text.trim());
    const duration = fields.map((field) => /^dur="?([\d.]+)"?$/.exec(field)).find(Boolean);
    return [name, duration ? Number(duration[1]) : NaN];
  });
  return new Map(entries.filter(([name, ms]) => name && Number.isFinite(ms)));
}

/**
 * [{key, ms}] of the parts that took time, in the order of a request; empty without the header. Slices are in work at the
 * same time, and the header adds their times up: of the time that they took together each part has its share.
 */
export function breakdown({ total, server, slices = 0 }) {
  if (!server?.has("total")) return [];
  const took = (name) => server.get(name) ?? 0;
  // The server's clock starts with the head of the request: reading the body is waiting for the network.
  const served = Math.min(total, took("total") - took("body"));
  const own = ["parse", "fetch", "decode", "merge"].reduce((sum, name) => sum + took(name), 0);
  const summed = took("queue") + took("infer");
  const share = slices > 0 && summed > 0 ? Math.min(1, Math.max(0, served - own) / summed) : 1;
  const named = { fetch: took("fetch"), queue: took("queue") * share, infer: took("infer") * share };
  const gateway = served - named.fetch - named.queue - named.infer;
  const ms = { ...named, network: total - served, gateway };
  return PARTS.map((key) => ({ key, ms: ms[key] })).filter((part) => part.ms > 0);
}

export const milliseconds = (ms) => (ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 9950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export function startTiming() {
  onChange(["timing", "language"], ({ timing }) => {
    $("timing").hidden = timing === null;
    if (timing === null) return;
    const parts = breakdown(timing);
    $("timing-bar").hidden = parts.length === 0;
    $("timing-bar").replaceChildren(
      ...parts.map(({ key, ms }) => {
        const piece = element("span", { className: `part ${key}` });
        piece.style.flexGrow = String(ms);
        return piece;
      }),
    );
    $("timing-text").replaceChildren(
      element("strong", {}, text("timingTotal", { time: milliseconds(timing.total) })),
      ...(timing.slices > 0 ? [element("span", {}, text("timingSlices", { slices: timing.slices }))] : []),
      ...parts.map(({ key, ms }) => {
        const label = `${text("timingParts")[key]} ${milliseconds(ms)}`;
        return element("span", {}, element("i", { className: `part ${key}` }), label);
      }),
    );
  });
}
