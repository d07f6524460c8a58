// Where images come from. A source is {kind, name, blob, url, image()}:
//   blob     the encoded image; undefined for an address
//   image()  what the request's `image` is: base64, or the URL

import { ApiError } from "../errors.js";

const isUrl = (text) => /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);

/** A file, a pasted image, or a frame of the camera. */
export function fromBlob(blob, name = blob.name || "image", kind = "file") {
  return { kind, name, blob, image: () => base64(blob) };
}

/** An image on the web: pages must not read the pixels of other hosts, so the server fetches it. */
export function fromUrl(url) {
  const name = decodeURIComponentSafely(new URL(url).pathname.split("/").pop()) || new URL(url).host;
  return { kind: "url", name, url, image: async () => url };
}

/** The source of an http(s) address; null if the text is none. */
export const fromAddress = (text) => (isUrl(text) ? fromUrl(text) : null);

/** The files, or the first address, in what was dropped or pasted. */
export function fromTransfer(transfer) {
  const files = [...transfer.files].map((file) => fromBlob(file));
  if (files.length > 0) return files;
  const source = fromAddress((transfer.getData("text/uri-list") || transfer.getData("text/plain")).trim().split(/\s*\n/)[0]);
  return source ? [source] : [];
}

/** {bitmap, width, height} that a canvas can draw, EXIF rotation applied as in the server; null if it cannot be read. */
export async function decode(blob) {
  try {
    const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
    return { bitmap, width: bitmap.width, height: bitmap.height };
  } catch {
    return null;
  }
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new ApiError("cannotRead", { reason: reader.error.message }));
    reader.readAsDataURL(blob);
  });
}

function decodeURIComponentSafely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
