// Everything the page asks over HTTP: its own read-only API, and Airflow's public API for what it starts.
const TIMEOUT_MS = 30000;
const KEPT = 1000; // some hundred exports are asked in turn: each must find its last answer

/** Path in front of Airflow: "" or e.g. "/airflow". The page is served at {prefix}/logferry/. */
export const prefix = (location.pathname.match(/^(.*)\/logferry(?:\/|$)/) ?? ["", ""])[1];

/** A request that failed. `message` is one sentence for people, `status` the HTTP status (0: no answer at all). */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.login = status === 401;
  }
}

const kept = new Map(); // url → {etag, data}; a 304 gives back the same object, so nothing is drawn anew

function keep(url, entry) {
  kept.delete(url);
  kept.set(url, entry);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/** The last answer for a path, without asking: what to paint while the question is under way. */
export const remembered = (path) => kept.get(own(path))?.data;

const own = (path) => `${prefix}/logferry/api${path}`;

async function send(url, options, signal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), TIMEOUT_MS);
  const stop = () => limit.abort();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await fetch(url, { ...options, credentials: "same-origin", cache: "no-store", signal: limit.signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(
      0,
      limit.signal.aborted
        ? "Airflow did not answer within 30 seconds: try again, and look at the load of the API server."
        : "Airflow cannot be reached from this browser: check the network and that the API server runs, then try again.",
    );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

async function body(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function sentence(status, said) {
  if (status === 401) return "Your Airflow login has expired: log in again.";
  if (typeof said === "string" && said) return said;
  if (status === 403) return "Your Airflow role may not see this: ask for read permission on the export's DAG.";
  if (status === 404) return "There is nothing under this address: it may have been renamed or removed.";
  if (status === 503) return "The archive cannot be read at the moment: try again in a minute.";
  return `The server answered ${status}, which this page does not expect: see the API server's log.`;
}

/** GET of this page's API. Answers the very same object while the server says that nothing changed. Throws ApiError. */
export async function get(path, signal) {
  const url = own(path);
  const known = kept.get(url);
  const response = await send(url, { headers: known ? { "If-None-Match": known.etag } : {} }, signal);
  if (response.status === 304 && known) {
    keep(url, known);
    return known.data;
  }
  const data = await body(response);
  if (!response.ok) throw new ApiError(response.status, sentence(response.status, data?.error ?? data?.detail));
  if (data === null) throw new ApiError(response.status, "The server's answer was cut off: try again.");
  const etag = response.headers.get("ETag");
  if (etag) keep(url, { etag, data });
  return data;
}

const summaryPath = (name) => `/exports/${encodeURIComponent(name)}`;
const MOST_TAGS = 150; // a header of more is refused by some proxies; the rows beyond come whole

/**
 * The rows of all exports by one request: `put(name, data, error)` for each as soon as it is there, `data` being what
 * `get("/exports/<name>")` answers. Throws ApiError when there is no answer, or when it ends too early.
 */
export async function rows(put, signal) {
  const known = new Map([...kept].filter(([url]) => url.startsWith(own("/exports/")) && !/[/?]/.test(url.slice(own("/exports/").length))));
  const tags = [...known.values()].slice(-MOST_TAGS).map((entry) => entry.etag);
  const response = await send(own("/rows"), { headers: tags.length ? { "If-None-Match": tags.join(", ") } : {} }, signal);
  if (!response.ok) {
    const data = await body(response);
    throw new ApiError(response.status, sentence(response.status, data?.error ?? data?.detail));
  }
  for await (const line of linesOf(response.body.getReader(), signal)) {
    const url = own(summaryPath(line.name));
    const entry = line.row ? { etag: line.etag, data: line.row } : known.get(url);
    if (line.error || !entry) put(line.name, undefined, new ApiError(line.status ?? 0, sentence(line.status, line.error)));
    else {
      keep(url, entry);
      put(line.name, entry.data, null);
    }
  }
}

/** The lines of JSON that come in, one after the other. Throws ApiError when none comes for long, or one is no JSON. */
async function* linesOf(reader, signal) {
  const text = new TextDecoder();
  const stop = () => reader.cancel().catch(() => {});
  let rest = "";
  // Else the server works on for a reader who left, and this one reads on.
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read());
      signal?.throwIfAborted();
      rest += text.decode(value, { stream: !done });
      const whole = rest.split("\n");
      rest = whole.pop();
      for (const line of whole) yield JSON.parse(line);
      if (!done) continue;
      if (rest) throw new SyntaxError("half a line");
      return;
    }
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    throw new ApiError(0, "The server's answer was cut off: try again.");
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

function inTime(promise) {
  let timer = 0;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new ApiError(0, "Airflow did not go on answering within 30 seconds: try again, and look at the load of the API server.")), TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Airflow's `detail`, which is a string, a list of complaints, or an object, as one line. */
function detail(data) {
  const said = data?.detail ?? data;
  if (typeof said === "string") return said;
  if (Array.isArray(said)) return said.map((one) => one?.msg ?? JSON.stringify(one)).join("; ");
  return said ? (said.message ?? said.reason ?? JSON.stringify(said)) : "";
}

/** One call of Airflow's public REST API as the logged-in user. Throws ApiError with Airflow's own words. */
export async function airflow(method, path, json, signal) {
  const options = { method, headers: { Accept: "application/json" } };
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  }
  const response = await send(`${prefix}/api/v2${path}`, options, signal);
  const data = await body(response);
  if (!response.ok) {
    throw new ApiError(response.status, response.status === 401 ? sentence(401) : detail(data) || sentence(response.status));
  }
  return data;
}
