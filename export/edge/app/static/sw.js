// Keeps every file of the app in a cache, so that the app starts and detects without a network. The export writes
// files.js: the browser compares it with its copy at each visit, and installs this worker anew when a file has changed.
"use strict";

importScripts("files.js");

const CACHE = `edge-${self.EDGE.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      // The browser asks whether its copies are still valid: all files must be of one export.
      await cache.addAll(["./", ...self.EDGE.files].map((name) => new Request(name, { cache: "no-cache" })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      const scope = (name) => name.startsWith("edge-") && name !== CACHE;
      await Promise.all(names.filter(scope).map((name) => caches.delete(name)));
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== self.location.origin) return;
  event.respondWith(
    (async () => {
      const cache = await caches.open(CACHE);
      const kept = await cache.match(event.request, { ignoreSearch: true });
      return kept ?? fetch(event.request);
    })(),
  );
});
