// Swagger UI, from this server alone: `validatorUrl` would send the document to a host on the web.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelExpandDepth: 3,
  tryItOutEnabled: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});

// Swagger UI is in English; the link back to the page is in the page's language (text/language.js).
let language = navigator.language;
try {
  language = localStorage.getItem("sod-language") ?? language;
} catch {
  // Storage may be forbidden.
}
if (language.startsWith("zh")) document.querySelector(".back a").textContent = "← 用图像试一试";
