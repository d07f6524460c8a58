// The page's texts in English. `zh.js` has the same keys.

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

export const EN = {
  title: "triton-sod · small-object detection",
  subtitle: "small-object detection",
  language: "中文",
  languageTitle: "把页面切换为中文",
  page: "Page",
  key: "API key",
  theme: "Dark colours",

  // The models
  model: "Model",
  compare: "Compare with",
  compareNone: "no other model",
  noModel: "none is loaded",
  modelOption: ({ name, size }) => (size ? `${name} (${size[1]} × ${size[0]})` : name),

  // Slices
  slices: "Slices",
  slicesTitle:
    "Detect a large image in overlapping slices at their own resolution, so that small objects are found. Auto: only images over 1.5 times the model's input.",
  slicesOff: "off",
  slicesAuto: "auto",
  slicesOn: "on",

  // Where images come from
  image: "Image",
  choose: "Choose files",
  camera: "Camera",
  url: "Address of an image",
  urlHint: "https://… (fetched by the server)",
  detect: "Detect",
  cameraShoot: "Take image",
  cameraContinuous: "Continuous",
  cameraStop: "Stop camera",
  cameraLive: "Live image of the camera or video",
  videoStop: "Close video",
  rate: ({ rate, dropped }) => `${rate} images a second, ${count(dropped, "frame")} dropped`,
  emptyDrop: "Drop images or a video here",
  emptyOthers: "or paste one, choose files, enter an address, or use the camera.",
  emptyExamples: "Or try an example:",
  emptyPrivacy: "Images are sent to this server only. The results stay in this browser until you remove them.",
  examples: {
    "minsk-crossing.jpg": "Crossing, from a drone",
    "munich-street.jpg": "Street, from an aeroplane",
    "hit-uav.jpg": "Car park, thermal camera",
  },
  credit: ({ who }) => `Photograph: ${who}, `,

  // The images of this page
  strip: "Images",
  stripClear: "Remove all",
  stripClearTitle: "Remove all images and their results from this browser",
  stripOpen: ({ name, objects }) => (objects === null ? `${name}: no result yet` : `${name}: ${count(objects, "object")} found`),
  stripRemove: ({ name }) => `Remove ${name}`,

  // The canvas
  canvasEmpty: "No image yet",
  canvasLabel: ({ name, shown }) => `${name} with ${count(shown, "object")}`,
  canvasHelp:
    "Drag or arrow keys pan. Wheel, pinch, + and − zoom; 0 shows the whole image. Double-click an object to zoom to it.",
  busy: "Detecting …",
  cancel: "Cancel",
  zoom: "Zoom",
  zoomIn: "Zoom in (+)",
  zoomOut: "Zoom out (−)",
  zoomLevel: "Zoom level",
  zoomFit: "Fit",
  zoomFitTitle: "Whole image (0)",
  divider: "Divider between the two models",
  sideCount: ({ model, shown }) => `${model}: ${count(shown, "object")}`,

  // The times
  timingTotal: ({ time }) => `${time} in total`,
  timingSlices: ({ slices }) => `${slices} slices`,
  timingParts: { network: "Network", fetch: "Image's host", queue: "Queue", gateway: "Gateway", infer: "Triton" },

  // The objects
  objects: "Objects",
  statusNone: "No image yet.",
  statusNoObject: ({ floor }) => `No objects: none has a score above ${floor}.`,
  status: ({ shown, found, floor, most, below, threshold, hidden, model, other }) =>
    [
      `${count(shown, "object")} shown.`,
      `${model ? `${model} found` : "The model found"} ${found} with a score above ${floor}${most ? ", the most that a response holds" : ""}.`,
      below > 0 || hidden > 0
        ? `Not shown: ${[
            below > 0 ? `${below} with a score of ${threshold} or less` : "",
            hidden > 0 ? `${hidden} in classes that are switched off` : "",
          ]
            .filter(Boolean)
            .join(", ")}.`
        : "",
      other ? `${other.model}: ${count(other.shown, "object")} shown, of ${other.found} found.` : "",
    ]
      .filter(Boolean)
      .join("\n"),
  threshold: "Score above",
  classes: "Classes",
  classesAll: "All",
  classesNone: "None",
  classTitle: ({ name, above, total }) => `${name}: ${above} above the score, ${total} found`,
  listLabel: "Objects shown",
  listAll: ({ shown }) => `List all ${shown}`,
  columnClass: "Class",
  columnScore: "Score",
  columnSize: "Size, px",

  // Downloads and copies
  exports: "Download or copy the objects shown",
  exportFormat: "File format",
  save: "Save",
  saveOverlay: "Save overlay",
  copyCurl: "Copy curl",
  copyLink: "Copy link",
  copied: ({ file, withKey }) =>
    `Copied.${file ? ` The command reads ${file} from the current folder.` : ""}${withKey ? " It takes the key from $SOD_API_KEY." : ""}`,
  copiedLink: ({ withImage }) =>
    withImage
      ? "Copied. The link opens this image with this model and score."
      : "Copied. The link opens the page with this model and score; the image is a file and not part of it.",
  copyTitle: "Copy",
  copyHelp: "Browsers do not let pages on plain http write to the clipboard: copy the text from here.",
  copyText: "Text to copy",
  close: "Close",
  overlayTooLarge: "The browser has no canvas of this image's size: request the overlay from the server instead.",

  // The API key
  keyTitle: "API key",
  keyText: "The key for this server. It is kept until this tab is closed.",
  keyNeeded: "This server requires an API key. It is kept until this tab is closed.",
  keyRefused: "The server does not accept this key. Another one is kept until this tab is closed.",
  keyField: "Key",
  keyUse: "Use key",

  // Errors
  retry: "Try again",
  dismiss: "Dismiss the message",
  unreachable: "The server cannot be reached: is it running?",
  brokenResponse: "The server's response broke off, or is not JSON.",
  notShowable: "The browser cannot show this image, nor the server's copy of it.",
  cannotRead: ({ reason }) => `The file cannot be read: ${reason}.`,
  unexpected: ({ reason }) => `The page has a fault: ${reason}.`,
  ofFile: ({ name, problem }) => `${name}: ${problem}`,
  andMore: ({ more }) => `${count(more, "more image")} failed too.`,
  serverStatus: ({ status }) => `The server responded with status ${status}`,
  server: ({ words, wait }) => `${words}${wait ? ` It asks to wait ${count(wait, "second")} before the next try.` : ""}`,
  request: "the request",
  notDropped: "Neither an image nor an http(s) address was dropped.",
  notPasted: "Neither an image nor an http(s) address was pasted.",
  notFetched: "The server fetches http and https addresses only.",
  unknownModel: ({ model, models }) => `The link names the model ${model}, which is not loaded. Loaded: ${models}.`,
  linkSlices: ({ slices }) => `The link has slices=${slices}; it must be off, auto or on.`,
  linkThreshold: ({ threshold }) => `The link's threshold is ${threshold}; it must be a number from 0.05 to 0.95.`,
  videoUnreadable: ({ name }) =>
    `${name} is not a video that this browser plays: most play MP4 with H.264, and WebM. sod watch reads others.`,
  videoAlone: ({ name }) => `A video is played alone: of the files only ${name} was taken.`,
  cameraInsecure: "The browser gives the camera to pages on https or localhost only.",
  cameraError: ({ name, reason }) =>
    ({
        NotAllowedError: "The browser did not allow the camera. It asks again when the page is reloaded.",
        NotFoundError: "There is no camera.",
        NotReadableError: "The camera is in use by another program.",
    })[name] ?? `The camera cannot be used: ${reason}.`,
};
