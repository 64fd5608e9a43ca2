// The address after "#": which view, of which export, over which range.
import { useEffect, useState } from "./vendor/htm/standalone.module.js";
import { mirror } from "./frame.js";

/** "#/export/web?from=…" → {view: "export", name: "web", query: {from: …}}. What is not understood is the overview. */
export function read(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decode);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (parts[0] === "export" && parts[1]) {
    if (parts[2] === "record" && /^\d{1,15}$/.test(parts[3] ?? "")) {
      return { view: "record", name: parts[1], seq: Number(parts[3]), query };
    }
    return { view: "export", name: parts[1], query };
  }
  return { view: "overview", query };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function write(view, query) {
  const search = new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value)).toString();
  // Colons stay readable in a fragment.
  return search ? `${view}?${search.replaceAll("%3A", ":")}` : view;
}

export const toOverview = () => "#/";
export const toExport = (name, query) => write(`#/export/${encodeURIComponent(name)}`, query);
export const toRecord = (name, seq) => `#/export/${encodeURIComponent(name)}/record/${seq}`;

/** Changes the address without a step in the history, as for a moved range. */
export function replace(hash) {
  history.replaceState(history.state, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The current route; the view is drawn anew when it changes. */
export function useRoute() {
  const [route, setRoute] = useState(() => read(location.hash));
  useEffect(() => {
    const follow = () => {
      // "#main" is the skip link's target, not a route.
      if (location.hash && !location.hash.startsWith("#/")) return;
      mirror(location.hash);
      setRoute(read(location.hash));
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
