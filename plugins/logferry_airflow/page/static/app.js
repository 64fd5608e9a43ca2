// The page: which view is shown, and what happens when one breaks.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./vendor/htm/standalone.module.js";
import { adoptHash, embedded, mirror } from "./frame.js";
import { Overview } from "./overview.js";
import { useRoute } from "./route.js";
import { visible } from "./text.js";

adoptHash();

// The views of one export are fetched when one is first opened.
const views = { export: null, record: null };
const load = {
  export: () => import("./export_view.js").then((m) => m.ExportView),
  record: () => import("./record_view.js").then((m) => m.RecordView),
};

function App() {
  const route = useRoute();
  const [error, reset] = useErrorBoundary();
  const main = useRef(null);
  const place = `${route.view} ${route.name ?? ""} ${route.seq ?? ""}`;
  const first = useRef(true);
  useEffect(() => {
    mirror(location.hash);
    if (first.current) {
      first.current = false;
      return;
    }
    reset();
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [place]);
  return html`<main id="main" ref=${main} tabindex="-1" class=${embedded ? "embedded" : "alone"} data-view=${route.view}>
    ${error ? html`<${Broken} error=${error} reset=${reset} />` : html`<${View} key=${place} route=${route} />`}
  </main>`;
}

function View({ route }) {
  if (route.view === "overview") return html`<${Overview} />`;
  return html`<${Late} kind=${route.view} route=${route} />`;
}

function Late({ kind, route }) {
  const [, setTurn] = useState(0);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    if (!views[kind]) load[kind]().then((view) => ((views[kind] = view), setTurn((n) => n + 1)), setFailed);
  }, [kind]);
  const shown = views[kind];
  if (failed) return html`<${Broken} error=${new Error("A part of it could not be loaded: your login may have expired, or the server is gone.")} reset=${() => {}} />`;
  if (!shown) return html`<p class="boot" role="status">Loading…</p>`;
  return kind === "record" ? html`<${shown} name=${route.name} seq=${route.seq} />` : html`<${shown} name=${route.name} query=${route.query} />`;
}

const Broken = ({ error, reset }) => html`<section class="failure" role="alert" data-testid="page-broken">
  <strong>This view broke.</strong> ${visible(error.message)}
  <span class="actions"><button type="button" onClick=${() => (reset(), location.reload())}>Reload</button> <a href="#/" onClick=${reset}>All exports</a></span>
</section>`;

// The skip link must not touch the address: what follows "#" is the route.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main")?.focus();
});

const app = document.getElementById("app");
app.replaceChildren();
render(html`<${App} />`, app);
