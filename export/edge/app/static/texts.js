// Every text of the app, in the languages that it knows.

const TEXTS = {
  en: {
    title: "Small objects",
    threshold: "Score over",
    choose: "Image…",
    camera: "Camera",
    stop: "Stop",
    save: "Save JSON",
    hint: "Choose an image or start the camera. Images stay on this device.",
    loading: "Loading the model…",
    ready: (engine, ms) => `Ready: ${engine}, loaded in ${ms} ms`,
    detecting: "Detecting…",
    found: (count, ms) => `${count} objects, ${ms} ms`,
    noModel: (reason) => `The model cannot be loaded: ${reason}`,
    failed: (reason) => `Detection failed: ${reason}`,
    notAnImage: (name) => `${name} is not an image that this browser can read: choose a JPEG, PNG or WebP file.`,
    noCamera: "The camera cannot be used: allow it in the browser's settings, or choose an image.",
    noSecureContext: "The camera and working offline need HTTPS or localhost.",
  },
  zh: {
    title: "小目标检测",
    threshold: "置信度高于",
    choose: "选择图片…",
    camera: "摄像头",
    stop: "停止",
    save: "保存 JSON",
    hint: "请选择图片或打开摄像头。图片不会离开本设备。",
    loading: "正在加载模型…",
    ready: (engine, ms) => `就绪：${engine}，加载用时 ${ms} 毫秒`,
    detecting: "正在检测…",
    found: (count, ms) => `${count} 个目标，${ms} 毫秒`,
    noModel: (reason) => `无法加载模型：${reason}`,
    failed: (reason) => `检测失败：${reason}`,
    notAnImage: (name) => `浏览器无法读取图片 ${name}：请选择 JPEG、PNG 或 WebP 文件。`,
    noCamera: "无法使用摄像头：请在浏览器设置中允许访问，或选择图片。",
    noSecureContext: "使用摄像头和离线运行需要 HTTPS 或 localhost。",
  },
};

export const language = navigator.language.startsWith("zh") ? "zh" : "en";
export const text = TEXTS[language];
