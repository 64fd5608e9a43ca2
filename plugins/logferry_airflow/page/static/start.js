// What the page starts: Airflow's own backfills and runs, asked of Airflow's public API as the logged-in user.
import { airflow, ApiError } from "./api.js";

const part = encodeURIComponent;

/** Airflow's refusal in plain words, with what to do. */
function refusal(error, what) {
  if (!(error instanceof ApiError)) return `${what} failed: ${error.message}`;
  const said = error.message.length > 300 ? error.message.slice(0, 300) + "…" : error.message;
  if (error.status === 401) return said;
  if (error.status === 403) return "Your Airflow role may not start runs of this DAG: ask for permission to trigger it, or send one of the commands below to someone who may.";
  if (error.status === 404) return `Airflow does not know this DAG (yet): wait until the DAG processor has read its file. (${said})`;
  if (error.status === 409) {
    return what === "backfill"
      ? "One backfill of this DAG is already active, and Airflow runs one per DAG at a time: wait until it ends or cancel it on the DAG's Backfills tab, then fill again."
      : `Airflow already has a run for this time: open it on the DAG's page and clear it to run it again. (${said})`;
  }
  if (error.status === 422) return `Airflow does not accept this range: ${said}`;
  return said;
}

/** Starts one action of a fill preview: {ok, id, link, text}; never throws. */
export async function act(action, dag) {
  try {
    if (action.kind === "backfill") {
      const made = await airflow("POST", "/backfills", action.body);
      return { ok: true, kind: "backfill", id: made.id, text: `Backfill ${made.id} started.` };
    }
    const made = await airflow("POST", `/dags/${part(action.dag_id ?? dag)}/dagRuns`, action.body);
    return { ok: true, kind: "run", id: made.dag_run_id, text: "Run started." };
  } catch (error) {
    return { ok: false, kind: action.kind, status: error.status, text: refusal(error, action.kind) };
  }
}

/** Takes the pause off a DAG: null, or why that failed. */
export async function unpause(dag) {
  try {
    await airflow("PATCH", `/dags/${part(dag)}?update_mask=is_paused`, { is_paused: false });
    return null;
  } catch (error) {
    return error.status === 403 ? "Your Airflow role may not unpause this DAG: ask someone who may." : refusal(error, "unpause");
  }
}

/** {ended, failed} of something `act` started; unknown counts as still going. */
export async function progress(started, dag, signal) {
  if (started.kind === "backfill") {
    const one = await airflow("GET", `/backfills/${started.id}`, undefined, signal);
    return { ended: Boolean(one.completed_at), failed: false };
  }
  const run = await airflow("GET", `/dags/${part(dag)}/dagRuns/${part(started.id)}`, undefined, signal);
  return { ended: run.state === "success" || run.state === "failed", failed: run.state === "failed", state: run.state };
}

/** Starts the DAG that verifies: its run's id. Throws ApiError whose message is for people. */
export async function startVerify(verifyDag, conf) {
  try {
    const made = await airflow("POST", `/dags/${part(verifyDag)}/dagRuns`, { logical_date: null, conf });
    return made.dag_run_id;
  } catch (error) {
    const text =
      error.status === 403
        ? `Your Airflow role may not run the DAG ${verifyDag}: ask for permission to trigger it, or run \`logferry verify ${conf.export} --from ${conf.from} --to ${conf.to}${conf.deep ? " --deep" : ""}\` in a shell.`
        : error.status === 404
          ? `Airflow does not know the DAG ${verifyDag}: check that dags/${verifyDag}.py is deployed.`
          : refusal(error, "verify");
    throw new ApiError(error.status ?? 0, text);
  }
}
