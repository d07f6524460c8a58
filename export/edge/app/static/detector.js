// The detector as a promise: it runs in a worker, so that the page stays responsive.

export class Detector {
  constructor() {
    this.worker = new Worker("detector_worker.js", { type: "module" });
    this.waiting = new Map();
    this.next = 0;
    this.worker.addEventListener("message", ({ data }) => this.#settle(data));
    this.worker.addEventListener("error", (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the worker stopped"));
      this.waiting.clear();
    });
  }

  // Loads the model; gives {engine, labels, model, precision, ms}.
  load() {
    return this.#ask({ kind: "load" });
  }

  // Detects the objects of an ImageData; gives {objects, ms}. The ImageData's buffer is empty afterwards.
  detect(image) {
    const { width, height } = image;
    return this.#ask({ kind: "detect", width, height, rgba: image.data.buffer }, [image.data.buffer]);
  }

  #ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message }, transfer);
    });
  }

  #settle({ id, result, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }
}
