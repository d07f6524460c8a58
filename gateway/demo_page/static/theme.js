// Dark or light: the system's choice until the button is pressed. A classic script in the head, so that the first
// paint has the right colours already.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("sod-theme");
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }

  const isDark = () => (chosen === null ? system.matches : chosen === "dark");

  function apply() {
    root.dataset.theme = isDark() ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
    dispatchEvent(new Event("themechange"));
  }

  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme")?.addEventListener("click", () => {
      chosen = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("sod-theme", chosen);
      } catch {
        // As above.
      }
      apply();
    });
  });
  apply();
})();
