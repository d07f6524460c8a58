// The page's texts in Chinese, under the keys of `en.js`.

// The server's errors are in English. Those that a user of the page meets have a translation; the others are quoted.
const TRANSLATIONS = [
  [/image`? is empty/, () => "文件为空（0 字节）。"],
  [/URL leads to is not an image|URL leads to a page/, () => "该地址返回的内容不是图像。"],
  [/not an image we can read/, () => "无法识别为图像，请使用 JPEG、PNG、WebP、BMP 或 TIFF 格式。"],
  [/header is damaged|cannot be decoded/, () => "图像文件已损坏，无法解码。"],
  [/has ([\d,]+) bytes; the limit is ([\d,]+)/, ([, size, limit]) => `图像大小为 ${size} 字节，超过上限 ${limit} 字节。`],
  [/larger than ([\d,]+) bytes/, ([, limit]) => `图像大小超过上限 ${limit} 字节。`],
  [/cannot be asked in slices/, () => "该模型不支持切片检测，请重新导出模型。"],
  [/makes ([\d,]+) slices; the limit is ([\d,]+)/, ([, slices, limit]) => `图像需要 ${slices} 个切片，超过上限 ${limit} 个。`],
  [/makes ([\d,]+) slices, which take about (\d+) s/, ([, slices, seconds]) =>
    `图像需要 ${slices} 个切片，约需 ${seconds} 秒，超过请求的时间限制。`],
  [/has (\d+) x (\d+) = .* the limit is ([\d,]+)/, ([, width, height, limit]) =>
    `图像尺寸为 ${width} × ${height}，超过上限 ${limit} 像素，请缩小或裁剪成块后再试。`],
  [/host answered with status (\d+)/, ([, status]) => `图像所在的服务器返回状态码 ${status}。`],
  [/host cannot be connected to|cannot be fetched/, () => "无法连接图像所在的服务器。"],
  [/not fetched within|in time/, () => "获取图像超时。"],
  [/fetches no images from URLs/, () => "本服务器不支持通过 URL 获取图像，请直接上传图像。"],
];

const STATUSES = {
  413: "图像超过大小上限",
  415: "不支持该数据格式",
  422: "服务器无法处理该请求",
  429: "请求过于频繁或服务器繁忙",
  500: "服务器内部错误",
  502: "网关错误",
  503: "服务暂不可用",
  504: "推理超时",
};

function translated(words, status) {
  for (const [pattern, translation] of TRANSLATIONS) {
    const match = pattern.exec(words);
    if (match) return translation(match);
  }
  return STATUSES[status] ? `${STATUSES[status]}（${words.replace(/\.$/, "")}）。` : words;
}

export const ZH = {
  title: "triton-sod · 小目标检测",
  subtitle: "小目标检测",
  language: "English",
  languageTitle: "Show the page in English",
  page: "页面",
  key: "API 密钥",
  theme: "深色模式",

  model: "模型",
  compare: "对比模型",
  compareNone: "不对比",
  noModel: "未加载任何模型",
  modelOption: ({ name, size }) => (size ? `${name}（${size[1]} × ${size[0]}）` : name),

  slices: "切片",
  slicesTitle: "将大图像按原始分辨率切成相互重叠的切片进行检测，从而检出小目标。“自动”只切分尺寸超过模型输入 1.5 倍的图像。",
  slicesOff: "关",
  slicesAuto: "自动",
  slicesOn: "开",

  image: "图像",
  choose: "选择文件",
  camera: "摄像头",
  url: "图像地址",
  urlHint: "https://…（由服务器获取）",
  detect: "检测",
  cameraShoot: "拍照",
  cameraContinuous: "连续检测",
  cameraStop: "关闭摄像头",
  cameraLive: "摄像头或视频的实时画面",
  videoStop: "关闭视频",
  rate: ({ rate, dropped }) => `每秒 ${rate} 帧，丢弃 ${dropped} 帧`,
  emptyDrop: "将图像或视频拖放到此处",
  emptyOthers: "也可以粘贴图像、选择文件、输入图像地址或使用摄像头。",
  emptyExamples: "或试用示例图像：",
  emptyPrivacy: "图像只会发送到本服务器；结果保存在当前浏览器中，直到您将其移除。",
  examples: {
    "minsk-crossing.jpg": "路口（无人机航拍）",
    "munich-street.jpg": "街道（飞机航拍）",
    "hit-uav.jpg": "停车场（热成像）",
  },
  credit: ({ who }) => `照片：${who}，`,

  strip: "图像列表",
  stripClear: "全部移除",
  stripClearTitle: "从当前浏览器中移除所有图像及其检测结果",
  stripOpen: ({ name, objects }) => (objects === null ? `${name}：尚无结果` : `${name}：检测到 ${objects} 个目标`),
  stripRemove: ({ name }) => `移除 ${name}`,

  canvasEmpty: "尚未选择图像",
  canvasLabel: ({ name, shown }) => `${name}，显示 ${shown} 个目标`,
  canvasHelp: "拖动或按方向键平移；滚轮、双指或 +、− 键缩放，按 0 键显示整幅图像；双击目标可放大查看。",
  busy: "正在检测…",
  cancel: "取消",
  zoom: "缩放",
  zoomIn: "放大（+）",
  zoomOut: "缩小（−）",
  zoomLevel: "缩放比例",
  zoomFit: "适应窗口",
  zoomFitTitle: "显示整幅图像（0）",
  divider: "两个模型之间的分隔线",
  sideCount: ({ model, shown }) => `${model}：${shown} 个目标`,

  timingTotal: ({ time }) => `总耗时 ${time}`,
  timingSlices: ({ slices }) => `${slices} 个切片`,
  timingParts: { network: "网络传输", fetch: "获取图像", queue: "排队", gateway: "网关", infer: "Triton 推理" },

  objects: "检测目标",
  statusNone: "尚未选择图像。",
  statusNoObject: ({ floor }) => `未检测到目标：没有置信度高于 ${floor} 的目标。`,
  status: ({ shown, found, floor, most, below, threshold, hidden, model, other }) =>
    [
      `显示 ${shown} 个目标。`,
      `${model ? `模型 ${model} ` : "模型"}共检测到 ${found} 个置信度高于 ${floor} 的目标${most ? "（已达单次响应的上限）" : ""}。`,
      below > 0 || hidden > 0
        ? `未显示：${[
            below > 0 ? `置信度不高于 ${threshold} 的 ${below} 个` : "",
            hidden > 0 ? `已关闭类别的 ${hidden} 个` : "",
          ]
            .filter(Boolean)
            .join("，")}。`
        : "",
      other ? `${other.model}：显示 ${other.shown} 个，共检测到 ${other.found} 个。` : "",
    ]
      .filter(Boolean)
      .join("\n"),
  threshold: "置信度阈值",
  classes: "类别",
  classesAll: "全选",
  classesNone: "全不选",
  classTitle: ({ name, above, total }) => `${name}：${above} 个高于阈值，共检测到 ${total} 个`,
  listLabel: "显示的目标",
  listAll: ({ shown }) => `列出全部 ${shown} 个`,
  columnClass: "类别",
  columnScore: "置信度",
  columnSize: "尺寸 (px)",

  exports: "下载或复制显示的目标",
  exportFormat: "文件格式",
  save: "保存",
  saveOverlay: "保存可视化图像",
  copyCurl: "复制 curl 命令",
  copyLink: "复制链接",
  copied: ({ file, withKey }) =>
    `已复制。${file ? `命令会读取当前目录下的 ${file}。` : ""}${withKey ? "密钥取自环境变量 $SOD_API_KEY。" : ""}`,
  copiedLink: ({ withImage }) =>
    withImage
      ? "已复制。打开该链接即可用相同的模型和阈值检测此图像。"
      : "已复制。链接包含模型和阈值；本地图像文件不包含在链接中。",
  copyTitle: "复制",
  copyHelp: "浏览器不允许普通 http 页面写入剪贴板，请在此手动复制。",
  copyText: "待复制的文本",
  close: "关闭",
  overlayTooLarge: "图像尺寸超出浏览器画布的上限，请改为向服务器请求可视化图像。",

  keyTitle: "API 密钥",
  keyText: "访问本服务器所用的密钥，仅保留到关闭此标签页为止。",
  keyNeeded: "本服务器需要 API 密钥。密钥仅保留到关闭此标签页为止。",
  keyRefused: "服务器不接受该密钥，请输入其他密钥。密钥仅保留到关闭此标签页为止。",
  keyField: "密钥",
  keyUse: "使用密钥",

  retry: "重试",
  dismiss: "关闭提示",
  unreachable: "无法连接服务器，请确认服务正在运行。",
  brokenResponse: "服务器的响应不完整或不是 JSON。",
  notShowable: "浏览器无法显示该图像，服务器返回的副本也无法显示。",
  cannotRead: ({ reason }) => `无法读取文件：${reason}。`,
  unexpected: ({ reason }) => `页面出错：${reason}。`,
  ofFile: ({ name, problem }) => `${name}：${problem}`,
  andMore: ({ more }) => `另有 ${more} 张图像失败。`,
  serverStatus: ({ status }) => `服务器返回状态码 ${status}`,
  server: ({ words, status, wait }) => `${translated(words, status)}${wait ? `请等待 ${wait} 秒后重试。` : ""}`,
  request: "请求",
  notDropped: "拖放的内容既不是图像，也不是 http(s) 地址。",
  notPasted: "粘贴的内容既不是图像，也不是 http(s) 地址。",
  notFetched: "服务器只能获取 http 和 https 地址。",
  unknownModel: ({ model, models }) => `链接中的模型 ${model} 未加载。已加载的模型：${models}。`,
  linkSlices: ({ slices }) => `链接中的 slices 为 ${slices}，应为 off、auto 或 on。`,
  linkThreshold: ({ threshold }) => `链接中的阈值为 ${threshold}，应为 0.05 到 0.95 之间的数值。`,
  videoUnreadable: ({ name }) =>
    `此浏览器无法播放 ${name}。浏览器一般支持 MP4（H.264）和 WebM 视频；其他格式请使用 sod watch 命令。`,
  videoAlone: ({ name }) => `视频只能单独播放：所选文件中仅打开了 ${name}。`,
  cameraInsecure: "浏览器只允许 https 或 localhost 页面使用摄像头。",
  cameraError: ({ name, reason }) =>
    ({
        NotAllowedError: "浏览器未授权使用摄像头，重新加载页面后会再次询问。",
        NotFoundError: "未找到摄像头。",
        NotReadableError: "摄像头正被其他程序占用。",
    })[name] ?? `无法使用摄像头：${reason}。`,
};
