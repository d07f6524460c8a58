// The images and results of the page in the browser's IndexedDB, so that a reload shows them again without a request.

import { fromBlob, fromUrl } from "../inputs/sources.js";
import { current, onChange, update } from "../state.js";
import { restore } from "./collection.js";

const NAME = "sod-page";
const VIEW = ["entry", "model", "slices", "compare", "threshold", "isThresholdChosen", "hidden"]; // what is stored beside the images
const WAIT_MS = 300; // a slider that moves is stored once

let database = null;
let stored = new Map(); // id of an entry → the document that is stored
let timer = null;

/** Show what was stored, then store every change. Without IndexedDB the page works, and forgets. */
export async function startStorage() {
  try {
    database = await openDatabase();
    await load();
  } catch (error) {
    console.info("Nothing is stored:", error);
  }
  if (database === null) return;
  onChange(["images", ...VIEW], () => {
    clearTimeout(timer);
    timer = setTimeout(save, WAIT_MS);
  });
  addEventListener("pagehide", save);
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("images", { keyPath: "id" });
      request.result.createObjectStore("view");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("the database is blocked"));
  });
}

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function load() {
  const transaction = database.transaction(["images", "view"]);
  const [records, view] = await Promise.all([
    result(transaction.objectStore("images").getAll()),
    result(transaction.objectStore("view").get("view")),
  ]);
  const entries = records.map(({ kind, name, blob, url, ...entry }) => {
    return { ...entry, source: blob ? fromBlob(blob, name, kind) : fromUrl(url) };
  });
  stored = new Map(entries.map(({ id, document }) => [id, document]));
  if (entries.length === 0) return;
  const { entry = null, ...rest } = view ?? {};
  update(rest);
  await restore(entries, entry);
}

function save() {
  clearTimeout(timer);
  const { images, entry } = current();
  const done = images.filter((one) => one.document !== null);
  try {
    const transaction = database.transaction(["images", "view"], "readwrite");
    transaction.onabort = () => console.info("Not stored:", transaction.error); // such as: the disk is full
    const store = transaction.objectStore("images");
    for (const id of stored.keys()) if (!done.some((one) => one.id === id)) store.delete(id);
    for (const one of done) {
      if (stored.get(one.id) === one.document) continue;
      const { kind, name, blob = null, url = null } = one.source;
      const { id, model, slices, document, timing, viewable, thumb } = one;
      store.put({ id, kind, name, blob, url, model, slices, document, timing, viewable, thumb });
    }
    stored = new Map(done.map(({ id, document }) => [id, document]));
    const view = Object.fromEntries(VIEW.map((key) => [key, current()[key]]));
    transaction.objectStore("view").put({ ...view, entry: entry?.id ?? null }, "view");
  } catch (error) {
    console.info("Not stored:", error);
  }
}
