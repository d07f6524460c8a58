// Where images come from. A source is {kind, name, image(), decode()}:
//   image()  → what the request's `image` is: base64, or the URL
//   decode() → {bitmap, width, height} that a canvas can draw, or null where only the server can read it

const isUrl = (text) => /^https?:\/\/\S+$/i.test(text);

/** A file, a pasted image, or a frame of the camera. */
export function fromBlob(blob, name = blob.name || "image", kind = "file") {
  return { kind, name, blob, image: () => base64(blob), decode: () => decode(blob) };
}

/** An image on the web: other hosts' pixels are closed to a page, so the server fetches it. */
export function fromUrl(url) {
  const name = decodeURIComponentSafely(new URL(url).pathname.split("/").pop()) || new URL(url).host;
  return { kind: "url", name, url, image: async () => url, decode: async () => null };
}

/** The first image, file or address in what was dropped or pasted; null if there is none. */
export function fromTransfer(transfer) {
  const file = [...transfer.files][0];
  if (file) return fromBlob(file);
  const text = (transfer.getData("text/uri-list") || transfer.getData("text/plain")).trim().split(/\s*\n/)[0];
  return isUrl(text) && URL.canParse(text) ? fromUrl(text) : null;
}

/** What a canvas can draw, EXIF rotation applied, as in the server; null if the browser cannot read it. */
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
    reader.onerror = () => reject(new Error(`${blob.name ?? "The file"} cannot be read: ${reader.error.message}`));
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
