// Light or dark, as Airflow shows itself. Airflow's UI (next-themes) puts the class "light" or "dark" on its root element
// and keeps the choice under "theme" in localStorage; a page opened on its own reads that, then the system's preference.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function parentRoot() {
  try {
    return window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    return null;
  }
}

function chosen() {
  const outer = parentRoot();
  const said = outer && `${outer.className} ${outer.dataset.theme ?? ""} ${outer.style.colorScheme}`;
  if (said && /\bdark\b/.test(said)) return "dark";
  if (said && /\blight\b/.test(said)) return "light";
  let stored = null;
  try {
    stored = localStorage.getItem("theme");
  } catch {
    // Storage may be blocked; the system's preference decides then.
  }
  if (stored === "dark" || stored === "light") return stored;
  return system.matches ? "dark" : "light";
}

function apply() {
  const theme = chosen();
  if (root.dataset.theme === theme) return;
  root.dataset.theme = theme;
  for (const listener of listeners) listener(theme);
}

/** Calls back when the theme changes; answers a function that stops this. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

apply();
system.addEventListener("change", apply);
addEventListener("storage", apply);
const outer = parentRoot();
if (outer) new MutationObserver(apply).observe(outer, { attributes: true, attributeFilter: ["class", "data-theme", "style"] });
