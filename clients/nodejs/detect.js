#!/usr/bin/env node
// Detects small objects in an image. Usage: node detect.js IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]
import { readFile, writeFile } from "node:fs/promises";

/** Sends the image to the server. Returns a line for each object, and a JPEG of the image with their boxes. */
async function detect(image, endpoint, fields) {
  const file = await readFile(image).catch((error) => {
    throw new Error(`cannot read ${image}: ${error.message}`);
  });
  const body = { image: file.toString("base64"), visualize: true, ...fields };
  const headers = { "Content-Type": "application/json" };
  if (process.env.SOD_API_KEY) headers.Authorization = `Bearer ${process.env.SOD_API_KEY}`;
  const signal = AbortSignal.timeout(replySeconds() * 1000);
  let status, text;
  try {
    const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(body), signal });
    status = response.status;
    text = await response.text();
  } catch (error) {
    // The message of fetch's error is only "fetch failed"; its cause has the reason.
    const reason = error.cause?.message || error.cause?.code || error.message;
    throw new Error(`no answer from ${endpoint}: ${reason}`);
  }
  let sentence;
  try {
    const reply = JSON.parse(text);
    if (reply.errorCode === 0) {
      const { detectedObjects, image: drawn } = reply.result;
      return { lines: detectedObjects.map(line), overlay: Buffer.from(drawn, "base64") };
    }
    sentence = serverError(reply);
  } catch {
    sentence = `${endpoint} answered HTTP ${status} without detections: is it the right server?`;
  }
  throw new Error(sentence);
}

/** The text of an error that the server reports; throws a TypeError if the reply is not in the server's format. */
function serverError({ errorCode, errorMsg, logId }) {
  if (!Number.isInteger(errorCode)) throw new TypeError("not the server's format");
  return `the server answered ${errorCode}: ${errorMsg} (logId ${logId})`;
}

/** The fields of the request for the threshold and the model, each absent if it is empty. */
function options(threshold, model) {
  if (threshold && !/^[0-9]*\.?[0-9]+$/.test(threshold)) {
    throw new Error(`the threshold is ${threshold}: give a number from 0 to 1`);
  }
  return { ...(threshold && { threshold: Number(threshold) }), ...(model && { model }) };
}

/** The timeout of a response in seconds: SOD_TIMEOUT, or 120. */
function replySeconds() {
  const text = process.env.SOD_TIMEOUT || "120";
  if (!/^[1-9][0-9]{0,5}$/.test(text)) {
    throw new Error(`SOD_TIMEOUT is ${text}: give whole seconds, 1 to 999999`);
  }
  return Number(text);
}

/** Formats one object: class id, class name, score, [left, top, right, bottom]. */
function line({ categoryId, categoryName, score, bbox }) {
  return `${categoryId} ${categoryName} ${fixed(score)} [${bbox.map(fixed).join(", ")}]`;
}

/** Formats a number with three decimals, rounded half up, as the samples in all languages do. */
function fixed(number) {
  return (Math.floor(number * 1000 + 0.5) / 1000).toFixed(3);
}

async function main([image, url = "http://127.0.0.1:8080", output = "out.jpg", threshold = "", model = "", ...rest]) {
  if (image === undefined || rest.length > 0) {
    console.error("usage: node detect.js IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]");
    return 2;
  }
  try {
    const endpoint = `${url.replace(/\/+$/, "")}/small-object-detection`;
    const { lines, overlay } = await detect(image, endpoint, options(threshold, model));
    await writeFile(output, overlay);
    console.log([...lines, `${lines.length} objects, drawn in ${output}`].join("\n"));
    return 0;
  } catch (error) {
    console.error(`detect: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
